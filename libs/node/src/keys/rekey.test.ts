import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { newBytes, prngFromSeed } from "@kiseki/base";
import { s3Fault } from "@kiseki/s3";
import { SqliteShardStore } from "@kiseki/shard-store";
import { systemClock } from "@kiseki/host";
import type { Clock, Crypto } from "@kiseki/ports";
import { openLogger } from "@kiseki/telemetry";
import { SealedScrub } from "../node/sealed-scrub.ts";
import { sealedShards } from "../node/sealed-shards.ts";
import { firstShardOf } from "../node/tenants.ts";
import {
  crypto,
  get,
  makeBucket,
  never,
  newId,
  openAt,
  openReader,
  put,
  readAll,
  temporaryFolder,
} from "./bed.test-helper.ts";
import { toFault } from "../gateway/failure.ts";
import { rekeyTenant } from "./rekey.ts";
import type { StorageNode } from "../node/open-node.ts";
import { countOldEntries } from "./old-log.ts";

const rekey = (node: StorageNode) =>
  rekeyTenant(
    { tenantKeys: node.storage.tenantKeys, tenants: node.tenants },
    node.defaultTenant,
    never,
  );

const shardFilesIn = (directory: string): readonly string[] =>
  readdirSync(directory).filter((file) => file.startsWith("shard-") && !file.endsWith("-wal"));

test("rekeyTenant() rewrites the shard file, cuts the old log, and keeps all that was stored", async () => {
  await using folder = await temporaryFolder();
  const prng = prngFromSeed(11);
  const contents = [1, 4096, 4097, 5_000_000].map((size) => prng.fill(newBytes(size)));
  {
    await using node = await openAt(folder.path);
    await makeBucket(node);
    for (const [i, content] of contents.entries()) await put(node, `before-${i}`, content);
    expect(await rekey(node)).toBe(2 as never);
    for (const [i, content] of contents.entries()) {
      expect(await get(node, `before-${i}`)).toEqual(Buffer.from(content));
      await put(node, `after-${i}`, content);
    }
    const tenant = await node.openDefaultTenant(never);
    expect(countOldEntries(tenant.store, 1)).toBe(0);
    if (!(tenant.store instanceof SqliteShardStore)) throw new Error("no SQLite store");
    expect(tenant.store.startSumCheck().step(1_000_000)).toEqual({ kind: "right" });
    for (const member of ["data", "mirror"]) {
      const files = shardFilesIn(`${folder.path}/${member}`);
      expect(files.map((file) => /-k\d+\.db$/.exec(file)?.[0])).toEqual(["-k2.db"]);
    }
  }
  await using node = await openAt(folder.path);
  for (const [i, content] of contents.entries()) {
    expect(await get(node, `before-${i}`)).toEqual(Buffer.from(content));
    expect(await get(node, `after-${i}`)).toEqual(Buffer.from(content));
  }
}, 20_000);

test("rekeyTenant() under load loses no acknowledged write; what it refuses can be tried again", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  await makeBucket(node);
  const acknowledged = new Map<string, Uint8Array>();
  const refused: unknown[] = [];
  const prng = prngFromSeed(12);
  let isOver = false;
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let n = 0; !isOver; n++) {
      const key = `${writer}/${n}`;
      const bytes = prng.fill(newBytes(1 + prng.below(9000)));
      await put(node, key, bytes).then(
        () => acknowledged.set(key, bytes),
        (reason: unknown) => refused.push(reason),
      );
      await Bun.sleep(0);
    }
  });
  for (let round = 2; round <= 4; round++) {
    const before = acknowledged.size;
    while (acknowledged.size < before + 20) await Bun.sleep(1);
    expect(await rekey(node)).toBe(round as never);
  }
  isOver = true;
  await Promise.all(writers);
  expect(acknowledged.size).toBeGreaterThan(60);
  for (const reason of refused) {
    if (reason instanceof Error && reason.message === "refused: closed") continue;
    expect(toFault(reason)).toMatchObject({ code: s3Fault("ServiceUnavailable").code });
  }
  for (const [key, bytes] of acknowledged) expect(await get(node, key)).toEqual(Buffer.from(bytes));
}, 20_000);

test("rekeyTenant() cuts no read that is under way", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  await makeBucket(node);
  const bytes = prngFromSeed(13).fill(newBytes(6_000_000));
  await put(node, "large", bytes);
  let isOver = false;
  let reads = 0;
  // Readers that opened under one keyset read on under the next ones.
  const readers = Array.from({ length: 3 }, async () => {
    while (!isOver) {
      using reader = await openReader(node, "large").catch(() => undefined); // it is between two openings
      if (reader === undefined) continue;
      expect(await readAll(reader)).toEqual(Buffer.from(bytes));
      reads += 1;
    }
  });
  for (let round = 0; round < 4; round++) {
    const before = reads;
    await rekey(node);
    await node.keysets.runRound(never);
    while (reads < before + 3) await Bun.sleep(1);
  }
  isOver = true;
  await Promise.all(readers);
}, 20_000);

