import { afterAll, beforeAll, expect, test } from "bun:test";
import { inodeId, millis, newBytes, prngFromSeed, toUtf8 } from "@kiseki/base";
import { openDatapath } from "@kiseki/datapath";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "@kiseki/host";
import type { Crypto, Datapath } from "@kiseki/ports";
import type { FileRef, FileRefusal, Invalidation, StoredContent } from "@kiseki/vfs";
import { FaultyProxy } from "./faulty-proxy.test-helper.ts";
import {
  type Client,
  type ClientFault,
  type ClientOptions,
  type ClientPorts,
  type Identity,
  openClient,
} from "./index.ts";
import { TestNode, token } from "./test-node.test-helper.ts";

const crypto: Crypto = openCrypto();
let datapath: Datapath & AsyncDisposable;
beforeAll(() => {
  const sizes = { arenaSize: 48 << 20, computeThreads: 1, deviceThreads: 1 };
  datapath = openDatapath({ directory: nativeDirectory, ...sizes });
});
afterAll(async () => {
  expect(datapath.arena.sizeLent).toBe(0); // whatever went wrong, all memory came back
  await datapath[Symbol.asyncDispose]();
});

const file: FileRef = { home: 1n, inode: inodeId(2n) };

function tryAt(
  node: TestNode,
  change: Partial<ClientOptions>,
  ports: Partial<ClientPorts> = {},
): Promise<({ readonly kind: "opened" } & Client) | ClientFault> {
  const identity: Identity = { authority: node.certificate, token };
  return openClient(
    { clock: systemClock, prng: systemPrng, crypto, datapath, ...ports },
    {
      seeds: `127.0.0.1:${node.rpcPort}`,
      tenant: "",
      namespace: "data",
      hostName: "test",
      identity,
      deadlineMs: 5_000,
      ...change,
    },
  );
}

async function openAt(
  node: TestNode,
  change: Partial<ClientOptions> = {},
  ports: Partial<ClientPorts> = {},
): Promise<Client & AsyncDisposable> {
  const opened = await tryAt(node, change, ports);
  if (opened.kind === "refused") throw new Error(`${opened.code}: ${opened.message}`);
  return { ...opened, [Symbol.asyncDispose]: () => opened.close() };
}
const isStored = (answer: StoredContent | FileRefusal): answer is StoredContent =>
  "length" in answer;

async function writeFile(client: Client, source: Uint8Array, offset = 0): Promise<void> {
  const content = await client.content.write(file, source);
  if (!isStored(content)) throw new Error(content.code);
  const pieces = [{ offset, content }];
  const applied = await client.files.apply({ kind: "write", file, pieces });
  expect(applied.kind).toBe("applied");
}
async function readFile(client: Client, start: number, end: number): Promise<Uint8Array> {
  const plan = await client.files.plan(file, start, end);
  if (plan.kind === "refused") throw new Error(plan.code);
  const target = newBytes(end - start);
  for (const piece of plan.pieces) {
    if (piece.kind === "hole" || piece.offset + piece.length <= start) continue;
    const from = Math.max(start, piece.offset);
    const to = Math.min(end, piece.offset + piece.length);
    const into = target.subarray(from - start, to - start);
    const read = await client.content.read(piece, from - piece.offset, into);
    if (read.kind === "refused") throw new Error(read.code);
  }
  return target;
}

