import { afterAll, beforeAll, expect, test } from "bun:test";
import { inodeId, millis, newBytes, prngFromSeed, toUtf8 } from "@kiseki/base";
import { systemClock } from "@kiseki/host";
import type { Datapath } from "@kiseki/ports";
import type { Invalidation, PlanPiece } from "@kiseki/vfs";
import { crypto, file, openArena, openAt, readFile, tryAt, writeFile } from "./bed.test-helper.ts";
import type { Client } from "./index.ts";
import { FaultyProxy } from "./faulty-proxy.test-helper.ts";
import { TestNode, token } from "./test-node.test-helper.ts";

let datapath: Datapath;
beforeAll(() => {
  datapath = openArena();
});
afterAll(() => datapath[Symbol.asyncDispose]());

for (const isBulkTls of [false, true]) {
  test(`ContentStore: reads what it wrote, of any size and range (bulk TLS: ${isBulkTls})`, async () => {
    await using node = await TestNode.open(crypto, isBulkTls);
    await using client = await openAt(datapath, node);
    const prng = prngFromSeed(3);
    for (const size of [1, 4096, 65_536, 65_537, 1_500_000, 4 * 1024 * 1024]) {
      node.file = [];
      const source = prng.fill(newBytes(size));
      await writeFile(client, source);
      expect(Buffer.compare(await readFile(client, 0, size), source)).toBe(0);
      const [start, end] = [Math.floor(size / 3), Math.ceil((size * 2) / 3)];
      if (end > start) {
        const part = await readFile(client, start, end);
        expect(Buffer.compare(part, source.subarray(start, end))).toBe(0);
      }
    }
  });
}

test("ContentStore: no byte of plaintext and no key leaves the client, small content and large", async () => {
  await using node = await TestNode.open(crypto);
  await using proxy = await FaultyProxy.open({ host: "127.0.0.1", port: node.bulkPort });
  node.bulkEndpoint = `127.0.0.1:${proxy.port}`;
  await using client = await openAt(datapath, node);
  const canary = toUtf8("canary of plaintext that nobody may see: ");
  for (const size of [canary.byteLength, 4096, 300_000]) {
    node.file = [];
    const source = newBytes(size).map((_, i) => canary[i % canary.byteLength]!);
    await writeFile(client, source);
    expect(Buffer.compare(await readFile(client, 0, size), source)).toBe(0);
  }
  const { seen } = proxy;
  expect(seen.byteLength).toBeGreaterThan(600_000);
  expect(seen.includes("canary")).toBe(false);
  for (const dek of node.deks.values()) expect(seen.includes(dek)).toBe(false);
});

/** Files of the sizes, one behind the other; how they are read. */
async function smallFiles(client: Client, sizes: readonly number[]) {
  const sources: Uint8Array[] = [];
  let end = 0;
  for (const size of sizes) {
    const source = prngFromSeed(size).fill(newBytes(size));
    await writeFile(client, source, end);
    sources.push(source);
    end += size;
  }
  const plan = await client.files.plan(file, 0, end);
  if (plan.kind === "refused") throw new Error(plan.code);
  return { sources, pieces: plan.pieces };
}
async function readSmall(client: Client, pieces: readonly PlanPiece[]) {
  const chunks = pieces.filter((piece) => client.smallReads.takes(piece));
  let all: readonly (Uint8Array | undefined)[] = [];
  await client.smallReads.read(chunks, async (found) => {
    all = found.map((bytes) => bytes?.slice());
  });
  return all;
}

test("SmallReads: many small chunks come in one frame, and what does not come is told", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(datapath, node);
  const { sources, pieces } = await smallFiles(client, [1, 4096, 5, 65_536, 70]);
  expect(await readSmall(client, pieces)).toEqual(sources);
  expect(node.framesOfMany).toBe(1);
  const [first, second] = [...node.stored];
  node.stored.delete(first![0]);
  second![1].sealed[100]! ^= 1;
  const [lost, damaged, ...rest] = await readSmall(client, pieces);
  expect([lost, damaged]).toEqual([undefined, undefined]);
  expect(rest).toEqual(sources.slice(2));
  for (const fault of ["malformed", "busy", "internal"] as const) {
    node.bulkFaults.push(fault);
    expect(await readSmall(client, pieces)).toEqual(sources.map(() => undefined));
  }
});
test("SmallReads: takes whole chunks of a segment, and asks no node that knows of no such frames", async () => {
  await using node = await TestNode.open(crypto);
  node.bulkEntriesMax = 0;
  await using client = await openAt(datapath, node);
  const { sources, pieces } = await smallFiles(client, [9, 65_536, 65_537]);
  const [small, segment, large] = pieces;
  expect(pieces.map((piece) => client.smallReads.takes(piece))).toEqual([true, true, false]);
  expect(large?.length).toBe(65_537);
  const part = { ...small!, length: 8 };
  expect(client.smallReads.takes(part)).toBe(false);
  expect(client.smallReads.takes({ kind: "hole", offset: 0, length: 9 })).toBe(false);
  expect(await readSmall(client, [small!, segment!])).toEqual([undefined, undefined]);
  expect(node.framesOfMany).toBe(0);
  expect(sources).toHaveLength(3);
});

