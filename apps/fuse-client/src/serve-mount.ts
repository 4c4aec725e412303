import { appendFileSync } from "node:fs";
import { MiB } from "@kiseki/base";
import { mountFlags } from "@kiseki/fuse-device";
import type { KernelCache, NodeNumber } from "@kiseki/vfs";
import type { Console } from "./cli/console.ts";
import { type ExitCode, exitCode } from "@kiseki/cli";
import type { MountPlan } from "./cli/mount-plan.ts";
import { nativeDirectory } from "./native-directory.ts";
import { openMount } from "./mount/open-mount.ts";
import { type Log, openNamespace } from "./open-namespace.ts";

const readaheadSize = 8 * MiB;
const backgroundMax = 64;
const interruptGraceMs = 10_000;
const enodev = 19;

/** What the file system tells the kernel; nothing is cached there before the mount is. */
export class KernelRelay implements KernelCache {
  to: KernelCache | undefined;
  get blocks(): KernelCache["blocks"] {
    return this.to?.blocks;
  }
  invalidateNode(node: NodeNumber, offset: number, length: number): void {
    this.to?.invalidateNode(node, offset, length);
  }
  invalidateEntry(parent: NodeNumber, name: Uint8Array): void {
    this.to?.invalidateEntry(parent, name);
  }
  vouchOpens(node: NodeNumber, milliseconds: number): void {
    this.to?.vouchOpens(node, milliseconds);
  }
  withdrawOpens(node: NodeNumber): void {
    this.to?.withdrawOpens(node);
  }
  async revoke(node: NodeNumber, paths: readonly string[]): Promise<boolean> {
    return (await this.to?.revoke?.(node, paths)) ?? true;
  }
}

/** One JSON object a line, to `path` or to whoever started the program. Never a name and never content. */
function openLog(path: string | undefined, isDetached: boolean): Log {
  return (event, detail) => {
    const line = `${JSON.stringify({ time: new Date().toISOString(), event, ...detail })}\n`;
    if (path !== undefined) appendFileSync(path, line, { mode: 0o600 });
    else if (!isDetached) process.stderr.write(line);
  };
}

/** Mounts, serves until the mount is taken away, and makes everything durable. `onReady`: it works. */
export async function serveMount(
  plan: MountPlan,
  console: Console,
  isDetached: boolean,
): Promise<ExitCode> {
  const log = openLog(plan.logFile, isDetached);
  const relay = new KernelRelay();
  await using namespace = await openNamespace(plan, relay, nativeDirectory, log);
  const { fileSystem, isReadOnly } = namespace;
  using mount = await openMount(
    {
      nativeDirectory,
      source: plan.source,
      target: plan.target,
      kernelOptions: plan.kernelOptions,
      flags: isReadOnly ? plan.flags | mountFlags.readOnly : plan.flags,
      readerCount: plan.readerCount,
      readaheadSize,
      session: {
        isReadOnly,
        hasLocks: true,
        isPassing: namespace.isPassing,
        isAsking: namespace.settings.metaTtlMs === 0,
        readaheadMax: readaheadSize,
        backgroundMax,
        interruptGraceMs,
        log,
      },
    },
    fileSystem,
  );
  relay.to = mount.session;
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
    process.on(signal, () => mount.unmount());
  process.on("SIGUSR1", () => {
    log("cache_wiped", { why: "asked" });
    void namespace.wipe();
  });
  const { notes } = namespace;
  const ready = { ready: true, target: mount.target, notes };
  if (!isDetached) for (const note of notes) console.note(note);
  if (isDetached) console.emit(ready);
  else console.say(`${plan.source} is mounted on ${mount.target}`, ready);
  log("mounted", { read_only: isReadOnly });
  const ended = await mount.session.ended;
  const failure = await fileSystem.close();
  log("ended", { errno: ended, ...(failure && { failure: failure.name }) });
  if (failure !== undefined) {
    console.note(`what was written last could not be stored: ${failure.name}`);
    return exitCode.general;
  }
  return ended === enodev ? exitCode.ok : exitCode.general;
}
