import { assert } from "@kiseki/base";
import { type DirtyPiece, DirtyRanges } from "./dirty-ranges.ts";

/** Bytes that lie over what a node has of a file, oldest first. */
export interface Overlay {
  overlay(offset: number, target: Uint8Array): void;
}
class Pieces implements Overlay {
  readonly pieces: readonly DirtyPiece[];
  constructor(pieces: readonly DirtyPiece[]) {
    this.pieces = pieces;
  }
  overlay(offset: number, target: Uint8Array): void {
    const end = offset + target.byteLength;
    for (const piece of this.pieces) {
      const from = Math.max(offset, piece.offset);
      const to = Math.min(end, piece.offset + piece.data.byteLength);
      if (from >= to) continue;
      target.set(piece.data.subarray(from - piece.offset, to - piece.offset), from - offset);
    }
  }
}
const nothing = new Pieces([]);

/**
 * What one file has in memory that no node has: bytes written, and those on their way. One flush is under way at most;
 * what is written meanwhile waits for the next.
 */
export class FileBuffer {
  readonly #dirty = new DirtyRanges();
  #flushing = nothing;

  /** Memory taken, by bytes that are on their way too. */
  get byteCount(): number {
    return this.#flushing.pieces.reduce(
      (sum, { data }) => sum + data.byteLength,
      this.#dirty.byteCount,
    );
  }
  get isDirty(): boolean {
    return !this.#dirty.isEmpty;
  }
  get isFlushing(): boolean {
    return this.#flushing !== nothing;
  }
  /** Behind the last byte in memory; the file is at least as large. */
  get end(): number {
    const last = this.#flushing.pieces.at(-1);
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
    this.#flushing.overlay(offset, target);
    this.#dirty.overlay(offset, target);
  }

  /**
   * What is on its way now. A read that asks a node keeps it: when the flush ends before the read does, the read may
   * have seen the file as it was before.
   */
  get inFlight(): Overlay | undefined {
    return this.isFlushing ? this.#flushing : undefined;
  }

  /** Forgets what lies at or behind `size`. No flush is under way. */
  truncate(size: number): void {
    assert(!this.isFlushing, "a flush ends before the file is cut");
    this.#dirty.truncate(size);
  }

  /** What is to be stored. Ends with `endFlush`. */
  beginFlush(): readonly DirtyPiece[] {
    assert(!this.isFlushing, "one flush at a time");
    const pieces = this.#dirty.take();
    if (pieces.length > 0) this.#flushing = new Pieces(pieces);
    return pieces;
  }
  /** The node has it, or it is lost: both ways it is no longer ours. */
  endFlush(): void {
    this.#flushing = nothing;
  }

  /** The session that wrote it is over: nothing of it may be stored. */
  discard(): void {
    this.#dirty.clear();
    this.#flushing = nothing;
  }
}
