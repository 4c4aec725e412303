// Goal: no key older than its TTL is handed out, and nobody waits for a silent KMS longer than its limit.
// Method: a clock moved by hand, the internal key manager behind a driver that fails as it is told.
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { openAwsLc } from "@kiseki/aws-lc";
import {
  chunkId,
  inodeId,
  keyset,
  millis,
  newBytes,
  prngFromSeed,
  sealId,
  shardId,
  tenantId,
  toHex,
} from "@kiseki/base";
import { ClusterKeyring, type KeysetUse } from "@kiseki/keys";
import { FaultyKms, ManualClock } from "./contract.ts";
import { InternalKms, KeyStore, openTenantKeys } from "./index.ts";

const crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
const tools = { crypto, openSecret: crypto.openSecret };
const never = new AbortController().signal;
const shard = shardId(newBytes(16).fill(7));
const unused: KeysetUse = {
  chunks: 0,
  smallContents: 0,
  customerSalts: 0,
  tenantSecrets: 0,
  shardFiles: 0,
  logs: 0,
  snapshots: 0,
};

function openWorld(options: { readonly tenantsOpenMax?: number } = {}) {
  const prng = prngFromSeed(41);
  const clock = new ManualClock();
  const database = new Database(":memory:");
  const cluster = new ClusterKeyring(tools, newBytes(32).fill(0xc5));
  const store = KeyStore.open(database);
  const kms = new FaultyKms(InternalKms.open({ clock, prng, tools, cluster, store }));
  const parts = { clock, prng, tools, cluster, store, kms, ...options };
  const keys = openTenantKeys(parts);
  const lost: string[] = [];
  keys.onLost((_, reason) => lost.push(reason));
  const someone = () => tenantId(prng.fill(newBytes(16)));
  return Object.assign(parts, { database, keys, lost, someone, tenant: someone() });
}
async function openTenantWorld(ttl?: number) {
  const world = openWorld();
  await world.keys.provision(world.tenant, ttl ? { ttl: millis(ttl) } : {}, never);
  return world;
}
const settle = async () => {
  for (let i = 0; i < 50; i++) await Promise.resolve();
};
/** What tells one tenant's keys from another's or an older keyset's. */
async function fingerprint(world: ReturnType<typeof openWorld>, tenant = world.tenant) {
  const keyring = await world.keys.open(tenant, "read", never);
  const dek = (k: number) =>
    keyring.keyset(keyset(k))?.chunkDek(chunkId(newBytes(32)), sealId(newBytes(16)), "none");
  return {
    current: keyring.current,
    first: toHex(dek(1) ?? newBytes(0)),
    second: toHex(dek(2) ?? newBytes(0)),
    id: toHex(keyring.chunkIdOf(newBytes(32))),
    dir: toHex(keyring.dirKey(inodeId(1n))),
    chain: toHex(keyring.chainKey(keyset(1), shard)),
  };
}