test("ContentStore: what is sent again is the same bytes, and another lease is taken when the node asks for it", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(datapath, node);
  const source = prngFromSeed(4).fill(newBytes(100_000));
  node.bulkFaults.push("busy", "checksum", "unavailable");
  await writeFile(client, source);
  expect(node.stored.size).toBe(1);
  node.bulkFaults.push("stale", "busy", "forbidden");
  node.file = [];
  await writeFile(client, source);
  expect(node.stored.size).toBe(2);
  const sealed = [...node.stored.values()].map((one) => one.sealed);
  expect(sealed[0]!.equals(sealed[1]!)).toBe(false);
  expect(Buffer.compare(await readFile(client, 0, 100_000), source)).toBe(0);
  node.bulkFaults.push("no_space");
  expect(await client.content.write(file, source)).toEqual({ kind: "refused", code: "no_space" });
});

test("ContentStore: what was changed on its way or where it lay is never read", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(datapath, node);
  await writeFile(client, prngFromSeed(5).fill(newBytes(200_000)));
  const plan = await client.files.plan(file, 0, 200_000);
  if (plan.kind === "refused" || plan.pieces[0]?.kind !== "chunk") throw new Error("no plan");
  const [stored] = node.stored.values();
  stored!.sealed[70_000] = stored!.sealed[70_000]! ^ 1;
  const target = newBytes(200_000);
  const read = await client.content.read(plan.pieces[0], 0, target);
  expect(read).toEqual({ kind: "refused", code: "damaged" });
  expect(target.every((byte) => byte === 0)).toBe(true);
  const before = newBytes(60_000);
  expect(await client.content.read(plan.pieces[0], 0, before)).toEqual({ kind: "read" });
});

test("FileService: an operation that is sent again is done once, and refusals come back as they are", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(datapath, node);
  node.applyFaults.push("busy", "internal", "closed");
  const renamed = await client.files.apply({ kind: "truncate", file, size: 0 });
  expect(renamed.kind).toBe("applied");
  expect(node.applied).toEqual(["truncate"]);
  node.applyFaults.push("quota_exceeded");
  const refused = await client.files.apply({ kind: "truncate", file, size: 9 });
  expect(refused).toEqual({ kind: "refused", code: "quota_exceeded" });
  const name = { parent: inodeId(1n), name: toUtf8("none") };
  expect(await client.files.lookup(name)).toEqual({ kind: "refused", code: "no_such_key" });
});

test("FileService: an operation that was given up while it waited is never sent", async () => {
  await using node = await TestNode.open(crypto);
  await using proxy = await FaultyProxy.open({ host: "127.0.0.1", port: node.rpcPort });
  const words = { seeds: `127.0.0.1:${proxy.port}`, deadlineMs: 3_000 };
  await using client = await openAt(datapath, node, words);
  proxy.weather = { kind: "black_hole" };
  const all = Array.from({ length: 40 }, (_, size) =>
    client.files.apply({ kind: "truncate", file, size }),
  );
  for (const answer of await Promise.all(all)) expect(answer.kind).toBe("refused");
  proxy.weather = { kind: "fair" };
  proxy.cut();
  while ((await client.files.plan(file, 0, 1)).kind === "refused");
  expect((await client.files.apply({ kind: "truncate", file, size: 0 })).kind).toBe("applied");
  expect(node.applied).toEqual(["truncate"]);
});

test("FileService: operations that come together go together", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(datapath, node);
  const all = Array.from({ length: 500 }, (_, size) =>
    client.files.apply({ kind: "truncate", file, size }),
  );
  for (const { kind } of await Promise.all(all)) expect(kind).toBe("applied");
  expect(node.applied.length).toBe(500);
});

test("FileService: a node that has forgotten the session takes it up again, and nobody notices", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(datapath, node);
  let ends = 0;
  client.files.listen({ invalidated: () => {}, sessionEnded: () => (ends += 1) });
  const known = { parent: inodeId(1n), name: toUtf8("file") };
  node.forgetSessions();
  expect((await client.files.lookup(known)).kind).not.toBe("refused");
  node.forgetSessions();
  expect((await client.files.apply({ kind: "truncate", file, size: 1 })).kind).toBe("applied");
  node.forgetSessions();
  await writeFile(client, toUtf8("under the keys of another session"));
  expect([ends, node.sessionsOpened, node.clientIds.size]).toEqual([0, 4, 1]);
});

