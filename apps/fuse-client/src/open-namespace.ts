import { MiB } from "@kiseki/base";
import { type ClientWorkflows, openDiskCache, openFileSystem } from "@kiseki/client";
import { systemClock, systemPrng } from "@kiseki/host";
import { type FileSystem, isFailure, type KernelCache, RamBlockCache } from "@kiseki/vfs";
import { CommandError, exitCode } from "@kiseki/cli";
import type { MountPlan } from "./cli/mount-plan.ts";
import { connect } from "./connect.ts";
import { CacheCounters, type CacheStats } from "./cache-counters.ts";

/** Written and not stored yet. */
const dirtySizeMax = 64 * MiB;
const readAheadMax = 32 * MiB;

export type Log = (event: string, detail: Readonly<Record<string, unknown>>) => void;

/** A namespace as files, with all that it stands on. */
export interface OpenNamespace extends AsyncDisposable {
  readonly fileSystem: FileSystem;
  readonly isReadOnly: boolean;
  readonly counters: CacheCounters;
  readonly workflows: ClientWorkflows;
  stats(): CacheStats;
  /** Nothing that was read is kept any more. */
  wipe(): Promise<void>;
}

/** Connects and looks at the root. @throws {CommandError} in words for whoever mounts. */
export async function openNamespace(
  plan: MountPlan,
  kernel: KernelCache,
  nativeDirectory: string,
  log: Log,
): Promise<OpenNamespace> {
  await using building = new AsyncDisposableStack();
  const { client, crypto } = building.use(await connect(plan, nativeDirectory));
  const isReadOnly = plan.isReadOnly || client.isReadOnly;
  const { cacheMode, cacheDirectory, cacheL1Max, cacheL2Max, metaTtlMs } = plan.settings;
  const cacheSizeMax = cacheMode === "bypass" ? 0 : cacheL1Max;
  const counters = new CacheCounters(cacheMode === "bypass");
  const memory = new RamBlockCache(cacheSizeMax);
  let eraseDisk = async (): Promise<void> => {};
  let content = counters.fetches(client.content);
  if (cacheMode !== "bypass" && cacheL1Max > 0 && cacheL2Max > 0) {
    const cache = await openDiskCache(
      { crypto, prng: systemPrng, content },
      {
        directory: cacheDirectory,
        tenant: client.tenant,
        mode: cacheMode,
        sizeMax: cacheL2Max,
        onFault: (code) => {
          counters.errors += 1;
          log("cache_fault", { code });
        },
      },
    );
    let erased: Promise<void> | undefined;
    eraseDisk = () => (erased ??= cache.close());
    building.defer(() => eraseDisk());
    content = cache.content;
  }
  const fileSystem = await openFileSystem(
    {
      service: client.files,
      content: counters.reads(content),
      clock: systemClock,
      cache: counters.memory(memory),
      kernel,
    },
    { metaTtlMs, cacheSizeMax, dirtySizeMax, readAheadMax, isReadOnly },
  );
  if (isFailure(fileSystem)) {
    const message = `Cannot read the root of ${plan.namespace}: ${fileSystem.name}`;
    throw new CommandError(exitCode.general, message);
  }
  const parts = building.move();
  return {
    fileSystem,
    isReadOnly,
    counters,
    workflows: client.workflows,
    stats: () => counters.stats(memory.byteCount, 0),
    wipe: async () => {
      counters.wipes += 1;
      memory.wipe();
      await eraseDisk();
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
