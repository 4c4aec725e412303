import { assert, newBytes } from "@kiseki/base";
import { pieceSizeMax } from "./content-store.ts";

/** A range of a file that is in memory: `[offset, offset + data.byteLength)`. */
export interface DirtyPiece {
  readonly offset: number;
  readonly data: Uint8Array;
}
interface Extent {
  start: number;
  end: number;
  /** Room for more than the extent; its first byte is that of `start`. */
  data: Uint8Array;
}

const capacityMin = 4096;
/** What has grown to this takes the memory of a whole piece at once. */
const streamMin = pieceSizeMax / 4;
const pieceOf = (offset: number): number => Math.floor(offset / pieceSizeMax);

/** A buffer for `size` bytes that may grow up to `sizeMax`, with the bytes of `extent` at its start. */
function grow(extent: Extent, size: number, sizeMax: number): void {
  if (size <= extent.data.byteLength) return;
  const isStream = size >= streamMin;
  const wanted = isStream ? sizeMax : Math.max(size, extent.data.byteLength * 2, capacityMin);
  const grown = newBytes(Math.min(wanted, sizeMax));
  grown.set(extent.data.subarray(0, extent.end - extent.start));
  extent.data = grown;
}

/**
 * Bytes of one file that were written and not stored yet. Ranges are disjoint, ordered, and none crosses a multiple of
 * `pieceSizeMax`; a later write replaces an earlier one.
 */
export class DirtyRanges {
  #extents: Extent[] = [];
  #byteCount = 0;

  /** Memory that is taken, at least as much as there is dirty. */
  get byteCount(): number {
    return this.#byteCount;
  }
  get isEmpty(): boolean {
    return this.#extents.length === 0;
  }
  /** Behind the last dirty byte; 0 when there is none. */
  get end(): number {
    return this.#extents.at(-1)?.end ?? 0;
  }
  get rangeCount(): number {
    return this.#extents.length;
  }

  /** Copies `source`. */
  write(offset: number, source: Uint8Array): void {
    for (let done = 0; done < source.byteLength;) {
      const start = offset + done;
      const room = pieceSizeMax - (start % pieceSizeMax);
      const size = Math.min(room, source.byteLength - done);
      this.#writePart(start, source.subarray(done, done + size));
      done += size;
    }
  }

  #writePart(start: number, source: Uint8Array): void {
    const end = start + source.byteLength;
    let first = this.#firstEndingFrom(start);
    const touched = this.#extents[first];
    if (touched !== undefined && touched.end === start && pieceOf(touched.start) !== pieceOf(start))
      first += 1;
    let last = first;
    while (last < this.#extents.length && this.#extents[last]!.start < end) last += 1;
    const head = this.#extents[first];
    if (head !== undefined && last > first && head.start <= start) {
      const tail = this.#extents[last - 1]!;
      this.#extend(head, Math.max(end, tail.end));
      this.#absorb(head, first + 1, last);
      head.data.set(source, start - head.start);
      return;
    }
    const made: Extent = { start, end, data: newBytes(0) };
    const tail = last > first ? this.#extents[last - 1]! : undefined;
    const unionEnd = Math.max(end, tail?.end ?? end);
    made.data = newBytes(unionEnd - start);
    made.end = unionEnd;
    this.#byteCount += made.data.byteLength;
    this.#extents.splice(first, 0, made);
    this.#absorb(made, first + 1, last + 1);
    made.data.set(source);
  }

