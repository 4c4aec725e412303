/**
 * Simulated drivers of the ports, for tests and the simulator: everything here is deterministic by
 * its seed, injects the faults that its comments name, and counts each. Never imported by a program.
 */
export { SimDatapath } from "./sim-datapath.ts";
export { SimDisk } from "./sim-disk.ts";
export type { SimMutantName } from "./sim-mutants.ts";
export { simMutants } from "./sim-mutants.ts";
export { runSeed, SimFailure } from "./sim-run.ts";
