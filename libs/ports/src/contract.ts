/** What every driver of a port runs in its own tests. Never imported by a program. */
export { cryptoContract } from "./crypto.contract.ts";
export { kmsContract } from "./kms.contract.ts";
export type { ShardStorePlace } from "./shard-store.contract.ts";
export { shardStoreContract } from "./shard-store.contract.ts";
export type { DatapathPlace } from "./datapath.contract.ts";
export { datapathContract } from "./datapath.contract.ts";
export { clockContract } from "./clock.contract.ts";
export { metricsContract } from "./metrics.contract.ts";
export { prngContract } from "./prng.contract.ts";
