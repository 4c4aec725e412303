import type { Epoch, LogIndex } from "@kiseki/base";
import { assert, epoch, logIndex, newBytes } from "@kiseki/base";
import type { TableSum } from "./row-sums.ts";
import { rowHashSize } from "./row-sums.ts";

/** The store's account of itself, one row of `meta`, written by each commit (`docs/formats/shard-tables.md`). */
export interface ShardState {
  /** Index of the last append; 0 for an empty log. */
  readonly index: LogIndex;
  /** First index still in the log. */
  readonly first: LogIndex;
  /** Highest epoch that committed. */
  readonly epoch: Epoch;
  readonly tables: readonly TableSum[];
}

export const shardStateVersion = 1;
const headSize = 32;
const tableSize = 8 + 8 + rowHashSize;

export function encodeShardState(state: ShardState): Uint8Array {
  assert(state.tables.length <= 256, "a table is one byte");
  const target = newBytes(headSize + state.tables.length * tableSize);
  const view = new DataView(target.buffer);
  view.setUint16(0, shardStateVersion, true);
  view.setUint16(2, state.tables.length, true);
  view.setBigUint64(8, state.index, true);
  view.setBigUint64(16, state.first, true);
  view.setBigUint64(24, state.epoch, true);
  let offset = headSize;
  for (const { table, rowCount, sum } of state.tables) {
    view.setUint8(offset, table);
    view.setBigUint64(offset + 8, BigInt(rowCount), true);
    target.set(sum, offset + 16);
    offset += tableSize;
  }
  return target;
}

export function decodeShardState(source: Uint8Array): ShardState | "unknown_version" | "damaged" {
  if (source.byteLength < headSize) return "damaged";
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  if (view.getUint16(0, true) !== shardStateVersion) return "unknown_version";
  const count = view.getUint16(2, true);
  if (source.byteLength !== headSize + count * tableSize) return "damaged";
  const tables: TableSum[] = [];
  for (let offset = headSize; offset < source.byteLength; offset += tableSize) {
    const rowCount = Number(view.getBigUint64(offset + 8, true));
    if (!Number.isSafeInteger(rowCount)) return "damaged";
    const sum = source.slice(offset + 16, offset + tableSize);
    tables.push({ table: view.getUint8(offset), rowCount, sum });
  }
  const index = view.getBigUint64(8, true);
  const first = view.getBigUint64(16, true);
  if (first < 1n || first > index + 1n) return "damaged";
  const highest = epoch(view.getBigUint64(24, true));
  return { index: logIndex(index), first: logIndex(first), epoch: highest, tables };
}
