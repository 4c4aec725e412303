import type { Epoch, LogIndex } from "@kiseki/base";
import { epoch, logIndex, newBytes } from "@kiseki/base";
import { SimRows } from "./sim-shard-store-rows.ts";

/** Everything that one commit makes durable. Never written after it is made. */
export interface SimShardState {
  /** Counts the states of one history; more is newer. */
  readonly generation: number;
  readonly rows: SimRows;
  readonly index: LogIndex;
  readonly first: LogIndex;
  readonly epoch: Epoch;
  /** Entries under their index as 8 bytes, big-endian. */
  readonly log: SimRows;
  readonly consumers: ReadonlyMap<string, LogIndex>;
}

export const emptyShardState: SimShardState = {
  generation: 0,
  rows: new SimRows(),
  index: logIndex(0n),
  first: logIndex(1n),
  epoch: epoch(0n),
  log: new SimRows(),
  consumers: new Map(),
};

/** The process of the owner ended: by a fault, or since nothing was left to write to. */
export class SimCrash extends Error {
  override readonly name = "SimCrash";
}
/** A start that refuses: `older_list`: only stale members are here; `no_member`: none is. */
export class SimShardRefusal extends Error {
  override readonly name = "SimShardRefusal";
  readonly code: "older_list" | "no_member";
  constructor(code: SimShardRefusal["code"]) {
    super(`Cannot open the shard: ${code}`);
    this.code = code;
  }
}

/** The key of an entry in the simulated log. */
export function logKey(index: bigint): Uint8Array {
  const key = newBytes(8);
  new DataView(key.buffer).setBigUint64(0, index);
  return key;
}
