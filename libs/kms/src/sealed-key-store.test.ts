// Goal: a destroyed KEK is gone from the sealed key store on every mirror, as it lies on disk and as it
// lies behind the page seals. Method: the sealing VFS with a mirror; the pages opened by `serialize`.
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { openAwsLc } from "@kiseki/aws-lc";
import { newBytes, prngFromSeed, tenantId } from "@kiseki/base";
import { ClusterKeyring } from "@kiseki/keys";
import {
  closeSlot,
  loadSealedSqlite,
  openDatabase,
  openMembers,
  openSlot,
} from "@kiseki/sealed-sqlite";
import { ManualClock } from "./contract.ts";
import { InternalKms, KeyStore, openTenantKeys } from "./index.ts";

const nativeDirectory = `${import.meta.dir}/../../../build/native`;
const crypto = openAwsLc(nativeDirectory);
const tools = { crypto, openSecret: crypto.openSecret };
const never = new AbortController().signal;
loadSealedSqlite(nativeDirectory);

async function openWorld() {
  const prng = prngFromSeed(81);
  await using building = new AsyncDisposableStack();
  const root = await mkdtemp(`${tmpdir()}/kiseki-kms-`);
  building.defer(() => rm(root, { recursive: true }));
  const directories = [`${root}/data`, `${root}/mirror`];
  for (const directory of directories) await mkdir(directory);
  const cluster = building.use(new ClusterKeyring(tools, newBytes(32).fill(0xc5)));
  const fileId = newBytes(16).fill(0xf1);
  const set = openMembers({ directories, versionNote: `${root}/note`, silentMax: 30_000 });
  building.defer(() => set.close());
  const slot = openSlot({ pageKey: cluster.pageKey(fileId), maskKey: cluster.walMaskKey(fileId) });
  building.defer(() => void closeSlot(slot));
  const options = { name: "key-store", fileId, keyset: 1, slot, synchronous: "full" } as const;
  const database = openDatabase(set, { ...options, create: true });
  building.defer(() => database.close(true));
  const store = KeyStore.open(database);
  const parts = { clock: new ManualClock(), prng, tools, cluster, store };
  const kms = InternalKms.open(parts);
  const owned = building.move();
  return Object.assign(parts, {
    database,
    directories,
    kms,
    keys: openTenantKeys({ ...parts, kms }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  });
}
async function sizesOf(directory: string, end: string): Promise<readonly number[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(end));
  return Promise.all(
    names.map(async (name) => (await readFile(`${directory}/${name}`)).byteLength),
  );
}

test("shred() clears the sealed key store on every mirror, behind the seals too", async () => {
  await using world = await openWorld();
  const { keys, prng, store } = world;
  const tenants = Array.from({ length: 30 }, () => tenantId(prng.fill(newBytes(16))));
  for (const tenant of tenants) await keys.provision(tenant, {}, never);
  const [gone, kept] = [tenants[7]!, tenants[8]!];
  await keys.rotateKek(gone, never);
  const records = [
    ...store.keks(gone).map((row) => row.sealed),
    ...store.keysets(gone).flatMap((row) => [row.systemShare, row.tenantShare]),
    store.tenant(gone)!.idKey,
    store.tenant(gone)!.dirSecret,
  ];
  const pages = () => Buffer.from(world.database.serialize());
  world.database.query("PRAGMA wal_checkpoint(PASSIVE)").all();
  for (const record of records) expect(pages().includes(record)).toBe(true);
  await keys.shred(gone, never);
  for (const record of records) expect(pages().includes(record)).toBe(false);
  const [first, second] = await Promise.all(
    world.directories.map(async (directory) => {
      const name = (await readdir(directory)).find((each) => each.endsWith(".db"));
      return readFile(`${directory}/${name}`);
    }),
  );
  expect(first!.equals(second!)).toBe(true);
  for (const record of records) expect(first!.includes(record)).toBe(false);
  for (const directory of world.directories) {
    for (const size of await sizesOf(directory, "-wal")) expect(size).toBeLessThanOrEqual(3 * 4152);
  }
  await keys.open(kept, "write", never);
  await expect(keys.open(gone, "read", never)).rejects.toMatchObject({ code: "shredded" });
});