for (const isBulkTls of [false, true]) {
  test(`ContentStore: reads what it wrote, of any size and range (bulk TLS: ${isBulkTls})`, async () => {
    await using node = await TestNode.open(crypto, isBulkTls);
    await using client = await openAt(node);
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
  await using client = await openAt(node);
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

test("ContentStore: what is sent again is the same bytes, and another lease is taken when the node asks for it", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(node);
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
  await using client = await openAt(node);
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
  await using client = await openAt(node);
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

test("FileService: operations that come together go together", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(node);
  const all = Array.from({ length: 500 }, (_, size) =>
    client.files.apply({ kind: "truncate", file, size }),
  );
  for (const { kind } of await Promise.all(all)) expect(kind).toBe("applied");
  expect(node.applied.length).toBe(500);
});

test("FileService: the end of a session is told, what was under way in it is refused, and work goes on", async () => {
  await using node = await TestNode.open(crypto);
  await using client = await openAt(node);
  let ends = 0;
  client.files.listen({ invalidated: () => {}, sessionEnded: () => (ends += 1) });
  const known = { parent: inodeId(1n), name: toUtf8("file") };
  expect((await client.files.lookup(known)).kind).not.toBe("refused");
  node.forgetSessions();
  const bound = await client.files.apply({ kind: "truncate", file, size: 1 });
  expect(bound).toEqual({ kind: "refused", code: "session_expired" });
  expect(ends).toBe(1);
  expect((await client.files.apply({ kind: "truncate", file, size: 1 })).kind).toBe("applied");
  node.forgetSessions();
  expect((await client.files.lookup(known)).kind).not.toBe("refused");
  expect([ends, node.sessionsOpened]).toEqual([2, 3]);
  node.forgetSessions();
  await writeFile(client, toUtf8("under the keys of another session")).catch(() => undefined);
  expect(ends).toBe(3);
});

test("FileService: a session lives while it is idle, and ends by itself when nobody answers", async () => {
  await using node = await TestNode.open(crypto);
  node.leaseMs = 400;
  await using proxy = await FaultyProxy.open({ host: "127.0.0.1", port: node.rpcPort });
  await using client = await openAt(node, { seeds: `127.0.0.1:${proxy.port}` });
  const ended = Promise.withResolvers<void>();
  client.files.listen({ invalidated: () => {}, sessionEnded: () => ended.resolve() });
  await systemClock.sleep(millis(1_000), new AbortController().signal);
  expect(node.renewals).toBeGreaterThanOrEqual(2);
  expect(node.sessionsOpened).toBe(1);
  proxy.weather = { kind: "black_hole" };
  await ended.promise;
});

test("FileService: what others changed is heard, once", async () => {
  await using node = await TestNode.open(crypto);
  await using proxy = await FaultyProxy.open({ host: "127.0.0.1", port: node.rpcPort });
  await using client = await openAt(node, { seeds: `127.0.0.1:${proxy.port}` });
  const heard: Invalidation[] = [];
  client.files.listen({ invalidated: (change) => heard.push(change), sessionEnded: () => {} });
  const until = async (count: number) => {
    while (heard.length < count) await Bun.sleep(5);
  };
  await Bun.sleep(50);
  node.changes.push({ inode: 7n, isDirectory: false });
  await until(1);
  proxy.cut();
  node.changes.push({ inode: 8n, isDirectory: true });
  await until(2);
  expect(heard).toEqual([
    { kind: "inode", inode: inodeId(7n) },
    { kind: "directory", inode: inodeId(8n) },
  ]);
});

test("openClient() says why there is no client: no seed, no such namespace, no such node", async () => {
  await using node = await TestNode.open(crypto);
  const nowhere = await tryAt(node, { seeds: "127.0.0.1:1,127.0.0.1:2", deadlineMs: 300 });
  expect(nowhere).toMatchObject({ kind: "refused", code: "unreachable" });
  expect(nowhere).toHaveProperty("message", expect.stringContaining("No seeds reachable"));
  const other = await tryAt(node, { namespace: "other" });
  expect(other).toMatchObject({ kind: "refused", code: "no_such_namespace" });
  const stranger = await tryAt(node, { identity: { authority: node.certificate } });
  expect(stranger).toMatchObject({ kind: "refused", code: "forbidden" });
  const blind = await tryAt(node, { identity: { token }, deadlineMs: 300 });
  expect(blind).toHaveProperty("message", expect.stringContaining("untrusted"));
  await expect(tryAt(node, { seeds: "not a seed" })).rejects.toThrow(RangeError);
});

test("openClient() goes on to the next seed and to the next address of a name", async () => {
  await using node = await TestNode.open(crypto);
  const seeds = `127.0.0.1:1,localhost:${node.rpcPort}`;
  const dead = { host: "127.0.0.1", port: 1 };
  const alive = { host: "127.0.0.1", port: node.rpcPort };
  const resolve = async ({ host }: { host: string }) =>
    host === "localhost" ? [dead, alive] : [dead];
  node.bulkEndpoint = `localhost:${node.bulkPort}`;
  await using client = await openAt(node, { seeds }, { resolve });
  expect((await client.files.apply({ kind: "truncate", file, size: 1 })).kind).toBe("applied");
});
