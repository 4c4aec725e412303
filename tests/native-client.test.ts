/**
 * The native client against a built node: what it writes is what S3 reads and back, nobody between or behind sees plaintext, and a
 * node that dies costs time.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { openDatapath } from "../ffi/datapath/src/index.ts";
import { newBytes, prngFromSeed, toUtf8 } from "../libs/base/src/index.ts";
import { FaultyProxy } from "../libs/client/src/faulty-proxy.test-helper.ts";
import { type Client, openClient } from "../libs/client/src/index.ts";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "../libs/host/src/index.ts";
import type { Datapath } from "../libs/ports/src/index.ts";
import type { FileAttributes, FileRef, FileRefusal } from "../libs/vfs/src/index.ts";
import { NodeProcess } from "./support/node-process.ts";
import { isInMemory } from "./support/process-memory.ts";
import { S3Client } from "./support/s3-client.ts";

const crypto = openCrypto();
let datapath: Datapath;
beforeAll(() => {
  const sizes = { arenaSize: 48 << 20, computeThreads: 1, deviceThreads: 1 };
  datapath = openDatapath({ directory: nativeDirectory, ...sizes });
});
afterAll(() => datapath[Symbol.asyncDispose]());

/** It starts sooner; how content is kept is for other tests. */
const oneDevice = { words: ["--allow-single-copy"] } as const;

/** A node with a bucket `data`, and a client that reaches it through two proxies, also when its ports have changed. */
class Place implements AsyncDisposable {
  readonly node: NodeProcess;
  readonly s3: S3Client;
  readonly rpc: FaultyProxy;
  readonly bulk: FaultyProxy;
  client!: Client;
  readonly #parts: AsyncDisposableStack;
  readonly #bulkPorts = new Set<number>();

