import { type Eventually, type Failure, failureOf } from "@kiseki/vfs";
import { isRefused, type Mount } from "./mount.ts";
import type { OpenFile } from "./open-file.ts";

/**
 * A file that is open for so long is kept for this client even if others remove its last name: within a second, with the time
 * that may pass before the open is heard of.
 */
const holdAfterMs = 750;

/**
 * Files that outlive their last name because this session has them open. A hold costs an operation of the log, so short
 * opens take none: they are held when their name is removed here, or once they have been open for a while.
 */
export class Holds {
  readonly #mount: Mount;
  readonly #soon = new Set<OpenFile>();
  #isWaiting = false;

  constructor(mount: Mount) {
    this.#mount = mount;
  }

  /** A handle was opened. Where nothing is believed for any time, it is held before the open is answered. */
  opened(file: OpenFile): Eventually<Failure | undefined> {
    if (file.isHeld || this.#isOwn(file)) return undefined;
    if (this.#mount.options.metaTtlMs === 0) return this.#holdNow(file);
    this.#soon.add(file);
    if (!this.#isWaiting) void this.#wait();
    return undefined;
  }

  /** It is read from this machine alone: nobody's removal is noticed. */
  #isOwn(file: OpenFile): boolean {
    return this.#mount.options.isReadOnly && file.image !== undefined;
  }

  /** Only what is gone cannot be opened: a namespace that takes no holds can still be read. */
  async #holdNow(file: OpenFile): Promise<Failure | undefined> {
    const failure = await this.hold(file);
    return failure?.name === "ESTALE" || failure?.name === "ENOENT" ? failure : undefined;
  }

  async #wait(): Promise<void> {
    this.#isWaiting = true;
    try {
      while (this.#soon.size > 0) {
        const files = [...this.#soon];
        await this.#mount.sleep(holdAfterMs);
        for (const file of files) this.#soon.delete(file);
        const open = files.filter(({ handles }) => handles > 0);
        await Promise.all(open.map((file) => this.hold(file)));
      }
    } catch (reason) {
      if (!this.#mount.closing.signal.aborted) throw reason;
    } finally {
      this.#isWaiting = false;
    }
  }

  /** Of a file with a handle. */
  async hold(file: OpenFile): Promise<Failure | undefined> {
    if (file.isHeld) return undefined;
    file.isHeld = true;
    const applied = await this.#mount.service.apply({ kind: "open", file: file.ref });
    if (isRefused(applied)) {
      file.isHeld = false;
      return failureOf(applied.code);
    }
    if (file.handles === 0) await this.release(file);
    return undefined;
  }

  /** The last handle is closed. */
  async release(file: OpenFile): Promise<void> {
    this.#soon.delete(file);
    if (!file.isHeld) return;
    file.isHeld = false;
    // Refused: the session is over or the file gone, and the hold with it.
    await this.#mount.service.apply({ kind: "release", file: file.ref });
  }

  /** Holds ended with the session; files that are open still are held under the next one. */
  lost(files: Iterable<OpenFile>): void {
    for (const file of files) {
      file.isHeld = false;
      if (file.handles > 0 && !this.#isOwn(file)) this.#soon.add(file);
    }
    if (this.#soon.size > 0 && !this.#isWaiting) void this.#wait();
  }

  async releaseAll(): Promise<void> {
    await Promise.all([...this.#mount.files.values()].map((file) => this.release(file)));
  }
}
