import {
  type Applied,
  type DirtyPiece,
  fail,
  type Failure,
  failureOf,
  type FileOperation,
  type FileRefusal,
  type FileRefusalCode,
  isFailure,
  type Outcome,
  packPieces,
  pieceSizeMax,
  type PlacedContent,
  withoutSetId,
} from "@kiseki/vfs";
import { isRefused, type Mount } from "./mount.ts";
import type { FileHandle, OpenFile } from "./open-file.ts";

/** Dirty bytes of one file from which on full pieces go to the nodes without waiting for fsync. */
const flushStartSize = 2 * pieceSizeMax;
/** Pieces of one operation, and of them stored side by side. */
const operationPiecesMax = 256;
const storesMax = 8;
/** Ranges in memory up to which a file is taken for streams, and above which it goes to the nodes at once. */
const streamRangesMax = 64;
const scatteredMax = 4096;
/** Data older than this goes to the nodes by itself. */
const dirtyAgeMax = 5000;
const sweepMs = 1000;
/** Content whose receipts are of another epoch is stored anew so many times. */
const attemptsMax = 3;
const isToStoreAnew: ReadonlySet<FileRefusalCode> = new Set(["receipt_stale", "chunk_gone"]);
const fileSizeMax = Number.MAX_SAFE_INTEGER;

/**
 * Somebody `asked`, and is told of an error, with which the bytes are gone; or there are `whole` pieces, or they are `old`:
 * then they are kept while the nodes are only away.
 */
type FlushReason = "asked" | "whole" | "old";
const isPassing: ReadonlySet<FileRefusalCode> = new Set(["unreachable", "busy", "closed"]);

/** Writes of files: into memory, from there to the nodes, in order of operations for each file. */
export class Writer {
  readonly #mount: Mount;
  #dirtySize = 0;
  #isSweeping = false;
  #sessions = 0;
  readonly #waiting = new Set<() => void>();

  constructor(mount: Mount) {
    this.#mount = mount;
  }

  /** Bytes of all files that are in memory and not stored. */
  get dirtySize(): number {
    return this.#dirtySize;
  }

  write(
    handle: FileHandle,
    offset: number,
    source: Uint8Array,
    isKillingPrivileges: boolean,
  ): Outcome<number> {
    const { file } = handle;
    const error = handle.isLost ? fail("EIO") : handle.takeError();
    if (error !== undefined) return error;
    if (this.#mount.options.isReadOnly) return fail("EROFS");
    if (source.byteLength === 0) return 0;
    if (offset + source.byteLength > fileSizeMax) return fail("EFBIG");
    this.#mount.unstage(file.node);
    if (
      isKillingPrivileges &&
      withoutSetId(file.node.attributes.mode) !== file.node.attributes.mode
    )
      return this.#writeSlowly(handle, offset, source, true);
    if (handle.flags.isAppending) return this.#append(handle, offset, source);
    const { dirtySizeMax } = this.#mount.options;
    if (this.#dirtySize > 0 && this.#dirtySize + source.byteLength > dirtySizeMax)
      return this.#writeSlowly(handle, offset, source, false);
    return this.#take(handle, offset, source);
  }

  #take(handle: FileHandle, offset: number, source: Uint8Array): Outcome<number> {
    const { file } = handle;
    file.write(offset, source);
    file.writtenAt = this.#mount.clock.realtime();
    file.dirtySince ??= this.#mount.now();
    this.#account(file);
    const count = source.byteLength;
    if (handle.flags.isSynchronous || this.#mount.options.metaTtlMs === 0)
      return this.flush(file).then(() => handle.takeError() ?? count);
    if (!file.isBusy) this.#flushEarly(file);
    this.#sweep();
    return count;
  }

  /** What waits for nothing any more need not wait for fsync: pieces of full size, or all of what is scattered. */
  #flushEarly(file: OpenFile): void {
    const { byteCount, rangeCount } = file.buffer;
    if (rangeCount > scatteredMax) void this.flush(file, "old");
    else if (byteCount >= flushStartSize && rangeCount <= streamRangesMax)
      void this.flush(file, "whole");
  }

  async #writeSlowly(
    handle: FileHandle,
    offset: number,
    source: Uint8Array,
    isKillingPrivileges: boolean,
  ): Promise<number | Failure> {
    const { file } = handle;
    if (isKillingPrivileges) {
      const failure = await this.#killPrivileges(file);
      if (failure !== undefined) return failure;
      return this.write(handle, offset, source, false);
    }
    while (
      this.#dirtySize > 0 &&
      this.#dirtySize + source.byteLength > this.#mount.options.dirtySizeMax
    ) {
      await this.#makeRoom();
      const error = handle.isLost ? fail("EIO") : handle.takeError();
      if (error !== undefined) return error;
    }
    return this.#take(handle, offset, source);
  }