  private constructor(
    node: NodeProcess,
    s3: S3Client,
    proxies: readonly [FaultyProxy, FaultyProxy],
    parts: AsyncDisposableStack,
  ) {
    this.node = node;
    this.s3 = s3;
    [this.rpc, this.bulk] = proxies;
    this.#parts = parts;
    this.follow();
  }
  static async open(): Promise<Place> {
    await using building = new AsyncDisposableStack();
    const node = building.use(await NodeProcess.started({ devices: 1, mirrors: 0 }, oneDevice));
    const s3 = await S3Client.of(node);
    await s3.createBucket("data");
    const nowhere = { host: "127.0.0.1", port: 1 };
    const rpc = building.use(await FaultyProxy.open(nowhere));
    const bulk = building.use(await FaultyProxy.open(nowhere));
    const place = new Place(node, s3, [rpc, bulk], building.move());
    place.client = await place.connect();
    return place;
  }
  /** The proxies lead to where the node listens now. */
  follow(): void {
    const { rpcPort, bulkPort } = this.node;
    this.rpc.target = { host: "127.0.0.1", port: rpcPort };
    this.bulk.target = { host: "127.0.0.1", port: bulkPort };
    this.#bulkPorts.add(bulkPort);
  }
  async connect(): Promise<Client> {
    const read = (name: string) => readFile(join(this.node.configDirectory, name), "utf8");
    const identity = {
      authority: await read("rpc-cert.pem"),
      token: (await read("rpc-token")).trim(),
    };
    const resolve = async ({ host, port }: { host: string; port: number }) => [
      { host, port: this.#bulkPorts.has(port) ? this.bulk.port : this.rpc.port },
    ];
    const opened = await openClient(
      { clock: systemClock, prng: systemPrng, crypto, datapath, resolve },
      { seeds: "127.0.0.1:9100", tenant: "", namespace: "data", hostName: "test", identity },
    );
    if (opened.kind === "refused") throw new Error(opened.message);
    this.#parts.defer(() => opened.close());
    return opened;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts.disposeAsync();
  }
}

function must<T extends { readonly kind: string }>(
  answer: T | FileRefusal,
): Exclude<T, FileRefusal> {
  if (answer.kind === "refused") throw new Error((answer as FileRefusal).code);
  return answer as Exclude<T, FileRefusal>;
}

async function create(client: Client, name: string): Promise<FileAttributes> {
  const operation = {
    kind: "create",
    parent: client.files.root.inode,
    name: toUtf8(name),
    node: { kind: "file" },
    mode: 0o644,
    uid: 1,
    gid: 2,
    isExclusive: true,
  } as const;
  return must(await client.files.apply(operation)).attributes;
}
async function store(client: Client, file: FileRef, source: Uint8Array) {
  const content = await client.content.write(file, source);
  if (!("length" in content)) throw new Error(content.code);
  return content;
}
async function write(client: Client, file: FileRef, source: Uint8Array, offset = 0) {
  const content = await store(client, file, source);
  const operation = { kind: "write", file, pieces: [{ offset, content }] } as const;
  return must(await client.files.apply(operation));
}
async function read(client: Client, file: FileRef, start: number, end: number) {
  const target = newBytes(end - start);
  for (let at = start; at < end;) {
    const { pieces } = must(await client.files.plan(file, at, end));
    if (pieces.length === 0) return target.subarray(0, at - start);
    for (const piece of pieces) {
      const into = target.subarray(piece.offset - start, piece.offset + piece.length - start);
      if (piece.kind === "chunk") must(await client.content.read(piece, 0, into));
      at = piece.offset + piece.length;
    }
  }
  return target;
}
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

test("what the client writes S3 reads, and back: small and large, appended, in pieces", async () => {
  await using place = await Place.open();
  const { client, s3 } = place;
  const prng = prngFromSeed(11);
  for (const size of [1, 4096, 4097, 1_000_000]) {
    const { ref } = await create(client, `file-${size}`);
    const source = prng.fill(newBytes(size));
    await write(client, ref, source);
    expect(same((await s3.get("data", `file-${size}`))!, source)).toBe(true);
    expect(same(await read(client, ref, 0, size), source)).toBe(true);
  }
  const { ref } = await create(client, "log");
  for (const line of ["one", "two", "three"]) {
    const content = await store(client, ref, toUtf8(line));
    must(await client.files.apply({ kind: "append", file: ref, content }));
  }
  await write(client, ref, toUtf8("end"), 100_000);
  const wanted = newBytes(100_003);
  wanted.set(toUtf8("onetwothree"));
  wanted.set(toUtf8("end"), 100_000);
  expect(same((await s3.get("data", "log"))!, wanted)).toBe(true);
  expect(same(await read(client, ref, 0, 200_000), wanted)).toBe(true);

  const object = prng.fill(newBytes(6_000_000));
  await s3.put("data", "folder/object", object);
  const folder = await client.files.lookup({
    parent: client.files.root.inode,
    name: toUtf8("folder"),
  });
  if ("kind" in folder && folder.kind === "refused") throw new Error("no folder");
  const found = await client.files.lookup({
    parent: (folder as FileAttributes).ref.inode,
    name: toUtf8("object"),
  });
  const attributes = found as FileAttributes;
  expect([attributes.kind, attributes.size]).toEqual(["file", 6_000_000]);
  expect(same(await read(client, attributes.ref, 0, 6_000_000), object)).toBe(true);
  expect(
    same(
      await read(client, attributes.ref, 4_190_000, 4_200_000),
      object.subarray(4_190_000, 4_200_000),
    ),
  ).toBe(true);
});

test("nobody on the wire and nothing in the node's memory shows what the client writes and reads", async () => {
  await using place = await Place.open();
  const { client, node, rpc, bulk, s3 } = place;
  const canary = "CANARYOFTHENATIVECLIENT7";
  const large = toUtf8(canary.repeat(20_000));
  for (const [name, source] of [
    ["small", toUtf8(canary)],
    ["large", large],
  ] as const) {
    const { ref } = await create(client, name);
    await write(client, ref, source);
    expect(same(await read(client, ref, 0, source.byteLength), source)).toBe(true);
  }
  expect(bulk.seen.byteLength).toBeGreaterThan(2 * large.byteLength);
  for (const { seen } of [rpc, bulk]) expect(seen.includes(canary)).toBe(false);
  expect(await isInMemory(node.pid, canary)).toBe(false);
  // The control: what comes over S3 is sealed by the node, so it has been there.
  const control = "CONTROLOFTHESEARCHITSELF";
  await s3.put("data", "control", control.repeat(20_000));
  expect(await isInMemory(node.pid, control)).toBe(true);
});

test("a node that is killed and started again: work goes on in the same session, and nothing that was answered is lost", async () => {
  await using place = await Place.open();
  const { client, node } = place;
  let ends = 0;
  client.files.listen({ invalidated: () => {}, sessionEnded: () => (ends += 1) });
  const prng = prngFromSeed(12);
  const { ref } = await create(client, "before");
  const source = prng.fill(newBytes(300_000));
  await write(client, ref, source);
  const stored = await store(client, ref, toUtf8("stored under the keys of the node's last life"));
  const lock = {
    kind: "whole",
    type: "write",
    start: 0n,
    end: undefined,
    owner: 1n,
    pid: 1,
  } as const;
  expect(must(await client.files.lock(ref, lock)).kind).toBe("granted");
  await node.kill();
  const waiting = create(client, "during"); // asked while nobody is there
  await node.start(oneDevice);
  place.follow();
  expect((await waiting).size).toBe(0);
  expect(same(await read(client, ref, 0, 300_000), source)).toBe(true);
  const stale = await client.files.apply({
    kind: "write",
    file: ref,
    pieces: [{ offset: 0, content: stored }],
  });
  expect(stale).toEqual({ kind: "refused", code: "receipt_stale" });
  await write(client, ref, toUtf8("again"));
  expect(same(await read(client, ref, 0, 5), toUtf8("again"))).toBe(true);
  expect(ends).toBe(0);
  const other = await place.connect();
  expect(must(await other.files.lock(ref, lock))).toMatchObject({
    kind: "held",
    by: { kind: "whole", type: "write", owner: 1n },
  });
});
