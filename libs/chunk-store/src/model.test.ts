import { expect, test } from "bun:test";
import { toHex } from "@kiseki/base";
import { ChunkStoreError } from "./index.ts";
import type { Safeties } from "./index.ts";
import type { Chunk } from "./store.fixture.ts";
import { seedOfRun, TestPool } from "./store.fixture.ts";

// Goal: what was acknowledged is read back whole while no more than parity devices misbehave, and after
// repair nothing is thin. Method: random puts (many at once), gets, removes, compactions, scrubs, crashes
// with the index kept or lost, against a map of what was acknowledged; one device at a time misbehaves in a
// way drawn by the seed until it is repaired.

type Mischief =
  | "none"
  | "gone"
  | "lying_sync"
  | "lost_writes"
  | "torn_writes"
  | "misdirected"
  | "late"
  | "rot"
  | "old"
  | "errors";
const mischiefs: readonly Mischief[] = [
  "none",
  "gone",
  "lying_sync",
  "lost_writes",
  "torn_writes",
  "misdirected",
  "late",
  "rot",
  "old",
  "errors",
];

class Run {
  readonly pool: TestPool;
  readonly live = new Map<string, Chunk>();
  readonly removed = new Set<string>();
  operations = 0;
  constructor(pool: TestPool) {
    this.pool = pool;
  }
  async round(): Promise<void> {
    const { prng } = this.pool;
    const victim = this.pool.disk(prng.below(this.pool.disks.size));
    const mischief = mischiefs[prng.below(mischiefs.length)]!;
    const old = victim.copy();
    if (process.env["KISEKI_SIM_TRACE"])
      console.log("round", mischief, [...this.pool.disks.values()].indexOf(victim));
    const rates = {
      none: {},
      gone: {},
      lying_sync: { lyingSync: 5000 },
      lost_writes: { lostWrite: 2000 },
      torn_writes: { tornWrite: 2000 },
      misdirected: { misdirectedWrite: 1000 },
      late: { lateWrite: 5000 },
      rot: {},
      old: {},
      errors: { readError: 500, writeError: 200, syncError: 100 },
    }[mischief];
    victim.rates = rates;
    for (let i = 0; i < 25; i++) {
      if (i === 10 && mischief === "gone") victim.gone = true;
      await this.operation();
      if (mischief === "rot" && prng.chance(1, 3)) victim.rot(65_536);
    }
    victim.rates = {};
    if (mischief === "old") victim.restore(old);
    // What never reached this disk comes to light now: later it would be missing beside another disk's faults.
    if (mischief === "lying_sync" || mischief === "late") await this.pool.crash("power");
    else if (mischief === "old" || prng.chance(1, 2)) await this.crash();
    victim.gone = false;
    await this.heal();
    await this.checkAll();
  }
  async operation(): Promise<void> {
    const { prng, store } = this.pool;
    this.operations += 1;
    switch (prng.below(12)) {
      case 0:
        return await this.remove();
      case 1:
        if (prng.chance(1, 4)) await this.crash();
        return;
      case 2:
        if (prng.chance(1, 4)) await store.compact({ deadShareMin: 0.1 });
        return;
      case 3:
        if (prng.chance(1, 4)) store.checkpoint();
        return;
      case 4:
      case 5:
      case 6:
        return await this.readOne();
      default:
        await Promise.all(Array.from({ length: 1 + prng.below(4) }, () => this.putOne()));
    }
  }
  async putOne(): Promise<void> {
    const { pool } = this;
    const chunk = pool.chunk(1 + pool.prng.below(pool.prng.chance(1, 5) ? 70_000 : 8000));
    try {
      await pool.put(chunk, chunk.plain.byteLength <= 4096);
      this.live.set(toHex(chunk.sealId), chunk);
    } catch (reason) {
      if (!(reason instanceof ChunkStoreError)) throw reason;
      expect(["no_space", "unavailable"]).toContain(reason.code);
    }
  }
  pick(): Chunk | undefined {
    const chunks = [...this.live.values()];
    return chunks.length === 0 ? undefined : chunks[this.pool.prng.below(chunks.length)];
  }
  async remove(): Promise<void> {
    const chunks = [this.pick(), this.pick(), this.pick(), this.pick()].filter((one) => one);
    for (const chunk of chunks) {
      this.live.delete(toHex(chunk!.sealId));
      this.removed.add(toHex(chunk!.sealId));
    }
    this.pool.store.remove(chunks as Chunk[]);
  }
  async readOne(): Promise<void> {
    const chunk = this.pick();
    if (chunk !== undefined) await this.check(chunk);
  }
  async check(chunk: Chunk): Promise<void> {
    const got = await this.pool.get(chunk);
    expect(typeof got === "string" ? got : "read").toBe("read");
    expect(Buffer.compare(got as Uint8Array, chunk.plain)).toBe(0);
  }
  async crash(): Promise<void> {
    const { prng } = this.pool;
    const kind = prng.chance(1, 2) ? "kill" : "power";
    if (process.env["KISEKI_SIM_TRACE"]) console.log("crash", kind);
    await this.pool.crash(kind, prng.chance(1, 3) ? "lost" : "kept");
  }
  /** What an operator and the background work do: bring devices back, match, scrub, repair. */
  async heal(): Promise<void> {
    const { store } = this.pool;
    for (const device of store.status().devices) {
      if (device.state === "healthy" || device.state === "degraded") continue;
      const path = device.path ?? this.pathOf(device.id);
      if (device.mustReplace) await store.replaceDevice(device.id, { path, force: true });
      else await store.resyncDevice({ path });
    }
    await store.matchCandidates(({ sealId }) => this.live.has(toHex(sealId)), { all: true });
    await store.scrub();
    const outcome = await store.repair();
    expect(outcome.lost.map((ref) => toHex(ref.sealId))).toEqual([]);
  }
  pathOf(id: Uint8Array): string {
    for (const [path, disk] of this.pool.disks)
      if (toHex(disk.content.subarray(16, 32)) === toHex(id)) return path;
    throw new Error("Cannot find the disk of a member");
  }
  async checkAll(): Promise<void> {
    const { store } = this.pool;
    for (const chunk of this.live.values()) {
      await this.check(chunk);
      expect(store.inspect(chunk.chunkId, chunk.sealId)!.missing).toBe(0);
    }
    expect(store.status().chunks).toBe(this.live.size);
    expect((await store.scrub()).faults).toBe(0);
  }
}

export async function modelRun(
  seed: number,
  devices: number,
  rounds: number,
  safeties?: Partial<Safeties>,
): Promise<Run> {
  const pool = await TestPool.make(seed, devices, { size: 4 * 1024 * 1024, zoneSize: 256 * 1024 });
  if (safeties !== undefined) pool.safeties = { ...pool.safeties, ...safeties };
  if (safeties !== undefined) await pool.crash("kill");
  const run = new Run(pool);
  for (let round = 0; round < rounds; round++) await run.round();
  return run;
}

const seeds = Number(process.env["KISEKI_SIM_SEEDS"] ?? 4);
for (const devices of [2, 3, 6]) {
  for (let i = 0; i < seeds; i++) {
    const seed = seedOfRun + i;
    test(`${devices} devices against the model (KISEKI_SIM_SEED=${seed})`, async () => {
      const run = await modelRun(seed, devices, 6);
      expect(run.operations).toBeGreaterThan(100);
    });
  }
}
