import { compareBytes } from "@kiseki/base";
import type { MapReader, MapWriter } from "@kiseki/ports";

/** Rows of one leaf; a leaf that outgrows it is cut in two. */
const leafRowsMax = 128;

interface Leaf {
  readonly keys: readonly Uint8Array[];
  readonly values: readonly Uint8Array[];
}
interface MutableLeaf extends Leaf {
  readonly keys: Uint8Array[];
  readonly values: Uint8Array[];
}

/** Index of the first of `keys` that is not before `key`, in `[0, keys.length]`. */
function lowerBound(keys: readonly Uint8Array[], key: Uint8Array): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(keys[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the leaf where `key` is or would be; 0 when there is no leaf. */
function leafIndexOf(leaves: readonly Leaf[], key: Uint8Array): number {
  let low = 0;
  let high = leaves.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(leaves[middle]!.keys[0]!, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

function getRow(leaves: readonly Leaf[], key: Uint8Array): Uint8Array | undefined {
  const leaf = leaves[leafIndexOf(leaves, key)];
  if (leaf === undefined) return undefined;
  const at = lowerBound(leaf.keys, key);
  const found = leaf.keys[at];
  return found !== undefined && compareBytes(found, key) === 0
    ? leaf.values[at]!.slice()
    : undefined;
}

function scanRows(
  leaves: readonly Leaf[],
  range: Parameters<MapReader["scan"]>[0],
  visit: Parameters<MapReader["scan"]>[1],
): void {
  const { start, end } = range;
  if (range.backward === true) {
    for (let l = end === undefined ? leaves.length - 1 : leafIndexOf(leaves, end); l >= 0; l--) {
      const leaf = leaves[l];
      if (leaf === undefined) return;
      for (
        let i = (end === undefined ? leaf.keys.length : lowerBound(leaf.keys, end)) - 1;
        i >= 0;
        i--
      ) {
        if (compareBytes(leaf.keys[i]!, start) < 0) return;
        if (!visit(leaf.keys[i]!.slice(), leaf.values[i]!.slice())) return;
      }
    }
    return;
  }
  for (let l = leafIndexOf(leaves, start); l < leaves.length; l++) {
    const leaf = leaves[l]!;
    for (let i = lowerBound(leaf.keys, start); i < leaf.keys.length; i++) {
      if (end !== undefined && compareBytes(leaf.keys[i]!, end) >= 0) return;
      if (!visit(leaf.keys[i]!.slice(), leaf.values[i]!.slice())) return;
    }
  }
}

/** An ordered map that is never written: a state that many may hold. */
export class SimRows implements MapReader {
  readonly #leaves: readonly Leaf[];
  constructor(leaves: readonly Leaf[] = []) {
    this.#leaves = leaves;
  }
  get(key: Uint8Array): Uint8Array | undefined {
    return getRow(this.#leaves, key);
  }
  scan(range: Parameters<MapReader["scan"]>[0], visit: Parameters<MapReader["scan"]>[1]): void {
    scanRows(this.#leaves, range, visit);
  }
  draft(): SimRowsDraft {
    return new SimRowsDraft(this.#leaves);
  }
}

/** A map that begins as a state and leaves it as it was: leaves are copied when first written. */
export class SimRowsDraft implements MapWriter {
  readonly #leaves: Leaf[];
  #own = new Set<Leaf>();

  constructor(leaves: readonly Leaf[]) {
    this.#leaves = [...leaves];
  }
  get(key: Uint8Array): Uint8Array | undefined {
    return getRow(this.#leaves, key);
  }
  scan(range: Parameters<MapReader["scan"]>[0], visit: Parameters<MapReader["scan"]>[1]): void {
    scanRows([...this.#leaves], range, visit);
  }
  put(key: Uint8Array, value: Uint8Array): void {
    if (this.#leaves.length === 0) {
      this.#adopt(0, 0, { keys: [key.slice()], values: [value.slice()] });
      return;
    }
    const index = leafIndexOf(this.#leaves, key);
    const leaf = this.#writable(index);
    const at = lowerBound(leaf.keys, key);
    const found = leaf.keys[at];
    if (found !== undefined && compareBytes(found, key) === 0) {
      leaf.values[at] = value.slice();
      return;
    }
    leaf.keys.splice(at, 0, key.slice());
    leaf.values.splice(at, 0, value.slice());
    if (leaf.keys.length <= leafRowsMax) return;
    const half = leaf.keys.length >>> 1;
    this.#adopt(index + 1, 0, { keys: leaf.keys.splice(half), values: leaf.values.splice(half) });
  }
  delete(key: Uint8Array): void {
    const index = leafIndexOf(this.#leaves, key);
    const old = this.#leaves[index];
    if (old === undefined) return;
    const at = lowerBound(old.keys, key);
    const found = old.keys[at];
    if (found === undefined || compareBytes(found, key) !== 0) return;
    if (old.keys.length === 1) {
      this.#leaves.splice(index, 1);
      return;
    }
    const leaf = this.#writable(index);
    leaf.keys.splice(at, 1);
    leaf.values.splice(at, 1);
  }
  /** The state as drafted; the draft may go on without changing it. */
  finish(): SimRows {
    this.#own = new Set();
    return new SimRows([...this.#leaves]);
  }
  #writable(index: number): MutableLeaf {
    const leaf = this.#leaves[index]!;
    if (this.#own.has(leaf)) return leaf as MutableLeaf;
    return this.#adopt(index, 1, { keys: [...leaf.keys], values: [...leaf.values] });
  }
  #adopt(index: number, replaced: number, leaf: MutableLeaf): MutableLeaf {
    this.#leaves.splice(index, replaced, leaf);
    this.#own.add(leaf);
    return leaf;
  }
}
