import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { openAwsLc } from "@kiseki/aws-lc";
import { newBytes, prngFromSeed, tenantId, toUtf8 } from "@kiseki/base";
import { ClusterKeyring } from "@kiseki/keys";
import { KmsError } from "@kiseki/ports";
import { kmsContract } from "@kiseki/ports/contract";
import { ManualClock } from "./contract.ts";
import { InternalKms, KeyStore, KeyStoreError } from "./index.ts";

const crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
const tools = { crypto, openSecret: crypto.openSecret };
const never = new AbortController().signal;
const clusterKey = () => newBytes(32).fill(0xc5);

async function openWorld() {
  const prng = prngFromSeed(31);
  const owned = new AsyncDisposableStack();
  const directory = await mkdtemp(`${tmpdir()}/kiseki-kms-`);
  owned.defer(() => rm(directory, { recursive: true }));
  const path = `${directory}/key-store`;
  const database = owned.adopt(new Database(path, { create: true }), (each) => each.close());
  const cluster = owned.use(new ClusterKeyring(tools, clusterKey()));
  const store = KeyStore.open(database);
  const parts = { clock: new ManualClock(), prng, tools, cluster, store };
  const files = () =>
    [path, `${path}-wal`, `${path}-shm`].filter(existsSync).map((each) => readFileSync(each));
  return Object.assign(parts, {
    path,
    database,
    files,
    tenant: tenantId(prng.fill(newBytes(16))),
    kms: InternalKms.open(parts),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  });
}

kmsContract("InternalKms", async () => {
  const world = await openWorld();
  return Object.assign(world.kms, { [Symbol.asyncDispose]: world[Symbol.asyncDispose] });
});

/** How often a whole sealed KEK of the tenant opens at any offset of any of the files. */
function keksInFiles(world: Awaited<ReturnType<typeof openWorld>>): number {
  let found = 0;
  for (const file of world.files()) {
    for (let offset = 0; offset + 68 <= file.byteLength; offset++) {
      if (file[offset] !== 1 || file[offset + 1] !== 5) continue; // version and kind
      const record = file.subarray(offset, offset + 68);
      for (const epoch of [1, 2, 3]) {
        if (typeof world.cluster.openKek(world.tenant, epoch, record) !== "string") found += 1;
      }
    }
  }
  return found;
}

test("InternalKms.destroy() leaves no KEK in any byte of the key store's files", async () => {
  await using world = await openWorld();
  const { kms, tenant, store, cluster } = world;
  const others = Array.from({ length: 40 }, () => tenantId(world.prng.fill(newBytes(16))));
  for (const other of others.slice(0, 20)) await kms.provision(other, never);
  await kms.provision(tenant, never);
  await kms.rotate(tenant, never);
  for (const other of others.slice(20)) await kms.provision(other, never);
  await kms.rotate(tenant, never);
  const rows = store.keks(tenant);
  expect(rows).toHaveLength(3);
  const keks = rows.map((row) => Buffer.from(cluster.openKek(tenant, row.epoch, row.sealed)));
  expect(keksInFiles(world)).toBeGreaterThanOrEqual(3); // the search finds what is there
  await kms.destroy(tenant, never);
  expect(keksInFiles(world)).toBe(0);
  for (const file of world.files()) {
    for (const kek of keks) {
      expect(file.includes(kek)).toBe(false);
      expect(file.includes(kek.toString("hex"))).toBe(false);
    }
    for (const row of rows) expect(file.includes(row.sealed)).toBe(false);
  }
  await kms.validate(others[0]!, never);
});
test("InternalKms.destroy() that could not erase is refused, and the next opening ends it", async () => {
  await using world = await openWorld();
  const { kms, tenant } = world;
  await kms.provision(tenant, never);
  const reader = new Database(world.path, { readonly: true });
  reader.run("BEGIN");
  reader.query("SELECT * FROM internal_kek").all(); // holds the WAL
  const busy = kms.destroy(tenant, never);
  await expect(busy).rejects.toThrow(KmsError);
  await expect(kms.validate(tenant, never)).rejects.toMatchObject({ code: "kek_destroyed" });
  reader.run("COMMIT");
  reader.close();
  expect(world.store.keksToErase()).toHaveLength(1);
  const again = InternalKms.open(world);
  expect(world.store.keksToErase()).toHaveLength(0);
  expect(keksInFiles(world)).toBe(0);
  expect(await again.destroy(tenant, never)).toEqual({ effectiveAt: 1_700_000_000_000 });
});
test("InternalKms refuses a KEK whose row was changed in one bit", async () => {
  await using world = await openWorld();
  const { kms, tenant, store, database } = world;
  await kms.provision(tenant, never);
  const wrapped = await kms.wrap(tenant, toUtf8("share"), newBytes(0), never);
  const { sealed } = store.keks(tenant)[0]!;
  for (let byte = 0; byte < sealed.byteLength; byte++) {
    const flipped = sealed.slice();
    flipped[byte]! ^= 1 << (byte & 7);
    database.query("UPDATE internal_kek SET sealed = ?").run(flipped);
    await expect(kms.unwrap(tenant, wrapped, newBytes(0), never)).rejects.toMatchObject({
      code: "crypto_error",
    });
  }
});
test("KeyStore.open() keeps what is there and refuses a newer schema", async () => {
  await using world = await openWorld();
  await world.kms.provision(world.tenant, never);
  expect(KeyStore.open(world.database).keks(world.tenant)).toHaveLength(1);
  world.database.run("PRAGMA user_version = 2");
  expect(() => KeyStore.open(world.database)).toThrow(KeyStoreError);
  const tables = "SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'";
  expect(world.database.query(tables).get()).toEqual({ n: 5 });
});