/** A clock whose sleeps of no time, which a rewriting pauses with, wait until the gate opens. */
function gatedClock() {
  const [gate, reached] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let isShut = false;
  const clock: Clock = {
    monotonic: () => systemClock.monotonic(),
    realtime: () => systemClock.realtime(),
    async sleep(duration, signal) {
      if (!isShut || duration > 0) return await systemClock.sleep(duration, signal);
      reached.resolve();
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      signal.throwIfAborted();
      await Promise.race([gate.promise, promise]);
    },
  };
  const shut = () => (isShut = true);
  const open = () => {
    isShut = false;
    gate.resolve();
  };
  return { clock, reached: reached.promise, shut, open };
}

test("while a shard is rewritten its tenant is read, and writes wait and come through", async () => {
  await using folder = await temporaryFolder();
  const { clock, reached, shut, open } = gatedClock();
  await using node = await openAt(folder.path, undefined, [], clock);
  await makeBucket(node);
  await put(node, "one", Buffer.from("first"));
  shut();
  const done: string[] = [];
  const rekeying = rekey(node).then(() => done.push("rekey"));
  await reached;
  const writing = put(node, "one", Buffer.from("second")).then(() => done.push("write"));
  const tenant = await node.tenants.open(node.defaultTenant, "read", never);
  expect((await get(node, "one", undefined, "read")).toString()).toBe("first");
  const refused = tenant.owner.submit({ kind: "reclaim_step" }, newId());
  expect(await refused).toEqual({ kind: "refused", code: "busy" });
  const leaving = new AbortController();
  const gone = node.tenants.open(node.defaultTenant, "write", leaving.signal);
  leaving.abort(new Error("gone"));
  expect(gone).rejects.toThrow("gone");
  expect(done).toEqual([]);
  open();
  await Promise.all([rekeying, writing]);
  expect((await get(node, "one")).toString()).toBe("second");
  const files = shardFilesIn(`${folder.path}/data`);
  expect(files.map((file) => /-k.*$/.exec(file)?.[0])).toEqual(["-k2.db"]);
}, 20_000);

test("a rewriting ends when its tenant closes, and leaves what there was", async () => {
  await using folder = await temporaryFolder();
  const { clock, reached, shut, open } = gatedClock();
  await using node = await openAt(folder.path, undefined, [], clock);
  await makeBucket(node);
  await put(node, "one", Buffer.from("first"));
  shut();
  const rekeying = rekey(node);
  await reached;
  expect(shardFilesIn(`${folder.path}/data`).length).toBe(2);
  await node.tenants.close(node.defaultTenant);
  const left = shardFilesIn(`${folder.path}/data`);
  expect(left.map((file) => /-k.*$/.exec(file)?.[0])).toEqual(["-k1.db"]);
  open();
  await rekeying; // its opening has begun anew
  expect((await get(node, "one")).toString()).toBe("first");
  const files = shardFilesIn(`${folder.path}/data`);
  expect(files.map((file) => /-k.*$/.exec(file)?.[0])).toEqual(["-k2.db"]);
}, 20_000);

test("a shard that cannot be rewritten goes on under its keyset, and the next opening tries again", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path);
  await makeBucket(node);
  await put(node, "one", Buffer.from("content"));
  const { tenantKeys, members } = node.storage;
  const { defaultTenant: tenant } = node;
  await tenantKeys.addKeyset(tenant, never);
  await node.tenants.close(tenant);
  const keyring = tenantKeys.get(tenant, "write")!;
  let failures = 1;
  const failing: Crypto = new Proxy(crypto, {
    get(target, name) {
      if (name === "hmacSha256" && failures-- > 0) throw new Error("SQLITE_FULL");
      const found: unknown = Reflect.get(target, name, target);
      return typeof found === "function" ? (found.bind(target) as unknown) : found;
    },
  });
  const { clock, prng } = node.ports;
  const tools = { clock, prng, crypto: failing, log: openLogger("silent") };
  const [oldFile = ""] = members.listFiles().filter((file) => file.startsWith("shard-"));
  for (const keyset of ["-k1.db", "-k2.db"]) {
    const open = sealedShards(tools, members, new SealedScrub(members));
    const opened = open(firstShardOf(tenant), keyring, false);
    expect(opened.store.head().index).toBeGreaterThan(1n);
    expect(await opened.rewrite!(never, () => undefined)).toBe(keyset === "-k2.db");
    await opened.store[Symbol.asyncDispose]();
    opened.close();
    if (keyset === "-k2.db") members.deleteFile(oldFile); // as the next opening does
    const files = shardFilesIn(`${folder.path}/mirror`);
    expect(files.map((file) => /-k.*$/.exec(file)?.[0])).toEqual([keyset]);
  }
  expect(await get(node, "one")).toEqual(Buffer.from("content"));
}, 20_000);
