/**
 * Rules of one shard's log (STORE §2, KEYS §3): how deltas are sealed, how the deltas of a batch
 * become one entry of a MAC chain, what the next entry of a chain may be, how the hybrid clock
 * moves, when the log may be cut, and when space is too scarce to begin a batch.
 *
 * Pure: state is a value (`LogChain`, `Hlc`), functions answer the next one. Invariants: indexes and
 * sequences have no holes, epochs and keysets only grow, each epoch begins with an entry of its own,
 * no log key seals more than 2^30 deltas. A foreign, spliced, reordered or unknown entry is answered
 * with a fault, and whoever replays the log halts there.
 */
export type { Admission } from "./admission.ts";
export { admitBatches } from "./admission.ts";
export { advanceHlc, firstHlc } from "./hlc.ts";
export type { LogChain } from "./log-chain.ts";
export {
  canGoOn,
  checkEntry,
  emptyChain,
  packEntry,
  packEpochEntry,
  resumeChain,
} from "./log-chain.ts";
export { openDelta, sealDelta } from "./seal-delta.ts";
export { mustSpool, truncationTarget } from "./truncation.ts";
