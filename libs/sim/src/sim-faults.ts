import { type Prng, toHex } from "@kiseki/base";
import { ChunkStoreError, type SealRef } from "@kiseki/chunk-store";
import { matchOrphans, noteRepairs } from "@kiseki/node/sim";
import type { DiskFaultRates, SimDisk } from "./sim-disk.ts";
import { describeSeal } from "./sim-reads.ts";
import { checkBelieved, checkLost, namedOf } from "./sim-checks.ts";
import { repairAll, widen } from "./sim-housekeeping.ts";
import { restoreMembers } from "./sim-members.ts";
import { must, type SimNode } from "./sim-node.ts";
import type { SimShardState } from "./sim-shard-store-state.ts";
import type { SimTrace } from "./sim-trace.ts";
import type { SimWorld } from "./sim-world.ts";

/** How one device of a phase goes wrong. At most as many as the parity do at a time. */
type Ailment = "writes" | "lies" | "errors" | "rot" | "away" | "zeroed" | "old" | "full";
const ailments: readonly Ailment[] = [
  "writes",
  "lies",
  "errors",
  "rot",
  "away",
  "away",
  "zeroed",
  "old",
  "full",
];

const ratesOf: Partial<Record<Ailment, DiskFaultRates>> = {
  writes: { lostWrite: 200, tornWrite: 200, misdirectedWrite: 200, lateWrite: 500 },
  lies: { lyingSync: 3000, lateWrite: 1000 },
  errors: { readError: 60, writeError: 30, syncError: 20 },
};
const memberRates = {
  crash_before_commit: 2,
  crash_between_members: 3,
  crash_after_commit: 2,
  member_lost: 15,
  member_returned: 100,
} as const;
const crashRate = 12;
const damaging: ReadonlySet<Ailment> = new Set(["writes", "lies", "errors", "rot", "zeroed"]);
/** Where zones begin: rot without redundancy spares what a device is found by. */
const zonesStart = 64 * 1024;

interface Victim {
  readonly disk: SimDisk;
  readonly ailment: Ailment;
  kept: Uint8Array | undefined;
}

/** Faults of the world, within what the store promises to survive (STORE §6). */
export class SimFaults {
  readonly #world: SimWorld;
  readonly #trace: SimTrace;
  #victims: Victim[] = [];
  /** An old shard file that must be refused, and what was there before somebody put it back. */
  #honest: SimShardState | undefined;

