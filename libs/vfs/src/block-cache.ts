import { newBytes } from "@kiseki/base";
import { LRUCache } from "lru-cache";

/**
 * Plaintext blocks of chunks, kept between reads. A block's key names its bytes for ever (chunk id and range), so
 * nothing in it goes stale. Synchronous, for hits are answered at once; a tier that has to wait for its bytes stands in
 * front of the `ContentStore` instead.
 */
export interface BlockCache {
  /** Zeroized memory for a block that will be `put`: of one that has gone, where there is one of that size. */
  memory(size: number): Uint8Array;
  /** A view that is right until the next call of the cache; `undefined`: not here. */
  get(key: string): Uint8Array | undefined;
  /** Takes over `block`; the caller neither reads nor writes it afterwards. */
  put(key: string, block: Uint8Array): void;
  has(key: string): boolean;
  /** Zeroizes and forgets everything. */
  wipe(): void;
}

/** Blocks of this size and more leave their memory to the next: to touch new memory costs as much as to copy it. */
const reusedSizeMin = 64 * 1024;
const reusedCountMax = 16;

/** Least recently used go first; each is zeroized as it goes (spec §7.9). */
export class RamBlockCache implements BlockCache {
  readonly #blocks: LRUCache<string, Uint8Array>;
  readonly #sizeMax: number;
  readonly #free: Uint8Array[] = [];

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
    this.#blocks = new LRUCache<string, Uint8Array>({
      maxSize: Math.max(1, sizeMax),
      sizeCalculation: (block) => Math.max(1, block.byteLength),
      dispose: (block) => {
        block.fill(0);
        if (block.byteLength >= reusedSizeMin && this.#free.length < reusedCountMax)
          this.#free.push(block);
      },
    });
  }

  get byteCount(): number {
    return this.#blocks.calculatedSize;
  }
  memory(size: number): Uint8Array {
    const index = this.#free.findLastIndex(({ byteLength }) => byteLength === size);
    return index < 0 ? newBytes(size) : this.#free.splice(index, 1)[0]!;
  }
  get(key: string): Uint8Array | undefined {
    return this.#blocks.get(key);
  }
  has(key: string): boolean {
    return this.#blocks.has(key);
  }
  put(key: string, block: Uint8Array): void {
    if (block.byteLength > this.#sizeMax || this.#blocks.has(key)) {
      block.fill(0);
      return;
    }
    this.#blocks.set(key, block);
  }
  wipe(): void {
    this.#blocks.clear();
    this.#free.length = 0;
  }
}
