import { assert } from "@kiseki/base";
import { type DirtyPiece, DirtyRanges } from "./dirty-ranges.ts";

/** Puts pieces, the last uppermost, over what `target` has of a file from `offset` on. */
export function overlayPieces(
  pieces: readonly DirtyPiece[],
  offset: number,
  target: Uint8Array,
): void {
  const end = offset + target.byteLength;
  for (const piece of pieces) {
    const from = Math.max(offset, piece.offset);
    const to = Math.min(end, piece.offset + piece.data.byteLength);
    if (from >= to) continue;
    target.set(piece.data.subarray(from - piece.offset, to - piece.offset), from - offset);
  }
}
const nothing: readonly DirtyPiece[] = [];

/**
 * What one file has in memory that no node has: bytes written, and those on their way. One flush is under way at most;
 * what is written meanwhile waits for the next.
 */
export class FileBuffer {
  readonly #dirty = new DirtyRanges();
  #flushing = nothing;
  #flushingCount = 0;

  /** Memory taken, by bytes that are on their way too. */
  get byteCount(): number {
    return this.#dirty.byteCount + this.#flushingCount;
  }
  get isDirty(): boolean {
    return !this.#dirty.isEmpty;
  }
  get isFlushing(): boolean {
    return this.#flushing !== nothing;
  }
  /** Behind the last byte in memory; the file is at least as large. */
  get end(): number {
    const last = this.#flushing.at(-1);
    return Math.max(this.#dirty.end, last === undefined ? 0 : last.offset + last.data.byteLength);
  }
  get rangeCount(): number {
    return this.#dirty.rangeCount;
  }

  write(offset: number, source: Uint8Array): void {
    this.#dirty.write(offset, source);
  }

  /** No node has to be asked for any byte of the range. */
  covers(start: number, end: number): boolean {
    return this.#dirty.covers(start, end);
  }

  /** Puts what is in memory over what was read. */
  overlay(offset: number, target: Uint8Array): void {
    overlayPieces(this.#flushing, offset, target);
    this.#dirty.overlay(offset, target);
  }

  /**
   * Copies of what is in memory of `[start, end)`, for `overlayPieces`. A read that asks a node keeps them: when a flush
   * ends before the read does, the read may have seen the file as it was before.
   */
  snapshot(start: number, end: number): readonly DirtyPiece[] {
    if (!this.isDirty && !this.isFlushing) return nothing;
    const flushing = this.#flushing.flatMap(({ offset, data }) => {
      const from = Math.max(start, offset);
      const to = Math.min(end, offset + data.byteLength);
      return from < to ? [{ offset: from, data: data.slice(from - offset, to - offset) }] : [];
    });
    return [...flushing, ...this.#dirty.copy(start, end)];
  }

  /** Forgets what lies at or behind `size`. No flush is under way. */
  truncate(size: number): void {
    assert(!this.isFlushing, "a flush ends before the file is cut");
    this.#dirty.truncate(size);
  }

  /** What is to be stored; `isWholeOnly`: pieces of full size alone. Ends with `endFlush`. */
  beginFlush(isWholeOnly = false): readonly DirtyPiece[] {
    assert(!this.isFlushing, "one flush at a time");
    const pieces = this.#dirty.take(isWholeOnly);
    if (pieces.length > 0) this.#flushing = pieces;
    for (const { data } of pieces) this.#flushingCount += data.byteLength;
    return pieces;
  }
  /** The node has it, or it is lost: both ways it is no longer ours. */
  endFlush(): void {
    this.#flushing = nothing;
    this.#flushingCount = 0;
  }

  /** The node does not have it, and may get it later: it is dirty again, below what was written since. */
  undoFlush(): void {
    const newer = this.#dirty.take();
    for (const { offset, data } of [...this.#flushing, ...newer]) this.#dirty.write(offset, data);
    this.endFlush();
  }

  /** The session that wrote it is over: nothing of it may be stored. */
  discard(): void {
    this.#dirty.clear();
    this.endFlush();
  }
}
