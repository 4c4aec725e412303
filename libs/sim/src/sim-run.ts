import {
  checkBelieved,
  checkContents,
  checkFailed,
  checkGarbage,
  checkReferences,
  settleAfterCrash,
  SimReplay,
} from "./sim-checks.ts";
import { SimClients } from "./sim-clients.ts";
import { runUntil } from "./sim-clock.ts";
import { heal, SimFaults } from "./sim-faults.ts";
import { PlainModel } from "./sim-model.ts";
import type { SimMutantName } from "./sim-mutants.ts";
import { checkNotices } from "./sim-receiver.ts";
import { SimFinding, SimNode, SimNodeDied } from "./sim-node.ts";
import { SimCrash } from "./sim-shard-store-state.ts";
import { SimTrace } from "./sim-trace.ts";
import { SimWorld } from "./sim-world.ts";

export interface SimRunOptions {
  readonly seed: number;
  readonly operations?: number;
  readonly mutant?: SimMutantName;
}
export interface SimReport {
  readonly seed: number;
  readonly operations: number;
  /** Of everything that was done: equal for two runs of one seed. */
  readonly hash: string;
  readonly counts: ReadonlyMap<string, number>;
}
/** A run that ended badly: what was found, the seed, and what was done last. */
export class SimFailure extends Error {
  override readonly name = "SimFailure";
  readonly seed: number;
  readonly operations: number;
  /** What was done last. */
  readonly last: readonly string[];
  /** The last few thousand lines of what was done. */
  readonly all: readonly string[];
  constructor(seed: number, trace: SimTrace, cause: unknown) {
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(`Seed ${seed}: ${reason}`, { cause });
    this.seed = seed;
    this.operations = trace.operations;
    this.last = trace.last;
    this.all = trace.all;
  }
}

const operationsDefault = 2000;
const phaseOperations = 250;
const clientsMax = 8;

/** Runs one seed. @throws {SimFailure} when something that was promised does not hold. */
export async function runSeed(options: SimRunOptions): Promise<SimReport> {
  const run = new SimRun(options);
  try {
    await run.all();
  } catch (reason) {
    throw new SimFailure(options.seed, run.trace, reason);
  }
  return run.report();
}

class SimRun {
  readonly trace = new SimTrace();
  readonly #world: SimWorld;
  readonly #faults: SimFaults;
  readonly #replay = new SimReplay();
  readonly #operations: number;
  #model = new PlainModel();
  #node: SimNode | undefined;

  constructor({ seed, operations, mutant }: SimRunOptions) {
    this.#world = new SimWorld(seed, mutant);
    this.#faults = new SimFaults(this.#world, this.trace);
    this.#operations = operations ?? operationsDefault;
  }
  report(): SimReport {
    const { seed, counts } = this.#world;
    return { seed, operations: this.trace.operations, hash: this.trace.hash, counts };
  }
  async all(): Promise<void> {
    const { devices, rots } = this.#world.shape;
    this.trace.note(`${devices} devices, ${rots ? "rotting" : "sound"}`);
    await this.#world.format();
    await this.#start([]);
    while (this.trace.operations < this.#operations) await this.#phase();
    this.#faults.gather();
    await this.#living.bury(); // what sleeps on would keep the whole world in memory
  }
  get #living(): SimNode {
    if (this.#node === undefined) throw new SimFinding("Must hold: the node runs");
    return this.#node;
  }
  /** Clients and faults, then quiet: everything is compared, healed and compared again. */
  async #phase(): Promise<void> {
    const world = this.#world;
    const end = Math.min(this.trace.operations + phaseOperations, this.#operations);
    await runUntil(world.clock, this.#faults.begin(this.#living));
    while (this.trace.operations < end) {
      const clients = new SimClients(this.#living, this.trace);
      const count = Math.min(end - this.trace.operations, 20 + world.prng.below(100));
      await runUntil(world.clock, clients.run(1 + world.prng.below(clientsMax), count));
      if (!this.#living.isDead && world.prng.chance(2, 3)) this.#faults.strike();
      if (!this.#living.isDead && world.prng.chance(1, 6)) {
        world.count("crash between operations");
        this.#living.die();
      }
      if (this.#living.isDead) await this.#restart();
    }
    this.#faults.end();
    await runUntil(world.clock, this.#check());
    await runUntil(world.clock, heal(this.#living));
    await runUntil(world.clock, this.#checkWhole());
  }
  async #check(): Promise<void> {
    checkFailed(this.#living);
    await checkContents(this.#living);
    checkReferences(this.#living, false);
    await checkNotices(this.#living);
    this.#replay.check(this.#living);
  }
  async #checkWhole(): Promise<void> {
    await checkGarbage(this.#living);
    await checkContents(this.#living);
    checkReferences(this.#living, !this.#world.shape.rots);
    this.#replay.check(this.#living);
    this.trace.note(`phase ends after ${this.#living.model.size()} bytes`);
  }
  async #restart(): Promise<void> {
    const dead = this.#living;
    await dead.bury();
    checkBelieved(dead);
    const { model, pending } = dead;
    this.#model = model;
    this.trace.note(`the process died with ${pending.length} submitted`);
    const seen = dead.ports.chunkStore.shardEpoch(dead.tenant.shard);
    if (this.#faults.tryOldShard(seen)) this.trace.note("an old shard file is put back");
    else this.#faults.whileDown();
    await this.#start(pending);
  }
  /** Starts a process, again when it dies while it starts. */
  async #start(pending: SimNode["pending"]): Promise<void> {
    for (;;) {
      const node = new SimNode(this.#world, this.#model);
      try {
        await runUntil(this.#world.clock, node.alive(node.start()));
      } catch (reason) {
        const isOld = reason instanceof Error && reason.name === "OldShardError";
        if (isOld && this.#faults.restoreShard()) this.#world.count("old shard file refused");
        else if (!(reason instanceof SimNodeDied || reason instanceof SimCrash)) throw reason;
        await node.bury();
        this.trace.note("the process died while it started");
        this.#faults.whileDown();
        continue;
      }
      checkFailed(node);
      this.#model = settleAfterCrash(node, { model: this.#model, pending });
      node.model = this.#model;
      this.#node = node;
      return;
    }
  }
}
