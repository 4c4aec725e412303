import type { NodeNumber } from "./file-system.ts";

/** Bytes of a node's file that lie in a block of this machine's disk. */
export interface LentBlock {
  /** Of the block's file: whoever takes it closes it. */
  readonly descriptor: number;
  readonly node: NodeNumber;
  /** Content of which the file has these bytes. */
  readonly version: bigint;
  /** Where they begin in the file. */
  readonly start: number;
  readonly length: number;
  /** Where they begin in the block. */
  readonly position: number;
  /** Of the block; checksums of its segments follow it. */
  readonly blockSize: number;
  /** CRC-32C that the checksum of each segment goes on from. */
  readonly seed: number;
  /** The file ends with them. */
  readonly isEnd: boolean;
}

/**
 * Answers the kernel's reads unasked: out of blocks that it was lent, each segment checked, while the node is vouched for with the
 * version that the blocks are of. What it cannot answer rightly and at once is asked for as ever.
 */
export interface LentBlocks {
  /** Slots for blocks. */
  readonly lentMax: number;
  /** Reads that were answered unasked, ever. */
  readonly lentReads: number;
  /** What the slot had is taken back. False: the block is not taken. */
  lend(slot: number, block: LentBlock): boolean;
  /** Nothing is read out of the slot's block once this returns. */
  takeBack(slot: number): void;
  /** The first slot from `from` on whose block was read since this was told of it; -1: there is none. */
  takeLentUse(from: number): number;
  vouchReads(node: NodeNumber, version: bigint, milliseconds: number): void;
  /** No read of the node is answered unasked once this returns. */
  withdrawReads(node: NodeNumber): void;
}
