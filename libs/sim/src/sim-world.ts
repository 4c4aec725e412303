import {
  epoch,
  type Epoch,
  newBytes,
  type Prng,
  prngFromSeed,
  tenantId,
  type TenantId,
} from "@kiseki/base";
import { formatDevices, MemoryIndex } from "@kiseki/chunk-store";
import { openCrypto } from "@kiseki/host";
import { type Crypto } from "@kiseki/ports";
import { defaultProfile } from "@kiseki/placement";
import { SimClock, runUntil } from "./sim-clock.ts";
import { SimDatapath } from "./sim-datapath.ts";
import { SimDisk } from "./sim-disk.ts";
import { rulesOf, type SimMutant, type SimMutantName } from "./sim-mutants.ts";
import { SimReceiver } from "./sim-receiver.ts";
import { SimShardMembers } from "./sim-shard-store-members.ts";
import type { SimShardState } from "./sim-shard-store-state.ts";

const KiB = 1024;
const arenaSize = 64 * KiB * KiB;

/** How large things are in one run. */
interface Shape {
  readonly devices: number;
  readonly deviceSize: number;
  readonly zoneSize: number;
  readonly chunkSize: number;
  readonly smallSizeMax: number;
  /** Without redundancy: whether bits rot, so that content may be reported lost. */
  readonly rots: boolean;
  readonly allowSingleCopy: boolean;
}

function shapeOf(prng: Prng): Shape {
  const devices = [1, 2, 3, 3, 4, 5, 6, 6][prng.below(8)]!;
  const isLarge = prng.chance(1, 12); // chunks of several segments
  return {
    devices,
    deviceSize: (isLarge ? 12 : devices <= 2 ? 6 : 3) * KiB * KiB,
    zoneSize: (isLarge ? 512 : 128) * KiB,
    chunkSize: (isLarge ? 144 : 12) * KiB,
    smallSizeMax: 1 * KiB,
    rots: devices === 1 && prng.chance(1, 2),
    allowSingleCopy: prng.chance(1, 2),
  };
}

/** Everything that outlives a process of the node, and the dice. Equal seeds give equal runs. */
export class SimWorld {
  /** ETags of content that lifecycle rules were about to move to another pool; copies of a moved version share what it has. */
  readonly movedContent = new Set<string>();
  readonly seed: number;
  readonly shape: Shape;
  readonly rules: SimMutant;
  /** Of faults and of what the clients do. */
  readonly prng: Prng;
  /** Of the node: ids and nonces. */
  readonly nodePrng: Prng;
  readonly clock = new SimClock();
  readonly crypto: Crypto = openCrypto();
  readonly disks = new Map<string, SimDisk>();
  /** Of the second pool. They lose what was not synced, like all disks, and have no other fault. */
  readonly archive = new Map<string, SimDisk>();
  readonly members: SimShardMembers;
  /** Of notifications. */
  readonly receiver = new SimReceiver();
  /** Of the data directory: a crash leaves another one. */
  index = new MemoryIndex();
  /** Of the second pool. */
  archiveIndex = new MemoryIndex();
  /** An older index that somebody kept. */
  oldIndex: MemoryIndex | undefined;
  /** Disks that ever lost or changed what they had been given: what they were believed to hold may be wrong. */
  readonly damaged = new Set<SimDisk>();
  /** Devices that a write or sync failed on, by id. */
  readonly failed = new Set<string>();
  readonly clusterId = newBytes(16).fill(7);
  readonly tenant: TenantId = tenantId(newBytes(16).fill(1));
  /** Of the config directory. */
  configEpoch: Epoch = epoch(0n);
  /** How often each fault struck and each act was done. */
  readonly counts = new Map<string, number>();
  /** Old states of the shard file that somebody kept. */
  oldShard: SimShardState | undefined;
  /** Devices are added, evacuated and removed: in one run of eight, since there little else goes on beside it. */
  readonly membersChange: boolean;
  /** Chance out of 100,000 that the process dies at an effect. */
  crashRate = 0;

  constructor(seed: number, mutant?: SimMutantName) {
    this.seed = seed;
    this.membersChange = seed % 8 === 7;
    this.rules = rulesOf(mutant);
    this.prng = prngFromSeed(seed);
    this.nodePrng = prngFromSeed(seed + 2 ** 32);
    this.shape = shapeOf(this.prng);
    for (let i = 0; i < this.shape.devices; i++) {
      this.disks.set(`disk${i}`, new SimDisk(this.prng, this.shape.deviceSize));
    }
    const archivePrng = prngFromSeed(seed + 2 ** 33);
    for (const path of ["archive0", "archive1"]) {
      this.archive.set(path, new SimDisk(archivePrng, this.shape.deviceSize));
    }
    this.members = new SimShardMembers(this.prng, {
      memberCount: this.parity + 1,
      mutants: this.rules.members,
    });
  }
  /** Devices that may fail together. */
  get parity(): number {
    const profile = defaultProfile(this.shape.devices);
    return profile.kind === "ec" ? profile.parity : profile.copies - 1;
  }
  get paths(): readonly string[] {
    return [...this.disks.keys()];
  }
  count(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
  }
  connect(): SimDatapath {
    const disks = new Map([...this.disks, ...this.archive]);
    return new SimDatapath(this.prng, this.crypto, disks, arenaSize);
  }
  /** What a process that died leaves of the indexes. */
  crashIndexes(left: Parameters<MemoryIndex["crash"]>[0]): void {
    this.index = this.index.crash(left);
    this.archiveIndex = this.archiveIndex.crash(left);
  }
  /** Lays out the devices, once. */
  async format(): Promise<void> {
    const { clock, crypto, nodePrng: prng } = this;
    const datapath = this.connect();
    const { zoneSize } = this.shape;
    for (const [pool, paths] of [this.paths, [...this.archive.keys()]].entries()) {
      const devices = paths.map((path) => ({ path }));
      const ids = { clusterId: this.clusterId, nodeId: this.clusterId };
      const options = { devices, ...ids, zoneSize, pool };
      await runUntil(clock, formatDevices({ crypto, prng, datapath }, options));
    }
  }
}