test("FileService: a session that was silent for its lease is over: that is told, and what was under way is refused", async () => {
  await using node = await TestNode.open(crypto);
  node.leaseMs = 1_000;
  await using proxy = await FaultyProxy.open({ host: "127.0.0.1", port: node.rpcPort });
  await using client = await openAt(datapath, node, { seeds: `127.0.0.1:${proxy.port}` });
  const ended = Promise.withResolvers<void>();
  client.files.listen({ invalidated: () => {}, sessionEnded: () => ended.resolve() });
  proxy.weather = { kind: "black_hole" };
  const bound = client.files.apply({ kind: "truncate", file, size: 1 });
  await ended.promise;
  proxy.weather = { kind: "fair" };
  proxy.cut();
  expect(await bound).toEqual({ kind: "refused", code: "session_expired" });
  expect((await client.files.apply({ kind: "truncate", file, size: 1 })).kind).toBe("applied");
  expect([node.applied, node.clientIds.size]).toEqual([["truncate"], 2]);
});

test("FileService: a session lives while it is idle", async () => {
  await using node = await TestNode.open(crypto);
  node.leaseMs = 2_000;
  await using _client = await openAt(datapath, node);
  await systemClock.sleep(millis(2_500), new AbortController().signal);
  expect(node.renewals).toBeGreaterThanOrEqual(2);
  expect(node.sessionsOpened).toBe(1);
});

/** A client at one node of two, and what says of either that it is the owner. */
async function openTwo(leaseMs: number, seedsOf: (ports: number[]) => number[]) {
  await using building = new AsyncDisposableStack();
  const one = building.use(await TestNode.open(crypto));
  const two = building.use(await TestNode.open(crypto));
  for (const node of [one, two]) node.leaseMs = leaseMs;
  const owns = (node: TestNode): void => {
    for (const each of [one, two]) each.rpcEndpoint = `https://127.0.0.1:${node.rpcPort}`;
  };
  owns(one);
  const identity = { token, authority: one.certificate + two.certificate };
  const ports = seedsOf([one.rpcPort, two.rpcPort]);
  const seeds = ports.map((port) => `127.0.0.1:${port}`).join(",");
  const client = building.use(await openAt(datapath, one, { seeds, identity }));
  let ends = 0;
  const heard: Invalidation[] = [];
  client.files.listen({
    invalidated: (change) => heard.push(change),
    sessionEnded: () => (ends += 1),
  });
  const owned = building.move();
  const lives = (): readonly number[] => [ends, new Set([...one.clientIds, ...two.clientIds]).size];
  const dispose = { [Symbol.asyncDispose]: () => owned.disposeAsync() };
  return { one, two, owns, client, heard, lives, ...dispose };
}

test("FileService: a node that says that it does not own the range is left for the owner, in the same life", async () => {
  await using place = await openTwo(30_000, (ports) => ports);
  const { one, two, owns, client, heard, lives } = place;
  owns(two);
  one.applyFaults.push("moved");
  expect((await client.files.apply({ kind: "truncate", file, size: 1 })).kind).toBe("applied");
  await writeFile(client, toUtf8("with keys and over the bulk port of the new owner"));
  expect([one.applied, two.applied, one.stored.size]).toEqual([[], ["truncate", "write"], 0]);
  expect(lives()).toEqual([0, 1]);
  two.changes.push({ inode: 7n, isDirectory: false });
  while (heard.length === 0) await Bun.sleep(5);
  // And back, whatever the owner before said once.
  owns(one);
  two.applyFaults.push("moved");
  expect((await client.files.apply({ kind: "truncate", file, size: 2 })).kind).toBe("applied");
  expect([one.applied, lives()]).toEqual([["truncate"], [0, 1]]);
});

test("FileService: another seed is asked when the first still takes the owner before for it", async () => {
  await using place = await openTwo(30_000, (ports) => ports);
  const { one, two, client, lives } = place;
  two.rpcEndpoint = `https://127.0.0.1:${two.rpcPort}`;
  one.applyFaults.push("moved", "moved");
  expect((await client.files.apply({ kind: "truncate", file, size: 1 })).kind).toBe("applied");
  expect([two.applied, lives()]).toEqual([["truncate"], [0, 1]]);
});

