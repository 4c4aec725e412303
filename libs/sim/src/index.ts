/**
 * Simulated drivers of the ports, for tests and the simulator: everything here is deterministic by
 * its seed, injects the faults that its comments name, and counts each. Never imported by a program.
 */
export { SimDatapath } from "./sim-datapath.ts";
export type { DiskFault, DiskFaultRates } from "./sim-disk.ts";
export { SimDisk } from "./sim-disk.ts";
export { SimShardStore } from "./sim-shard-store.ts";
export type {
  SimShardFault,
  SimShardFaultRates,
  SimShardMutant,
  SimShardOptions,
} from "./sim-shard-store-members.ts";
export { SimShardMembers } from "./sim-shard-store-members.ts";
export { SimCrash, SimShardRefusal } from "./sim-shard-store-state.ts";
export type { SimMutantName } from "./sim-mutants.ts";
export { simMutants } from "./sim-mutants.ts";
export type { SimReport, SimRunOptions } from "./sim-run.ts";
export { runSeed, SimFailure } from "./sim-run.ts";