  #extend(extent: Extent, end: number): void {
    if (end <= extent.end) return;
    const before = extent.data.byteLength;
    const sizeMax = (pieceOf(extent.start) + 1) * pieceSizeMax - extent.start;
    grow(extent, end - extent.start, sizeMax);
    this.#byteCount += extent.data.byteLength - before;
    extent.end = end;
  }

  /** Moves what the extents `[from, to)` hold into `target`, which covers them. */
  #absorb(target: Extent, from: number, to: number): void {
    for (let i = from; i < to; i += 1) {
      const { start, end, data } = this.#extents[i]!;
      target.data.set(data.subarray(0, end - start), start - target.start);
      this.#byteCount -= data.byteLength;
    }
    this.#extents.splice(from, to - from);
  }

  /** Index of the first extent that ends at or behind `offset`. */
  #firstEndingFrom(offset: number): number {
    let low = 0;
    let high = this.#extents.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#extents[middle]!.end >= offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Puts the dirty bytes of `[offset, offset + target.byteLength)` over what `target` has. */
  overlay(offset: number, target: Uint8Array): void {
    const end = offset + target.byteLength;
    for (let i = this.#firstEndingFrom(offset); i < this.#extents.length; i += 1) {
      const extent = this.#extents[i]!;
      if (extent.start >= end) return;
      const from = Math.max(offset, extent.start);
      const to = Math.min(end, extent.end);
      if (from < to)
        target.set(extent.data.subarray(from - extent.start, to - extent.start), from - offset);
    }
  }

  /** Every byte of `[start, end)` is dirty. */
  covers(start: number, end: number): boolean {
    let reached = start;
    for (let i = this.#firstEndingFrom(start); i < this.#extents.length; i += 1) {
      const extent = this.#extents[i]!;
      if (reached >= end || extent.start > reached) break;
      reached = Math.max(reached, extent.end);
    }
    return reached >= end;
  }

  /** Forgets what lies at or behind `size`. */
  truncate(size: number): void {
    while (this.end > size) {
      const last = this.#extents.at(-1)!;
      if (last.start < size) {
        last.end = size;
        return;
      }
      this.#byteCount -= last.data.byteLength;
      this.#extents.pop();
    }
  }

  /**
   * What is dirty, in order, as pieces that cross no multiple of `pieceSizeMax`; it is dirty no longer. The caller owns
   * the bytes. Neighbours of one piece are joined. `isWholeOnly`: pieces of full size alone, the rest stays.
   */
  take(isWholeOnly = false): DirtyPiece[] {
    const pieces: DirtyPiece[] = [];
    const isWhole = (extent: Extent): boolean => extent.end - extent.start === pieceSizeMax;
    const extents = isWholeOnly ? this.#extents.filter(isWhole) : this.#extents;
    const rest = isWholeOnly ? this.#extents.filter((extent) => !isWhole(extent)) : [];
    for (let i = 0; i < extents.length;) {
      const start = extents[i]!.start;
      let to = i + 1;
      while (
        to < extents.length &&
        extents[to]!.start === extents[to - 1]!.end &&
        pieceOf(extents[to]!.start) === pieceOf(start)
      )
        to += 1;
      const run = extents.slice(i, to);
      if (run.length === 1) {
        const { data, end } = run[0]!;
        pieces.push({ offset: start, data: data.subarray(0, end - start) });
      } else {
        const joined = newBytes(run.at(-1)!.end - start);
        for (const each of run)
          joined.set(each.data.subarray(0, each.end - each.start), each.start - start);
        pieces.push({ offset: start, data: joined });
      }
      i = to;
    }
    this.clear();
    this.#extents = rest;
    for (const { data } of rest) this.#byteCount += data.byteLength;
    return pieces;
  }

  /** Copies of what is dirty of `[start, end)`. */
  copy(start: number, end: number): DirtyPiece[] {
    const pieces: DirtyPiece[] = [];
    for (let i = this.#firstEndingFrom(start); i < this.#extents.length; i += 1) {
      const extent = this.#extents[i]!;
      const from = Math.max(start, extent.start);
      const to = Math.min(end, extent.end);
      if (extent.start >= end) break;
      if (from >= to) continue;
      pieces.push({
        offset: from,
        data: extent.data.slice(from - extent.start, to - extent.start),
      });
    }
    return pieces;
  }

  clear(): void {
    this.#extents = [];
    this.#byteCount = 0;
  }

  /** @throws {AssertionError} when the ranges are not what the class promises; for tests. */
  check(): void {
    let reached = 0;
    let byteCount = 0;
    for (const { start, end, data } of this.#extents) {
      assert(start >= reached && end > start, "ranges are ordered and not empty");
      assert(pieceOf(start) === pieceOf(end - 1), "a range crosses no piece");
      assert(data.byteLength >= end - start, "a range has its bytes");
      reached = end;
      byteCount += data.byteLength;
    }
    assert(byteCount === this.#byteCount, "taken memory is counted");
  }
}