test("FileService: an owner that has changed is found by the TTL of the routes, though nobody says so", async () => {
  await using place = await openTwo(8_000, ([first]) => [first!]);
  const { two, owns, client, lives } = place;
  owns(two);
  while (two.sessionsOpened === 0) await Bun.sleep(10);
  expect((await client.files.apply({ kind: "truncate", file, size: 1 })).kind).toBe("applied");
  expect([two.applied, lives()]).toEqual([["truncate"], [0, 1]]);
});

test("FileService: what others changed is heard, once", async () => {
  await using node = await TestNode.open(crypto);
  await using proxy = await FaultyProxy.open({ host: "127.0.0.1", port: node.rpcPort });
  await using client = await openAt(datapath, node, { seeds: `127.0.0.1:${proxy.port}` });
  const heard: Invalidation[] = [];
  client.files.listen({ invalidated: (change) => heard.push(change), sessionEnded: () => {} });
  const until = async (count: number) => {
    while (heard.length < count) await Bun.sleep(5);
  };
  await Bun.sleep(50);
  node.changes.push({ inode: 7n, isDirectory: false });
  await until(1);
  proxy.cut();
  node.changes.push({ inode: 8n, isDirectory: true, isOwn: true });
  await until(2);
  expect(heard).toEqual([
    { kind: "inode", inode: inodeId(7n), isOwn: false },
    { kind: "directory", inode: inodeId(8n), isOwn: true },
  ]);
});

test("openClient() says why there is no client: no seed, no such namespace, no such node", async () => {
  await using node = await TestNode.open(crypto);
  const nowhere = await tryAt(datapath, node, {
    seeds: "127.0.0.1:1,127.0.0.1:2",
    deadlineMs: 300,
  });
  expect(nowhere).toMatchObject({ kind: "refused", code: "unreachable" });
  expect(nowhere).toHaveProperty("message", expect.stringContaining("No seeds reachable"));
  const other = await tryAt(datapath, node, { namespace: "other" });
  expect(other).toMatchObject({ kind: "refused", code: "no_such_namespace" });
  const stranger = await tryAt(datapath, node, { identity: { authority: node.certificate } });
  expect(stranger).toMatchObject({ kind: "refused", code: "forbidden" });
  expect(stranger).toHaveProperty("message", expect.stringContaining("unauthenticated"));
  await expect(tryAt(datapath, node, { seeds: "not a seed" })).rejects.toThrow(RangeError);
});

test("openClient() does not wait for a node that it does not trust, unless another seed may answer yet", async () => {
  await using node = await TestNode.open(crypto);
  await using strange = await TestNode.open(crypto);
  for (const authority of [undefined, strange.certificate]) {
    const identity = { token, authority };
    const blind = await tryAt(datapath, node, { identity, deadlineMs: 3_600_000 });
    expect(blind).toMatchObject({ kind: "refused", code: "forbidden" });
    expect(blind).toHaveProperty("message", expect.stringContaining("untrusted"));
  }
  const seeds = `127.0.0.1:1,127.0.0.1:${node.rpcPort}`;
  const hopeful = await tryAt(datapath, node, { identity: { token }, seeds, deadlineMs: 300 });
  expect(hopeful).toMatchObject({ kind: "refused", code: "unreachable" });
});

test("openClient() goes on to the next seed and to the next address of a name", async () => {
  await using node = await TestNode.open(crypto);
  const seeds = `127.0.0.1:1,localhost:${node.rpcPort}`;
  const dead = { host: "127.0.0.1", port: 1 };
  const alive = { host: "127.0.0.1", port: node.rpcPort };
  const resolve = async ({ host }: { host: string }) =>
    host === "localhost" ? [dead, alive] : [dead];
  node.bulkEndpoint = `localhost:${node.bulkPort}`;
  await using client = await openAt(datapath, node, { seeds }, { resolve });
  expect((await client.files.apply({ kind: "truncate", file, size: 1 })).kind).toBe("applied");
});

test("ContentStore: a plan of the node's last life is made anew while its chunk is there", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(datapath, node);
  const source = prngFromSeed(6).fill(newBytes(100_000));
  await writeFile(client, source);
  const plan = await client.files.plan(file, 0, 100_000);
  if (plan.kind === "refused" || plan.pieces[0]?.kind !== "chunk") throw new Error("no plan");
  const target = newBytes(100_000);
  node.bulkFaults.push("stale");
  node.forgetSessions();
  expect(await client.content.read(plan.pieces[0], 0, target)).toEqual({ kind: "read" });
  expect(Buffer.compare(target, source)).toBe(0);
  node.bulkFaults.push("forbidden");
  node.file = [];
  const gone = await client.content.read(plan.pieces[0], 0, target);
  expect(gone).toEqual({ kind: "refused", code: "receipt_stale" });
});
