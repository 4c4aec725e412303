import { type Failure, fail, failureOf, type FileLock, type Outcome } from "@kiseki/vfs";
import { isRefused, type Mount } from "./mount.ts";
import type { FileHandle, OpenFile } from "./open-file.ts";
import type { Writer } from "./writing.ts";

/** Who waits for a lock asks again after so long, at first and at most. */
const waitMin = 5;
const waitMax = 250;

/** fcntl(2) and flock(2) locks, which the node grants to the session. */
export class Locks {
  readonly #mount: Mount;
  readonly #writer: Writer;
  /** Unlocks under way: a close(2) may end before the lock that it gives up is free. */
  readonly #unlocking = new Map<OpenFile, Promise<unknown>>();

  constructor(mount: Mount, writer: Writer) {
    this.#mount = mount;
    this.#writer = writer;
  }

  async test(handle: FileHandle, lock: FileLock): Promise<FileLock | undefined | Failure> {
    const answer = await this.#mount.service.testLock(handle.file.ref, lock);
    if (isRefused(answer)) return failureOf(answer.code);
    return answer.kind === "held" ? answer.by : undefined;
  }

  async set(handle: FileHandle, lock: FileLock, wait?: AbortSignal): Promise<undefined | Failure> {
    if (handle.isLost) return fail("EIO");
    for (let pause = waitMin; ; pause = Math.min(waitMax, pause * 2)) {
      if (wait?.aborted === true) return fail("EINTR");
      await this.#unlocking.get(handle.file);
      const answer = await this.#mount.service.lock(handle.file.ref, lock);
      if (isRefused(answer)) return failureOf(answer.code);
      if (answer.kind === "granted") break;
      if (wait === undefined) return fail("EAGAIN");
      try {
        await this.#mount.sleep(pause, wait);
      } catch {
        return fail("EINTR"); // the only way in which a sleep ends early
      }
    }
    handle.hasLocks = true;
    if (lock.kind === "range") handle.file.lockOwners.add(lock.owner);
    this.#forget(handle);
    return undefined;
  }

  /** Who has a lock sees what others wrote before they gave it up. */
  #forget({ file }: FileHandle): void {
    file.forgetPlan();
    file.node.doubt();
    this.#mount.tellKernel((kernel) => {
      kernel.invalidateNode(file.node.number, 0, 0);
    });
  }

  /** What was written under the lock is stored before others get it. */
  async unlock(handle: FileHandle, lock: Omit<FileLock, "type">): Promise<undefined | Failure> {
    const { file } = handle;
    const unlocked = this.#unlock(handle, lock);
    const all = Promise.all([this.#unlocking.get(file), unlocked]);
    this.#unlocking.set(file, all);
    await all;
    if (this.#unlocking.get(file) === all) this.#unlocking.delete(file);
    return unlocked;
  }
  async #unlock(handle: FileHandle, lock: Omit<FileLock, "type">): Promise<undefined | Failure> {
    await this.#writer.flush(handle.file);
    const answer = await this.#mount.service.unlock(handle.file.ref, lock);
    return isRefused(answer) ? failureOf(answer.code) : undefined;
  }

  /** At each close(2) of a process its range locks on the file go. */
  release(handle: FileHandle, owner: bigint): Outcome<undefined> {
    if (!handle.file.lockOwners.delete(owner)) return undefined;
    return this.unlock(handle, {
      kind: "range",
      start: 0n,
      end: undefined,
      owner,
      pid: 0,
    });
  }
}