  constructor(world: SimWorld, trace: SimTrace) {
    this.#world = world;
    this.#trace = trace;
  }
  #pathOf(disk: SimDisk): string {
    for (const [path, one] of this.#world.disks) if (one === disk) return path;
    return "";
  }
  get #prng(): Prng {
    return this.#world.prng;
  }
  /** Chooses which devices are ill in this phase, and how. */
  async begin(node: SimNode): Promise<void> {
    const world = this.#world;
    const disks = [...world.disks.values()];
    const parity = Math.min(world.parity, await parityOfAll(node));
    const count = parity === 0 ? 0 : this.#prng.below(parity + 1) || 1;
    while (this.#victims.length < count) {
      const disk = disks.splice(this.#prng.below(disks.length), 1)[0]!;
      const ailment = ailments[this.#prng.below(ailments.length)]!;
      disk.rates = ratesOf[ailment] ?? {};
      if (damaging.has(ailment)) world.damaged.add(disk);
      disk.full = ailment === "full" && this.#prng.chance(1, 2);
      this.#victims.push({ disk, ailment, kept: undefined });
    }
    const ill = this.#victims.map(({ disk, ailment }) => `${this.#pathOf(disk)} ${ailment}`);
    this.#trace.note(`phase begins, ill: ${ill.join(", ")}`);
    world.crashRate = crashRate;
    world.members.rates = memberRates;
  }
  /** No new faults; what they did is still there. */
  end(): void {
    for (const { disk } of this.#victims) {
      disk.rates = {};
      disk.gone = false;
      disk.full = false;
      // What it was late with or lied about is on it now: a power cut may not take it beside another's fault.
      disk.sync();
      disk.sync();
    }
    this.#victims = [];
    this.#world.crashRate = 0;
    this.#world.members.rates = {};
  }
  /** Something happens to a device while the node runs. */
  strike(): void {
    const prng = this.#prng;
    const { shape, disks } = this.#world;
    if (shape.rots) for (const disk of disks.values()) disk.rot(zonesStart);
    for (const victim of this.#victims) {
      const { disk, ailment } = victim;
      this.#trace.note(`${this.#pathOf(disk)} ${ailment} strikes`);
      switch (ailment) {
        case "rot":
          for (let left = 1 + prng.below(40); left > 0; left--) disk.rot();
          break;
        case "away":
          disk.gone = !disk.gone;
          if (!disk.gone) this.#world.count("fault: device returned");
          break;
        case "zeroed":
          if (prng.chance(1, 3)) disk.zero();
          break;
        case "old":
          victim.kept ??= disk.copy();
          break;
        case "full":
          disk.full = !disk.full;
          break;
        case "writes":
        case "lies":
        case "errors":
          break;
      }
    }
  }
  /** The process is dead: power or not, and what happens before the next start. */
  whileDown(): void {
    const world = this.#world;
    const prng = this.#prng;
    const isPower = prng.chance(1, 2);
    world.count(isPower ? "fault: power cut" : "fault: process killed");
    const disks = [...world.disks.values(), ...world.archive.values()];
    if (isPower) for (const disk of disks) disk.crash();
    const isIndexLost = prng.chance(1, 8);
    if (isIndexLost) world.count("fault: index lost");
    world.crashIndexes(isIndexLost ? "nothing" : isPower ? "checkpointed" : "flushed");
    this.#putBackIndex();
    for (const victim of this.#victims) this.#damage(victim);
    this.#changeMembers();
    this.#swapPaths();
    this.#trace.note(`${isPower ? "power cut" : "killed"}${isIndexLost ? ", index lost" : ""}`);
  }
  #putBackIndex(): void {
    const world = this.#world;
    if (world.oldIndex !== undefined && this.#prng.chance(1, 10)) {
      world.index = world.oldIndex;
      world.oldIndex = undefined;
      world.count("fault: old index put back");
    } else if (this.#prng.chance(1, 4)) world.oldIndex = world.index.crash("flushed");
  }
  #damage(victim: Victim): void {
    const { disk, ailment, kept } = victim;
    if (ailment === "old" && kept !== undefined && this.#prng.chance(1, 2)) disk.restore(kept);
    if (ailment === "zeroed" && this.#prng.chance(1, 3)) disk.zero();
    if (ailment === "rot") for (let left = this.#prng.below(20); left > 0; left--) disk.rot();
    if (ailment === "away" && this.#prng.chance(1, 2)) {
      disk.gone = !disk.gone;
      if (!disk.gone) this.#world.count("fault: device returned");
    }
  }
  #changeMembers(): void {
    const { members, parity } = this.#world;
    const prng = this.#prng;
    if (parity === 0) return;
    for (let i = 0; i <= parity; i++) if (prng.chance(1, 3)) members.returnMember(i);
    if (members.mayLose() && prng.chance(1, 6)) {
      members.loseMember(0);
      this.#world.crashIndexes("nothing");
      this.#world.count("fault: data directory lost");
    }
  }
  #swapPaths(): void {
    const { disks } = this.#world;
    const prng = this.#prng;
    if (disks.size < 2 || !prng.chance(1, 10)) return;
    const a = `disk${prng.below(disks.size)}`;
    const b = `disk${prng.below(disks.size)}`;
    const [first, second] = [disks.get(a)!, disks.get(b)!];
    disks.set(a, second);
    disks.set(b, first);
    this.#world.count("fault: devices swapped");
  }

  /**
   * Now and then puts an old copy of the shard file in its place: `seen` is the highest epoch that the
   * devices remember. True: the next start must refuse.
   */
  tryOldShard(seen: bigint | undefined): boolean {
    const { members } = this.#world;
    const old = this.#world.oldShard;
    if (old !== undefined && seen !== undefined && old.epoch < seen && this.#prng.chance(1, 4)) {
      this.#honest = members.copy();
      members.putBack(old);
      this.#world.crashIndexes("flushed");
      this.#world.oldShard = undefined;
      this.#world.count("fault: old shard file put back");
      return true;
    }
    if (old === undefined || this.#prng.chance(1, 4)) this.#world.oldShard = members.copy();
    return false;
  }
  /** The operator puts the right file back, if a wrong one is there. */
  restoreShard(): boolean {
    if (this.#honest === undefined) return false;
    this.#world.members.putBack(this.#honest);
    this.#honest = undefined;
    return true;
  }
  /** Adds what disks and members counted. */
  gather(): void {
    const world = this.#world;
    for (const disk of world.disks.values())
      for (const [fault, count] of Object.entries(disk.struck))
        world.count(`fault: ${fault}`, count);
    for (const [fault, count] of world.members.counts) world.count(`fault: ${fault}`, count);
  }
}

/** Losses that every chunk survives: one that was written while devices were out stays narrower if no room is left. */
async function parityOfAll(node: SimNode): Promise<number> {
  const { chunkStore } = node.ports;
  const archive = new Set(
    chunkStore.pools()[1]?.status?.devices.map(({ id }) => toHex(id)), // loses none
  );
  let least = Number.POSITIVE_INFINITY;
  await chunkStore.matchCandidates(
    ({ inspection: { profile, fragments } }) => {
      if (fragments.some(({ device }) => archive.has(toHex(device)))) return undefined;
      const parity = profile.kind === "ec" ? profile.parity : profile.copies - 1;
      least = Math.min(least, parity);
      return undefined;
    },
    { all: true },
  );
  return least;
}

/** What an operator and the node do once nothing goes wrong any more: then nothing may be missing. */
export async function heal(node: SimNode): Promise<void> {
  const { world, ports } = node;
  const { chunkStore } = ports;
  await returnDevices(node);
  if (world.shape.rots) return void (await chunkStore.scrub());
  await repairWhole(node);
  await widenAll(node);
  // What was widened on a full device may lack a fragment.
  if (chunkStore.status().repairQueued > 0) await repairWhole(node);
}
/** Until nothing is found and nothing that is named waits, as a node's housekeeping goes on; the shards are told. */
async function repairWhole(node: SimNode): Promise<void> {
  const { world, ports } = node;
  const { chunkStore } = ports;
  for (let round = 0; ; round++) {
    const { faults } = await chunkStore.scrub();
    if (round === 0) checkBelieved(node);
    const { repaired, lost, waiting: all } = await repairAll(node);
    const waiting = namedOf(node, all);
    world.count("faults found by scrub", faults);
    world.count("seals repaired", repaired);
    checkLost(node, lost);
    if (faults === 0 && waiting.length === 0) break;
    // What a lost index found again of the dead takes room until a shard has said so.
    const { removed } = await matchOrphans(ports, [node.tenant], { signal: node.signal });
    world.count("orphans removed", removed);
    const words = waiting.map((ref) => describeSeal(node, ref)).join("; ");
    must(round < 4, `repair ends (${faults} faults, seals wait: ${words})`);
  }
  await noteRepairs(ports, node.tenant, node.signal);
}

/** What was written while devices were out gets the pool's profile, now that all are there. */
async function widenAll(node: SimNode): Promise<void> {
  const { chunkStore } = node.ports;
  const outcome = await widen(node);
  if (!/^\d+$/.test(outcome)) return void node.world.count(`widening ends: ${outcome}`);
  const narrow: SealRef[] = [];
  await chunkStore.matchCandidates(
    ({ chunkId, sealId }) => {
      if (chunkStore.isNarrow(chunkId, sealId)) narrow.push({ chunkId, sealId });
      return undefined;
    },
    { all: true },
  );
  const words = namedOf(node, narrow).map((ref) => describeSeal(node, ref));
  must(words.length === 0, `what was written narrow is widened: ${words.join("; ")}`);
}

/** Devices that are out come back, or are replaced by blank ones. */
export async function returnDevices(node: SimNode): Promise<void> {
  const { world } = node;
  const { chunkStore } = node.ports;
  const isOut = (state: string): boolean => state === "missing" || state === "failed";
  const used = new Set(
    chunkStore
      .status()
      .devices.filter(({ state }) => !isOut(state))
      .map(({ path }) => path),
  );
  for (const path of world.paths.filter((one) => !used.has(one))) {
    try {
      await chunkStore.resyncDevice({ path });
      world.count("devices resynced");
    } catch (reason) {
      if (!(reason instanceof ChunkStoreError)) throw reason;
    }
  }
  const out = chunkStore.status().devices.filter(({ state }) => isOut(state));
  const taken = new Set(
    chunkStore
      .status()
      .devices.filter(({ state }) => !isOut(state))
      .map(({ path }) => path),
  );
  const free = world.paths.filter((path) => !taken.has(path));
  must(free.length >= out.length, "each device that is out has its place");
  for (const [i, device] of out.entries()) {
    const path = free[i]!;
    const disk = world.disks.get(path)!;
    disk.zero();
    world.damaged.delete(disk);
    await chunkStore.replaceDevice(device.id, { path, force: true });
    world.count("devices replaced");
  }
  await restoreMembers(node);
}
