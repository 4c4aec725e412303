import { expect, test } from "bun:test";
import { epoch, logIndex, prngFromSeed, toHex, toUtf8 } from "@kiseki/base";
import type { ShardStore } from "@kiseki/ports";
import { type ShardStorePlace, shardStoreContract } from "@kiseki/ports/contract";
import { SimShardStore } from "./sim-shard-store.ts";
import type { SimShardOptions } from "./sim-shard-store-members.ts";
import { SimShardMembers } from "./sim-shard-store-members.ts";
import { SimCrash, SimShardRefusal } from "./sim-shard-store-state.ts";

function placeOf(options: SimShardOptions): () => Promise<ShardStorePlace> {
  return async () => {
    const members = new SimShardMembers(prngFromSeed(1), options);
    const sim = (store: ShardStore): SimShardStore => {
      if (!(store instanceof SimShardStore)) throw new TypeError("Cannot use another's store");
      return store;
    };
    return {
      open: async () => members.open(),
      kill: async () => members.crash(),
      fenceNext: (store, entry) => sim(store).fenceNext(entry),
      unknownNext: (store, stored) => sim(store).unknownNext(stored),
      [Symbol.asyncDispose]: async () => {},
    };
  };
}

const embedded = { fenced: false, unknown: false, snapshots: false };
const clustered = { fenced: true, unknown: true, snapshots: false };
shardStoreContract("SimShardStore", placeOf({ memberCount: 3 }), embedded);
shardStoreContract("SimShardStore as in a cluster", placeOf({ declares: clustered }), clustered);

async function put(store: ShardStore, n: number): Promise<void> {
  const tx = store.begin();
  tx.put(new Uint8Array([n >> 8, n & 0xff]), toUtf8(`value ${n}`));
  await tx.commit(toUtf8(`entry ${n}`), store.head().index, epoch(1n));
}
const countRows = (store: ShardStore): number =>
  store.view((map) => {
    let count = 0;
    map.scan({ start: new Uint8Array(0) }, () => {
      count += 1;
      return true;
    });
    return count;
  });

test("SimShardMembers refuses a start on older lists alone, unless loss is accepted", async () => {
  const members = new SimShardMembers(prngFromSeed(1), { memberCount: 2 });
  const store = members.open();
  await put(store, 1);
  members.loseMember(1);
  await put(store, 2);
  members.crash();
  members.loseMember(0);
  members.returnMember(1);
  expect(() => members.open()).toThrow(SimShardRefusal);
  expect(countRows(members.open({ acceptLoss: true }))).toBe(1);
});

test("SimShardMembers copies a returning member anew", async () => {
  const members = new SimShardMembers(prngFromSeed(1), { memberCount: 2 });
  const store = members.open();
  await put(store, 1);
  members.loseMember(0);
  await put(store, 2);
  members.returnMember(0);
  await put(store, 3);
  members.crash();
  expect(countRows(members.open())).toBe(3);
  members.crash();
  members.loseMember(1);
  expect(countRows(members.open())).toBe(3); // now from the member that had been away
});

test("SimShardMembers ends the process with its last member", async () => {
  const members = new SimShardMembers(prngFromSeed(1));
  const store = members.open();
  expect(() => members.loseMember(0)).toThrow(SimCrash);
  expect(() => store.view(() => 1)).toThrow(SimCrash);
  expect(() => members.open()).toThrow(SimShardRefusal);
});

// Goal: whatever strikes, every acknowledged batch is there after the next start, and a batch whose
// owner died is there whole or not at all. Method: random batches and faults against a plain model.
const rates = {
  crash_before_commit: 20,
  crash_between_members: 20,
  crash_after_commit: 20,
  member_lost: 60,
  member_returned: 200,
} as const;

async function run(seed: number, options: SimShardOptions): Promise<ReadonlyMap<string, number>> {
  const prng = prngFromSeed(seed);
  const members = new SimShardMembers(prng, { memberCount: 3, rates, ...options });
  let store = members.open();
  const acknowledged = new Map<string, string>();
  for (let batch = 0; batch < 300; batch++) {
    const draft = new Map<string, string>();
    const changes = Array.from({ length: 1 + prng.below(4) }, () => ({
      key: new Uint8Array([prng.below(40)]),
      value: prng.fill(new Uint8Array(4)),
    }));
    const index = store.head().index;
    try {
      const tx = store.begin();
      for (const { key, value } of changes) tx.put(key, value);
      for (const { key, value } of changes) draft.set(toHex(key), toHex(value));
      const outcome = await tx.commit(toUtf8(`${batch}`), index, epoch(1n));
      if (outcome.kind !== "committed") throw new Error("Cannot happen here");
      for (const [key, value] of draft) acknowledged.set(key, value);
    } catch (reason) {
      if (!(reason instanceof SimCrash)) throw reason;
      store = members.open();
      if (store.head().index > index) {
        for (const [key, value] of draft) acknowledged.set(key, value);
      }
    }
    const rows = new Map<string, string>();
    store.view((map) =>
      map.scan({ start: new Uint8Array(0) }, (key, value) => {
        rows.set(toHex(key), toHex(value));
        return true;
      }),
    );
    const wanted = [...acknowledged].sort().join(" ");
    if ([...rows].join(" ") !== wanted) throw new Error(`Lost rows at batch ${batch}`);
    if (store.read(logIndex(1n), 1000, 1 << 20).length !== Number(store.head().index)) {
      throw new Error(`Lost entries at batch ${batch}`);
    }
  }
  return members.counts;
}

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

test(`SimShardMembers keeps what was acknowledged (replay with KISEKI_SIM_SEED=${seed})`, async () => {
  const total = new Map<string, number>();
  for (let i = 0; i < 10; i++) {
    for (const [fault, count] of await run(seed + i, {})) {
      total.set(fault, (total.get(fault) ?? 0) + count);
    }
  }
  for (const fault of Object.keys(rates))
    expect([fault, total.get(fault) ?? 0]).not.toEqual([fault, 0]);
});

for (const mutant of ["believe_returning", "ack_before_commit"] as const) {
  test(`SimShardMembers: the mutant ${mutant} loses rows (replay with KISEKI_SIM_SEED=${seed})`, async () => {
    let found = 0;
    for (let i = 0; i < 10 && found === 0; i++) {
      await run(seed + i, { mutants: new Set([mutant]) }).catch(() => (found += 1));
    }
    expect(found).toBe(1);
  });
}
