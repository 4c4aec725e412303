/** Mounts the file system in memory: `bun memory-mount.test-helper.ts TARGET {options}`; ends with the mount. */
import { openSync } from "node:fs";
import { nativeDirectory } from "@kiseki/host";
import { mountFlags } from "@kiseki/fuse-device";
import type { Entry, Opened, OpenFlags, Outcome } from "@kiseki/vfs";
import { openMount } from "../mount/open-mount.ts";
import { MemoryFileSystem } from "./memory-file-system.test-helper.ts";

export interface MemoryMountOptions {
  readonly ttlMs: number;
  readonly isLate: boolean;
  readonly isReadOnly: boolean;
  readonly readerCount: number;
  readonly interruptGraceMs: number;
  /** Names at which `open` throws, rejects or never answers. */
  readonly hasFaults: boolean;
  /** Nothing that is asked for by `setImmediate` ever comes. */
  readonly isWithoutImmediates?: boolean;
  /** A file that the kernel may read in place of `staged`, which has the text "memory". */
  readonly staged?: string;
}

/** Breaks every promise of a file system, at reads of files named so. */
class FaultyFileSystem extends MemoryFileSystem {
  readonly isFaulty = true;
  override getxattr(number: number, name: Uint8Array): ReturnType<MemoryFileSystem["getxattr"]> {
    const word = Buffer.from(name).toString();
    if (word === "user.throws") throw new Error("thrown on purpose");
    if (word === "user.rejects") return Promise.reject(new Error("rejected on purpose"));
    if (word === "user.silent") return new Promise(() => undefined);
    return super.getxattr(number, name);
  }
}

/** Opens `staged` out of another file until it is told that there is none. */
class StagedFileSystem extends MemoryFileSystem {
  #descriptor: number | undefined;
  async stage(path: string): Promise<void> {
    this.#descriptor = openSync(path, "r");
    const owner = { uid: 0, gid: 0, pid: 0 };
    const made = await this.mknod(1, Buffer.from("staged"), { mode: 0o100644, device: 0 }, owner);
    this.put((made as Entry).node, Buffer.from("memory"));
    this.forget((made as Entry).node, 1);
  }
  lose(): void {
    this.#descriptor = undefined;
  }
  override open(number: number, flags: OpenFlags): Outcome<Opened> {
    const { handle, isCacheValid } = super.open(number, flags) as Opened;
    return { handle, isCacheValid, descriptor: this.#descriptor };
  }
}

const [target = "", given = "{}"] = process.argv.slice(2);
const options = JSON.parse(given) as MemoryMountOptions;
if (options.isWithoutImmediates === true)
  Object.assign(globalThis, { setImmediate: () => undefined });
const staged = new StagedFileSystem(options);
const plain = new (options.hasFaults ? FaultyFileSystem : MemoryFileSystem)(options);
const fileSystem = options.staged === undefined ? plain : staged;
if (options.staged !== undefined) await staged.stage(options.staged);
const mount = await openMount(
  {
    nativeDirectory,
    source: "memory",
    target,
    kernelOptions: process.getuid?.() === 0 ? ["default_permissions", "allow_other"] : [],
    flags: options.isReadOnly ? mountFlags.readOnly : 0,
    readerCount: options.readerCount,
    readaheadSize: 1 << 20,
    session: {
      isReadOnly: options.isReadOnly,
      isPassing: options.staged !== undefined,
      hasLocks: true,
      readaheadMax: 16 << 20,
      backgroundMax: 64,
      interruptGraceMs: options.interruptGraceMs,
      log: (event, detail) => console.error(JSON.stringify({ event, ...detail })),
    },
  },
  fileSystem,
);
fileSystem.kernel = mount.session;
process.on("SIGTERM", () => mount.unmount());
// Changes that another client makes, and what the kernel is told of them, on standard input.
void (async () => {
  for await (const line of console) {
    const [word, node = "", ...rest] = line.split(" ");
    if (word === "invalidate") mount.session.invalidateNode(Number(node), 0, 0);
    if (word === "withdraw") mount.session.withdrawOpens(Number(node));
    if (word === "forget") mount.session.invalidateEntry(Number(node), Buffer.from(rest[0]!));
    if (word === "write") {
      fileSystem.put(Number(node), Buffer.from(rest[0]!));
      console.log(JSON.stringify({ written: true }));
    }
    if (word === "unlink") {
      await fileSystem.unlink(1, Buffer.from(node));
      console.log(JSON.stringify({ unlinked: true }));
    }
    if (word === "revoke") {
      const isRevoked = await mount.session.revoke(Number(node), ["/nowhere", "/staged"]);
      console.log(JSON.stringify({ revoked: isRevoked }));
    }
    if (word === "lose") {
      staged.lose();
      console.log(JSON.stringify({ lost: true }));
    }
    if (word === "held") {
      const { nodesHeld: nodes, handlesHeld: handles, flushes, opens } = fileSystem;
      console.log(JSON.stringify({ nodes, handles, flushes, opens }));
    }
  }
})();
console.log(JSON.stringify({ ready: true }));
const reason = await mount.session.ended;
mount[Symbol.dispose]();
console.log(
  JSON.stringify({ ended: reason, nodes: fileSystem.nodesHeld, handles: fileSystem.handlesHeld }),
);
process.exit(0);