test("open() answers the same keys after every closing, other ones for another tenant", async () => {
  const world = await openTenantWorld();
  const { keys, tenant } = world;
  expect(keys.get(tenant, "read")).toBeUndefined();
  const first = await fingerprint(world);
  const held = keys.get(tenant, "write");
  expect(held?.isOpen).toBe(true);
  keys.close(tenant);
  expect(held?.isOpen).toBe(false);
  expect(world.lost).toEqual(["closed"]);
  expect(await fingerprint(world)).toEqual(first);
  const other = world.someone();
  await keys.provision(other, {}, never);
  const stranger = await fingerprint(world, other);
  for (const name of ["first", "id", "dir", "chain"] as const) {
    expect(stranger[name], name).not.toBe(first[name]);
  }
  expect(keys.has(tenant)).toBe(true);
  expect(keys.has(world.someone())).toBe(false);
});
test("open() asks the KMS once for all who wait", async () => {
  const world = await openTenantWorld();
  const before = world.kms.count("unwrap");
  const all = await Promise.all(
    Array.from({ length: 20 }, () => world.keys.open(world.tenant, "write", never)),
  );
  expect(new Set(all).size).toBe(1);
  expect(world.kms.count("unwrap")).toBe(before + 1);
});
test("get() stops writes before reads, and reads at the TTL; the keys are wiped then", async () => {
  const world = await openTenantWorld(100_000);
  const { keys, tenant, clock, kms, lost } = world;
  const keyring = await keys.open(tenant, "write", never);
  kms.fault = "unavailable";
  await clock.advance(29_999);
  expect(keys.get(tenant, "write")).toBe(keyring);
  await clock.advance(1);
  expect(keys.get(tenant, "write")).toBeUndefined();
  expect(keys.get(tenant, "read")).toBe(keyring);
  await clock.advance(59_999); // 89,999 of at least 90,000
  expect(keys.get(tenant, "read")).toBe(keyring);
  expect(keyring.isOpen).toBe(true);
  await clock.advance(20_001); // 110,000: the most that chance may give
  expect(keyring.isOpen).toBe(false); // by the timer, nobody asked
  expect(lost).toEqual(["ttl"]);
  expect(keys.get(tenant, "read")).toBeUndefined();
  expect(clock.sleepers).toBe(0);
});
test("get() wipes by age even when no timer ran", async () => {
  const world = await openTenantWorld(5_000);
  const keyring = await world.keys.open(world.tenant, "read", never);
  world.clock.sleep = () => new Promise(() => undefined);
  const late = world.clock.advance(5_500); // the timer's turn has not come yet
  expect(world.keys.get(world.tenant, "read")).toBeUndefined();
  expect(keyring.isOpen).toBe(false);
  await late;
});
test("get() refreshes from half the write limit on, in the background and once", async () => {
  const world = await openTenantWorld(60_000);
  const { keys, tenant, clock, kms } = world;
  const keyring = await keys.open(tenant, "write", never);
  await clock.advance(14_999);
  keys.get(tenant, "read");
  expect(kms.count("validate")).toBe(0);
  await clock.advance(1);
  for (let i = 0; i < 5; i++) expect(keys.get(tenant, "write")).toBe(keyring);
  await settle();
  expect(kms.count("validate")).toBe(1);
  for (let i = 0; i < 20; i++) {
    await clock.advance(14_000);
    expect(keys.get(tenant, "write")).toBe(keyring);
    await settle();
  }
  expect(keyring.isOpen).toBe(true); // 280 s after a TTL of 60
});
test("open() for a write validates anew when the last validation is too old", async () => {
  const world = await openTenantWorld(60_000);
  const { keys, tenant, clock, kms } = world;
  const keyring = await keys.open(tenant, "read", never);
  await clock.advance(40_000);
  expect(await keys.open(tenant, "write", never)).toBe(keyring);
  expect(kms.count("validate")).toBe(1);
  await clock.advance(40_000);
  kms.fault = "unavailable";
  await expect(keys.open(tenant, "write", never)).rejects.toMatchObject({
    code: "kms_unavailable",
    provider: "internal",
  });
  expect(keys.get(tenant, "read")).toBe(keyring);
});
test("a validation counts from when it was sent", async () => {
  const world = await openTenantWorld(60_000);
  const { keys, tenant, clock, kms } = world;
  const gate = Promise.withResolvers<void>();
  kms.gate = gate.promise;
  const opening = keys.open(tenant, "write", never);
  await clock.advance(4_000);
  gate.resolve();
  await opening;
  kms.fault = "unavailable";
  await clock.advance(25_999);
  expect(keys.get(tenant, "write")).toBeDefined();
  await clock.advance(1);
  expect(keys.get(tenant, "write")).toBeUndefined();
});
test("a refresh counts from when it was sent, and not at all after a closing", async () => {
  const world = await openTenantWorld(60_000);
  const { keys, tenant, clock, kms } = world;
  await keys.open(tenant, "write", never);
  await clock.advance(15_000);
  const gate = Promise.withResolvers<void>();
  kms.gate = gate.promise;
  keys.get(tenant, "read");
  await clock.advance(4_000);
  gate.resolve();
  await settle();
  kms.fault = "unavailable";
  await clock.advance(25_999); // 29,999 after the refresh was sent
  expect(keys.get(tenant, "write")).toBeDefined();
  await clock.advance(1);
  expect(keys.get(tenant, "write")).toBeUndefined();
  kms.fault = undefined;
  const next = Promise.withResolvers<void>();
  kms.gate = next.promise;
  const refreshing = keys.open(tenant, "write", never).catch((reason: unknown) => reason);
  await settle();
  keys.close(tenant);
  next.resolve();
  expect(await refreshing).toBeInstanceOf(Error);
  expect(keys.get(tenant, "read")).toBeUndefined();
});
for (const fault of ["unavailable", "auth_failed", "crash", "kek_destroyed"] as const) {
  test(`open() names the KMS when it says ${fault}, and works again after`, async () => {
    const world = await openTenantWorld();
    world.kms.fault = fault;
    const refused = world.keys.open(world.tenant, "read", never);
    await expect(refused).rejects.toMatchObject({ code: "kms_unavailable", provider: "internal" });
    world.kms.fault = undefined;
    expect(await world.keys.open(world.tenant, "write", never)).toBeDefined();
  });
}
test("open() gives a silent KMS 5 s, and other tenants do not wait", async () => {
  const world = await openTenantWorld();
  const other = world.someone();
  await world.keys.provision(other, {}, never);
  world.kms.fault = "silent";
  const waiting = world.keys.open(world.tenant, "read", never);
  const impatient = new AbortController();
  const abandoned = world.keys.open(world.tenant, "read", impatient.signal);
  await settle();
  world.kms.fault = undefined;
  expect(await world.keys.open(other, "write", never)).toBeDefined();
  impatient.abort(new Error("gone"));
  await expect(abandoned).rejects.toThrow("gone");
  const outcome = waiting.catch((reason: unknown) => reason);
  await world.clock.advance(5_000);
  expect(await outcome).toMatchObject({
    code: "kms_unavailable",
    message: expect.stringContaining("timeout"),
  });
});
test("a KEK that is gone closes the tenant at the next validation", async () => {
  const world = await openTenantWorld(60_000);
  const { keys, tenant, clock, kms, lost } = world;
  const keyring = await keys.open(tenant, "write", never);
  await clock.advance(16_000);
  kms.fault = "kek_destroyed";
  keys.get(tenant, "read");
  await settle();
  expect(keyring.isOpen).toBe(false);
  expect(lost).toEqual(["kek"]);
});
test("open() refuses what was never provisioned, and provision() what is there", async () => {
  const world = await openTenantWorld();
  const stranger = world.keys.open(world.someone(), "read", never);
  await expect(stranger).rejects.toMatchObject({ code: "not_found" });
  await expect(world.keys.provision(world.tenant, {}, never)).rejects.toMatchObject({
    code: "exists",
  });
  const tooLong = world.keys.provision(world.someone(), { ttl: millis(300_001) }, never);
  await expect(tooLong).rejects.toThrow(RangeError);
});
test("provision() that finds a garbling KMS stores nothing", async () => {
  const world = openWorld();
  world.kms.fault = "garbled";
  world.kms.faulty.add("wrap");
  const garbled = world.keys.provision(world.tenant, {}, never);
  await expect(garbled).rejects.toMatchObject({ code: "damaged" });
  expect(world.keys.has(world.tenant)).toBe(false);
  world.kms.fault = undefined;
  await world.keys.provision(world.tenant, {}, never);
});
test("rotateMaster() and rotateKek() touch no key, and drop the old master", async () => {
  const world = await openTenantWorld();
  const before = await fingerprint(world);
  const shares = () => world.store.keysets(world.tenant)[0]!;
  const [system, tenantShare] = [shares().systemShare, shares().tenantShare];
  expect(world.keys.rotateMaster()).toBe(2);
  expect(world.store.masters().map((row) => row.epoch)).toEqual([2]);
  expect(await world.keys.rotateKek(world.tenant, never)).toBe("2");
  expect(shares().systemShare).not.toEqual(system);
  expect(shares().tenantShare).not.toEqual(tenantShare);
  world.keys.close(world.tenant);
  expect(await fingerprint(world)).toEqual(before);
});
test("rotateMaster() in the middle of provision() and addKeyset() leaves no share behind", async () => {
  const world = openWorld();
  const gate = Promise.withResolvers<void>();
  world.kms.gate = gate.promise;
  const provisioning = world.keys.provision(world.tenant, {}, never);
  await settle();
  world.keys.rotateMaster();
  gate.resolve();
  await provisioning;
  const next = Promise.withResolvers<void>();
  world.kms.gate = next.promise;
  const adding = world.keys.addKeyset(world.tenant, never);
  await settle();
  world.keys.rotateMaster();
  next.resolve();
  await adding;
  expect((await fingerprint(world)).current).toBe(keyset(2));
});
test("rotateKek() that reads back wrong keeps the old wraps", async () => {
  const world = await openTenantWorld();
  const before = world.store.keysets(world.tenant);
  world.kms.fault = "garbled";
  world.kms.faulty.add("rewrap");
  const garbled = world.keys.rotateKek(world.tenant, never);
  await expect(garbled).rejects.toMatchObject({ code: "damaged" });
  expect(world.store.keysets(world.tenant)).toEqual(before);
});
test("addKeyset() brings new roots and keeps ids, dirKeys and the old keyset", async () => {
  const world = await openTenantWorld();
  const before = await fingerprint(world);
  expect(await world.keys.addKeyset(world.tenant, never)).toBe(keyset(2));
  expect(world.lost).toEqual(["keyset"]);
  const after = await fingerprint(world);
  expect(after).toEqual({ ...before, current: keyset(2), second: after.second });
  expect(after.second).not.toBe(before.first);
  const drop = (use: KeysetUse) => world.keys.dropKeyset(world.tenant, keyset(1), use);
  expect(() => drop({ ...unused, logs: 1 })).toThrow("Cannot drop");
  drop(unused);
  expect(() => drop(unused)).toThrow("Cannot find");
  const keyring = await world.keys.open(world.tenant, "write", never);
  expect([...keyring.keysets]).toEqual([keyset(2)]);
  expect(() => world.keys.dropKeyset(world.tenant, keyset(2), unused)).toThrow("Cannot drop");
});
test("addKeyset() and dropKeyset() leave no gap to a tenant that is open", async () => {
  const world = await openTenantWorld();
  const { keys, tenant } = world;
  const first = await keys.open(tenant, "write", never);
  let without = 0;
  using _ = keys.onLost(() => (without += keys.get(tenant, "write") === undefined ? 1 : 0));
  await keys.addKeyset(tenant, never);
  expect([without, first.isOpen]).toEqual([0, false]);
  const second = keys.get(tenant, "write");
  expect(second?.current).toBe(keyset(2));
  keys.dropKeyset(tenant, keyset(1), unused);
  expect(keys.get(tenant, "write")).toBe(second);
  expect([...second!.keysets]).toEqual([keyset(2)]);
  expect(second!.keyset(keyset(1))).toBeUndefined();
});
test("addKeyset() whose new keys cannot be opened at once ends the old ones; the next opening has them", async () => {
  const world = await openTenantWorld();
  const { keys, tenant, kms } = world;
  await keys.open(tenant, "write", never);
  const { change } = world.store;
  world.store.change = (act) => {
    kms.fault = "unavailable"; // from the moment in which the keyset is there
    return change.call(world.store, act) as never;
  };
  await keys.addKeyset(tenant, never);
  world.store.change = change;
  expect(keys.get(tenant, "read")).toBeUndefined();
  expect(world.lost).toEqual(["keyset"]);
  kms.fault = undefined;
  expect((await keys.open(tenant, "write", never)).current).toBe(keyset(2));
});
test("shred() closes at once, deletes our wraps and is the end, however often it is asked", async () => {
  const world = await openTenantWorld();
  const { keys, tenant, store, lost } = world;
  const keyring = await keys.open(tenant, "write", never);
  const report = await keys.shred(tenant, never);
  const effectiveAt = world.clock.realtime();
  expect(report).toEqual({ effectiveAt, provider: "internal", absentMembers: [] });
  expect(keyring.isOpen).toBe(false);
  expect(lost).toEqual(["shred"]);
  expect(store.keysets(tenant)).toEqual([]);
  expect(store.tenant(tenant)?.idKey.every((byte) => byte === 0)).toBe(true);
  expect(store.tenant(tenant)?.dirSecret.every((byte) => byte === 0)).toBe(true);
  await expect(keys.open(tenant, "read", never)).rejects.toMatchObject({ code: "shredded" });
  await expect(keys.provision(tenant, {}, never)).rejects.toMatchObject({ code: "shredded" });
  await expect(keys.addKeyset(tenant, never)).rejects.toMatchObject({ code: "shredded" });
  expect(() => keys.chainKey(tenant, keyset(1), shard)).toThrow("Cannot find");
  expect(await keys.shred(tenant, never)).toEqual(report);
});
test("shred() that the KMS does not answer stays begun: nothing opens, and it can be ended", async () => {
  const world = await openTenantWorld();
  const { keys, kms, tenant } = world;
  kms.fault = "unavailable";
  await expect(keys.shred(tenant, never)).rejects.toMatchObject({ code: "kms_unavailable" });
  kms.fault = undefined;
  await expect(keys.open(tenant, "read", never)).rejects.toMatchObject({ code: "shredded" });
  expect(keys.unfinishedShreds()).toEqual([tenant]);
  await keys.shred(tenant, never);
  expect(keys.unfinishedShreds()).toEqual([]);
});
test("shred() and rotateKek() at once: one after the other, never a wrap left", async () => {
  const world = await openTenantWorld();
  const { keys, tenant } = world;
  const outcomes = await Promise.allSettled([
    keys.rotateKek(tenant, never),
    keys.shred(tenant, never),
    keys.rotateKek(tenant, never),
    keys.addKeyset(tenant, never),
  ]);
  expect(outcomes.map((each) => each.status)).toEqual([
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
  ]);
  expect(world.store.keysets(tenant)).toEqual([]);
});
test("shred() while the tenant opens: the opening ends without keys", async () => {
  const world = await openTenantWorld();
  const gate = Promise.withResolvers<void>();
  world.kms.gate = gate.promise;
  const opening = world.keys.open(world.tenant, "read", never).catch((reason: unknown) => reason);
  await settle();
  world.kms.gate = undefined;
  await world.keys.shred(world.tenant, never);
  gate.resolve();
  expect(await opening).toBeInstanceOf(Error);
  expect(world.keys.get(world.tenant, "read")).toBeUndefined();
});
test("chainKey() needs no KMS", async () => {
  const world = await openTenantWorld();
  const open = await fingerprint(world);
  world.keys.close(world.tenant);
  world.kms.fault = "unavailable";
  expect(toHex(world.keys.chainKey(world.tenant, keyset(1), shard))).toBe(open.chain);
});
test("every flipped bit of every secret column is refused as damage", async () => {
  const world = await openTenantWorld();
  const columns = [
    ["master", "sealed"],
    ["keyset", "system_share"],
    ["keyset", "tenant_share"],
    ["tenant", "id_key"],
    ["tenant", "dir_secret"],
  ] as const;
  for (const [table, column] of columns) {
    const row = world.database.query(`SELECT ${column} AS it FROM ${table}`).get();
    const good = (row as { it: Uint8Array }).it;
    const put = (value: Uint8Array) =>
      world.database.query(`UPDATE ${table} SET ${column} = ?`).run(value);
    for (let byte = 0; byte < good.byteLength; byte++) {
      const flipped = good.slice();
      flipped[byte]! ^= 1 << (byte & 7);
      put(flipped);
      await expect(
        world.keys.open(world.tenant, "read", never),
        `${column} byte ${byte}`,
      ).rejects.toMatchObject({ code: "damaged" });
    }
    put(good);
  }
  await world.keys.open(world.tenant, "read", never);
});
test("another tenant's wrapped shares are refused", async () => {
  const world = await openTenantWorld();
  const other = world.someone();
  await world.keys.provision(other, {}, never);
  const [own, foreign] = [world.tenant, other].map((each) => world.store.keysets(each)[0]!);
  world.store.updateSystemShare(world.tenant, keyset(1), foreign!.systemShare);
  const opening = world.keys.open(world.tenant, "read", never);
  await expect(opening).rejects.toMatchObject({ code: "damaged" });
  world.store.updateSystemShare(world.tenant, keyset(1), own!.systemShare);
  world.store.updateTenantShare(world.tenant, keyset(1), foreign!.tenantShare);
  const again = world.keys.open(world.tenant, "read", never);
  await expect(again).rejects.toMatchObject({ code: "damaged" });
});
test("tenantsOpenMax closes the tenant opened first", async () => {
  const world = openWorld({ tenantsOpenMax: 2 });
  const tenants = [world.someone(), world.someone(), world.someone()];
  for (const tenant of tenants) {
    await world.keys.provision(tenant, {}, never);
    await world.keys.open(tenant, "read", never);
  }
  const isOpen = tenants.map((tenant) => world.keys.get(tenant, "read") !== undefined);
  expect(isOpen).toEqual([false, true, true]);
});
test("disposal wipes every keyring, and nothing opens after", async () => {
  const world = await openTenantWorld();
  const keyring = await world.keys.open(world.tenant, "read", never);
  await world.keys[Symbol.asyncDispose]();
  expect(keyring.isOpen).toBe(false);
  expect(world.clock.sleepers).toBe(0);
  const late = world.keys.open(world.tenant, "read", never);
  await expect(late).rejects.toMatchObject({ code: "closed" });
});
