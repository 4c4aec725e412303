import type { MapReader } from "@kiseki/ports";

/** What an entry takes besides its bytes: the key's text, the objects around. */
const entryOverhead = 256;
/** Rows beyond this are read anew each time: one of them would push out hundreds. */
const valueSizeMax = 4096;

type Found = Uint8Array | "none";

/**
 * Committed rows by key, and keys known to have none, at most about `sizeMax` bytes of them. Whoever commits tells
 * which keys changed: until then all that is here is true. Two generations: what is asked for moves to the young
 * one, and when that is half the size the old one goes.
 */
export class RowCache {
  readonly #generationSizeMax: number;
  #young = new Map<string, Found>();
  #old = new Map<string, Found>();
  #youngSize = 0;

  constructor(sizeMax: number) {
    this.#generationSizeMax = sizeMax / 2;
  }
  /** The row of `key`, out of `source` when it is not here; the bytes are the caller's. */
  get(key: Uint8Array, source: Pick<MapReader, "get">): Uint8Array | undefined {
    const text = key.toHex();
    let found = this.#young.get(text);
    if (found === undefined) {
      found = this.#old.get(text) ?? source.get(key) ?? "none";
      this.#keep(text, found);
    }
    return found === "none" ? undefined : found.slice();
  }
  /** The committed row of `key` is another one now, or may be. */
  forget(key: Uint8Array): void {
    const text = key.toHex();
    this.#young.delete(text);
    this.#old.delete(text);
  }
  #keep(text: string, found: Found): void {
    const size = found === "none" ? 0 : found.byteLength;
    if (size > valueSizeMax) return;
    this.#young.set(text, found);
    this.#youngSize += size + text.length + entryOverhead; // forgotten ones stay counted: it only turns sooner
    if (this.#youngSize < this.#generationSizeMax) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngSize = 0;
  }
}