  async #killPrivileges(file: OpenFile): Promise<Failure | undefined> {
    const mode = withoutSetId(file.node.attributes.mode);
    const applied = await this.#mount.apply({
      kind: "set_attributes",
      file: file.ref,
      changes: { mode },
    });
    if (isFailure(applied)) return applied;
    this.#mount.settle(file.node, applied.attributes);
    return undefined;
  }

  /**
   * Waits until something was stored, or is lost. What is under way may end with its bytes kept, because nobody asked for it: who
   * waits here does ask, behind it.
   */
  async #makeRoom(): Promise<void> {
    const room = new Promise<void>((resolve) => {
      this.#waiting.add(resolve);
    });
    for (const file of this.#mount.files.values()) void this.flush(file);
    await room;
  }

  #account(file: OpenFile): void {
    const { byteCount } = file.buffer;
    const hasShrunk = byteCount < file.accounted;
    this.#dirtySize += byteCount - file.accounted;
    file.accounted = byteCount;
    if (byteCount === 0) file.dirtySince = undefined;
    if (!hasShrunk) return;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Each of these is one operation in the order of the log before it returns, wherever the end is then. */
  async #append(handle: FileHandle, offset: number, source: Uint8Array): Promise<number | Failure> {
    const { file } = handle;
    return file.exclusively(async () => {
      const failure = await this.flushNow(file);
      if (failure !== undefined) return failure;
      for (let done = 0; done < source.byteLength;) {
        const part = source.subarray(done, done + pieceSizeMax);
        const applied = await this.#storeAndApply(file, [{ offset: 0, data: part }], (pieces) => ({
          kind: "append",
          file: file.ref,
          content: pieces[0]!.content,
        }));
        if (isRefused(applied)) return done > 0 ? done : failureOf(applied.code);
        this.#noteAppend(file, applied, offset + done);
        done += part.byteLength;
      }
      return source.byteLength;
    });
  }
  /** The kernel keeps what it wrote where it thought the end was. */
  #noteAppend(file: OpenFile, applied: Applied, expected: number): void {
    this.#mount.settle(file.node, applied.attributes, true);
    if (applied.offset === undefined || applied.offset === expected) return;
    this.#mount.tellKernel((kernel) => {
      kernel.invalidateNode(file.node.number, 0, 0);
    });
  }

  /** Makes durable what is in memory of the file. */
  async flush(file: OpenFile, reason: FlushReason = "asked"): Promise<Failure | undefined> {
    if (!file.buffer.isDirty && !file.isBusy) return undefined;
    const failure = await file.exclusively(() => this.flushNow(file, reason));
    this.#mount.release(file);
    return failure;
  }

  /** As `flush`, by who has the file exclusively. */
  async flushNow(file: OpenFile, reason: FlushReason = "asked"): Promise<Failure | undefined> {
    const pieces = file.buffer.beginFlush(reason === "whole");
    if (pieces.length === 0) return undefined;
    const sessions = this.#sessions;
    let refusal: FileRefusal | undefined;
    for (
      let first = 0;
      first < pieces.length && refusal === undefined;
      first += operationPiecesMax
    ) {
      const group = pieces.slice(first, first + operationPiecesMax);
      const applied = await this.#storeAndApply(file, group, (placed) => ({
        kind: "write",
        file: file.ref,
        pieces: placed,
      }));
      if (isRefused(applied)) refusal = applied;
      else this.#mount.settle(file.node, applied.attributes, true);
    }
    const isKept = refusal !== undefined && reason !== "asked" && isPassing.has(refusal.code);
    const failure = refusal === undefined || isKept ? undefined : failureOf(refusal.code);
    if (sessions === this.#sessions) {
      if (isKept) file.buffer.undoFlush();
      else file.buffer.endFlush();
      if (isKept) file.dirtySince = this.#mount.now();
      if (failure !== undefined) file.noteError(failure);
    }
    // What was known of the file before the last operation of the flush must not outlive the bytes in memory.
    file.forgetPlan();
    this.#account(file);
    return failure;
  }

  async #storeAndApply(
    file: OpenFile,
    pieces: readonly DirtyPiece[],
    operation: (placed: readonly PlacedContent[]) => FileOperation,
  ): Promise<Applied | FileRefusal> {
    for (let attempt = 1; ; attempt += 1) {
      const placed = await this.#store(file, pieces);
      const applied = isRefused(placed)
        ? placed
        : await this.#mount.service.apply(operation(placed));
      const isStale = isRefused(applied) && isToStoreAnew.has(applied.code);
      if (!isStale || attempt === attemptsMax) return applied;
    }
  }

  /** Stores pieces, small ones together, some side by side. */
  async #store(
    file: OpenFile,
    pieces: readonly DirtyPiece[],
  ): Promise<readonly PlacedContent[] | FileRefusal> {
    const packs = packPieces(pieces);
    const placed: (readonly PlacedContent[])[] = [];
    let refusal: FileRefusal | undefined;
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < packs.length && refusal === undefined) {
        const index = next;
        next += 1;
        const { data, ranges } = packs[index]!;
        const content = await this.#mount.content.write(file.ref, data);
        if (isRefused(content)) refusal = content;
        else placed[index] = ranges.map((range) => ({ ...range, content }));
      }
    };
    await Promise.all(Array.from({ length: Math.min(storesMax, packs.length) }, work));
    return refusal ?? placed.flat();
  }

  /** Stores by and by what nobody syncs. Runs while there is dirty data. */
  #sweep(): void {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    void this.#sweepOn();
  }
  async #sweepOn(): Promise<void> {
    const mount = this.#mount;
    try {
      while (this.#dirtySize > 0) {
        await mount.sleep(sweepMs);
        const old = mount.now() - dirtyAgeMax;
        for (const file of mount.files.values())
          if (file.dirtySince !== undefined && file.dirtySince <= old && !file.isBusy)
            void this.flush(file, "old");
      }
    } catch (reason) {
      if (!mount.closing.signal.aborted) throw reason;
    } finally {
      this.#isSweeping = false;
    }
  }

  /** Stores everything; the first failure of all. */
  async flushAll(): Promise<Failure | undefined> {
    const files = [...this.#mount.files.values()];
    const failures = await Promise.all(files.map((file) => this.flush(file)));
    return failures.find((failure) => failure !== undefined);
  }

  /** The session is over: what it wrote and did not store is lost, and each handle is told so. */
  loseAll(): void {
    this.#sessions += 1;
    for (const file of this.#mount.files.values()) {
      if (!file.buffer.isDirty && !file.buffer.isFlushing) continue;
      file.buffer.discard();
      file.noteError(fail("EIO"));
      file.forgetPlan();
      file.node.doubt();
      this.#account(file);
    }
  }

  /** Bytes behind `size` are forgotten, by who has the file exclusively. */
  cut(file: OpenFile, size: number): void {
    file.buffer.truncate(size);
    this.#account(file);
  }
}
