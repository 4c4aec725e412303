import { closeSync, constants, openSync } from "node:fs";
import type { KernelCache, LendingFile } from "@kiseki/vfs";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** A block of the cache, and which bytes of a file it has from its start on. */
export interface Lendable extends LendingFile {
  readonly key: string;
  readonly path: string;
  /** Where the block begins in the file; where it ends, the file may. */
  readonly start: number;
  readonly length: number;
  readonly seed: number;
}
interface Lent {
  readonly slot: number;
  readonly node: number;
  readonly version: bigint;
  readonly start: number;
}

/** Which blocks the kernel's reads are answered with unasked, by key. When there are too many the first lent are taken back. */
export class Lending {
  readonly #kernel: Pick<KernelCache, "blocks">;
  readonly #lent = new Map<string, Lent[]>();
  /** By slot. */
  readonly #keys: (string | undefined)[] = [];
  #next = 0;

  constructor(kernel: Pick<KernelCache, "blocks">) {
    this.#kernel = kernel;
  }

  isLent(key: string, { node, version }: LendingFile, start: number): boolean {
    const lent = this.#lent.get(key);
    return (
      lent !== undefined &&
      lent.some((each) => each.node === node && each.version === version && each.start === start)
    );
  }

  /** The block is whole on the disk. @throws what the disk says. */
  lend(block: Lendable): void {
    const { blocks } = this.#kernel;
    if (blocks === undefined || blocks.lentMax === 0) return;
    const { key, path, node, version, start, length, seed } = block;
    const slot = this.#next % blocks.lentMax;
    const descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const isEnd = start + length === block.size;
    const range = { node, version, start, length, position: 0, blockSize: length, isEnd };
    if (!blocks.lend(slot, { descriptor, seed, ...range })) {
      closeSync(descriptor);
      return;
    }
    this.#next = slot + 1;
    this.#forget(slot);
    this.#keys[slot] = key;
    const lent = this.#lent.get(key);
    if (lent === undefined) this.#lent.set(key, [{ slot, node, version, start }]);
    else lent.push({ slot, node, version, start });
  }
  #forget(slot: number): void {
    const key = this.#keys[slot];
    if (key === undefined) return;
    this.#keys[slot] = undefined;
    const left = this.#lent.get(key)!.filter((each) => each.slot !== slot);
    if (left.length === 0) this.#lent.delete(key);
    else this.#lent.set(key, left);
  }

  /** Nothing is read out of the block any more once this returns. */
  takeBack(key: string): void {
    const lent = this.#lent.get(key);
    if (lent === undefined) return;
    for (const { slot } of lent) {
      this.#kernel.blocks?.takeBack(slot);
      this.#keys[slot] = undefined;
    }
    this.#lent.delete(key);
  }
  takeAllBack(): void {
    for (const key of [...this.#lent.keys()]) this.takeBack(key);
  }

  /** Keys of blocks that were read unasked since this was asked last. */
  *takeUsed(): Iterable<string> {
    const { blocks } = this.#kernel;
    if (blocks === undefined || this.#lent.size === 0) return;
    for (let slot = blocks.takeLentUse(0); slot >= 0; slot = blocks.takeLentUse(slot + 1)) {
      const key = this.#keys[slot];
      if (key !== undefined) yield key;
    }
  }
}
