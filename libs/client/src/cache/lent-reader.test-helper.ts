import { closeSync, fstatSync, readSync } from "node:fs";
import { newBytes } from "@kiseki/base";
import { openCrypto } from "@kiseki/host";
import type { LentBlock, LentBlocks } from "@kiseki/vfs";

const crypto = openCrypto();
const segmentSize = 4096;

/** What `ffi/fuse/native/lent.c` does with blocks, for reads that lie in one. */
export class LentReader implements LentBlocks {
  lentReads = 0;
  readonly lentMax: number;
  readonly lent = new Map<number, LentBlock>();
  readonly #uses = new Set<number>();
  readonly #versions = new Map<number, bigint>();

  constructor(lentMax: number) {
    this.lentMax = lentMax;
  }
  lend(slot: number, block: LentBlock): boolean {
    if (slot >= this.lentMax) return false;
    this.takeBack(slot);
    this.lent.set(slot, block);
    return true;
  }
  takeBack(slot: number): void {
    const block = this.lent.get(slot);
    if (block !== undefined) closeSync(block.descriptor);
    this.lent.delete(slot);
  }
  takeLentUse(from: number): number {
    const slot = [...this.#uses].filter((each) => each >= from).sort((a, b) => a - b)[0];
    if (slot !== undefined) this.#uses.delete(slot);
    return slot ?? -1;
  }
  vouchReads(node: number, version: bigint): void {
    this.#versions.set(node, version);
  }
  withdrawReads(node: number): void {
    this.#versions.delete(node);
  }
  /** Files that are lent and have no name any more. */
  get nameless(): number {
    return [...this.lent.values()].filter(({ descriptor }) => fstatSync(descriptor).nlink === 0)
      .length;
  }

  /** Fills `target`, if it can. */
  read(node: number, offset: number, target: Uint8Array): boolean {
    for (const [slot, block] of this.lent) {
      const { start, length, version } = block;
      if (block.node !== node || version !== this.#versions.get(node)) continue;
      if (offset < start || offset + target.byteLength > start + length) continue;
      if (!isRight(block, offset - start, target)) return false;
      this.#uses.add(slot);
      this.lentReads += 1;
      return true;
    }
    return false;
  }
}

function isRight(block: LentBlock, at: number, target: Uint8Array): boolean {
  const { descriptor, position, blockSize, seed } = block;
  const from = position + at;
  if (readSync(descriptor, target, 0, target.byteLength, from) !== target.byteLength) return false;
  for (let done = 0; done < target.byteLength; done += segmentSize) {
    const number = (from + done) / segmentSize;
    const sum = newBytes(4);
    readSync(descriptor, sum, 0, 4, blockSize + 4 * number);
    const numbered = newBytes(4);
    new DataView(numbered.buffer).setUint32(0, number, true);
    const segment = target.subarray(done, done + segmentSize);
    const right = crypto.crc32c(crypto.crc32c(seed, numbered), segment);
    if (right !== new DataView(sum.buffer).getUint32(0)) return false;
  }
  return true;
}
