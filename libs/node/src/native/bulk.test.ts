import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect as connectTls } from "node:tls";
import { epoch, newBytes, sealId as toSealId, chunkId as toChunkId, wallTime } from "@kiseki/base";
import {
  type BulkEntry,
  bulkEntrySealedSize,
  bulkRequestSize,
  bulkStatusesSize,
  decodeReceipt,
  encodeBulkEntries,
  splitReceipt,
  takeBulkStatuses,
} from "@kiseki/format";
import { systemPrng } from "@kiseki/host";
import { toRpcError } from "@kiseki/rpc";
import {
  BulkLink,
  crypto,
  type Mount,
  NativeBed,
  openChunk,
  sealChunk,
} from "./bed.test-helper.ts";

let bed: NativeBed;
let mount: Mount;
let link: BulkLink;
beforeAll(async () => {
  bed = await NativeBed.open();
  mount = await bed.mount();
  link = await BulkLink.open(bed.bulk.port);
});
afterAll(async () => {
  link[Symbol.dispose]();
  await bed[Symbol.asyncDispose]();
});
const random = (size: number): Uint8Array => systemPrng.fill(newBytes(size));
async function leaseOne(at = mount) {
  const { keys, failure } = await at.client.data.leaseKeys({ session: at.session, count: 1 });
  expect(failure).toBeUndefined();
  return keys[0]!;
}
const stored = (key: { readonly chunkId: Uint8Array; readonly sealId: Uint8Array }): boolean =>
  bed.node.ports.chunkStore.has(toChunkId(key.chunkId.slice()), toSealId(key.sealId.slice()));

/** As the node's plan would give it. */
function readKey(key: Awaited<ReturnType<typeof leaseOne>>, size: number) {
  const { storage, defaultTenant: tenant, epoch: now } = bed.node;
  const right = { right: "read", keyset: 1, expires: wallTime(Date.now() + 60_000) } as const;
  const [chunk, seal] = [toChunkId(key.chunkId.slice()), toSealId(key.sealId.slice())];
  const grant = (over: object = {}): Uint8Array =>
    storage.chunkTickets.grant(
      { ...right, epoch: now, tenant, size, pool: 0, ...over },
      chunk,
      seal,
    );
  return { ...key, size, capability: grant(), grant };
}

for (const size of [1, 4096, 65_537, 1_000_000, 4 * 1024 * 1024]) {
  test(`a chunk of ${size} bytes that a client sealed is kept and comes back sealed`, async () => {
    const plain = random(size);
    const key = await leaseOne();
    const sealed = sealChunk(key, plain);
    const reply = await link.write(key, size, sealed);
    expect(reply.status).toBe("ok");
    const receipt = decodeReceipt(new Uint8Array(reply.payload))!;
    expect(receipt).toMatchObject({ size, missing: 0, payloadCrc: crypto.crc32c(0, sealed) >>> 0 });
    const isSmall = size <= 4096;
    expect(receipt.profile.kind).toBe(isSmall ? "copies" : receipt.profile.kind);
    const reading = readKey(key, size);
    const back = await link.read(reading);
    expect(back.status).toBe("ok");
    expect(Buffer.compare(back.payload, sealed)).toBe(0);
    expect(Buffer.compare(openChunk(reading, back.payload), plain)).toBe(0);
    const segments = Math.ceil(size / 65_536);
    const last = await link.read(reading, { segmentFirst: segments - 1 });
    const end = openChunk(reading, last.payload, segments - 1);
    expect(Buffer.compare(end, plain.subarray((segments - 1) * 65_536))).toBe(0);
  });
}

test("the same bytes again have the same receipt, other bytes under the seal are refused", async () => {
  const key = await leaseOne();
  const sealed = sealChunk(key, random(70_000));
  const both = await Promise.all([
    link.write(key, 70_000, sealed),
    link.write(key, 70_000, sealed),
  ]);
  expect(both.map(({ status }) => status)).toEqual(["ok", "ok"]);
  expect(both[0]!.payload.equals(both[1]!.payload)).toBe(true);
  const other = await link.write(key, 70_000, sealChunk(key, random(70_000)));
  expect(other.status).toBe("conflict");
  const shorter = await link.write(key, 69_999, sealChunk(key, random(69_999)));
  expect(shorter.status).toBe("conflict");
  expect((await link.write(key, 70_000, sealed)).payload.equals(both[0]!.payload)).toBe(true);
});

test("bytes that arrive damaged are refused, and the right ones taken after them", async () => {
  const key = await leaseOne();
  const sealed = sealChunk(key, random(70_000));
  const damaged = sealed.slice();
  damaged[9]! ^= 1;
  const ids = { chunkId: toChunkId(key.chunkId.slice()), sealId: toSealId(key.sealId.slice()) };
  const payloadCrc = crypto.crc32c(0, sealed) >>> 0;
  const draft = { kind: "write", ...ids, size: 70_000, isSmall: false, payloadCrc } as never;
  const reply = await link.ask(Object.assign({ capability: key.capability }, draft), damaged);
  expect(reply.status).toBe("checksum");
  expect(stored(key)).toBe(false);
  expect((await link.write(key, 70_000, sealed)).status).toBe("ok");
});

test("a capability opens what it was given for, and nothing else", async () => {
  const [key, other] = [await leaseOne(), await leaseOne()];
  const sealed = sealChunk(key, random(5000));
  const tried = async (capability: Uint8Array): Promise<string> =>
    (await link.write({ ...key, capability }, 5000, sealed)).status;
  expect(await tried(other.capability)).toBe("forbidden");
  expect(await tried(random(80))).toBe("forbidden");
  expect(await tried(readKey(key, 5000).capability)).toBe("forbidden");
  expect((await link.write(key, 5000, sealed)).status).toBe("ok");
  const reading = readKey(key, 5000);
  const read = async (over: object): Promise<string> =>
    (await link.read({ ...reading, capability: reading.grant(over) })).status;
  expect(await read({})).toBe("ok");
  expect(await read({ size: 5001 })).toBe("forbidden");
  expect(await read({ expires: wallTime(Date.now() - 1) })).toBe("forbidden");
  expect(await read({ epoch: epoch(bed.node.epoch - 1n) })).toBe("stale");
  expect((await link.read({ ...reading, capability: key.capability })).status).toBe("forbidden");
  expect((await link.read(readKey(other, 5000))).status).toBe("not_found");
});

/** How each fared, and the sealed bytes of those that came. */
async function readMany(entries: readonly (BulkEntry & object)[]) {
  const payload = encodeBulkEntries(entries);
  const payloadCrc = crypto.crc32c(0, payload) >>> 0;
  const draft = { kind: "read_many", count: entries.length, payloadCrc } as const;
  const reply = await link.ask(draft as never, payload);
  if (reply.status !== "ok") return { status: reply.status, statuses: [], sealed: [] };
  const statuses = takeBulkStatuses(reply.payload, entries.length)!;
  let at = bulkStatusesSize(entries.length);
  const sealed = entries
    .filter((_, i) => statuses[i] === "ok")
    .map((entry) => reply.payload.subarray(at, (at += bulkEntrySealedSize(entry))));
  expect(at).toBe(reply.payload.byteLength);
  return { status: reply.status, statuses, sealed };
}
function entryOf({ chunkId, sealId, ...rest }: ReturnType<typeof readKey>): BulkEntry {
  return { ...rest, chunkId: toChunkId(chunkId.slice()), sealId: toSealId(sealId.slice()) };
}

test("many small chunks come in one answer, each with its own status and right", async () => {
  const sizes = [1, 4096, 65_536, 300, 5000];
  const kept = await Promise.all(
    sizes.map(async (size) => {
      const key = await leaseOne();
      const sealed = sealChunk(key, random(size));
      expect((await link.write(key, size, sealed)).status).toBe("ok");
      return { reading: readKey(key, size), sealed };
    }),
  );
  const all = await readMany(kept.map(({ reading }) => entryOf(reading)));
  expect(all.statuses).toEqual(sizes.map(() => "ok"));
  all.sealed.forEach((bytes, i) => expect(Buffer.compare(bytes, kept[i]!.sealed)).toBe(0));

  const entries = kept.map(({ reading }) => entryOf(reading));
  const unknown = entryOf(readKey(await leaseOne(), 4096));
  const old = kept[2]!.reading.grant({ epoch: epoch(bed.node.epoch - 1n) });
  const some = await readMany([
    { ...entries[0]!, capability: random(80) },
    entries[1]!,
    { ...entries[2]!, capability: old },
    unknown,
    { ...entries[3]!, size: 301 },
    entries[4]!,
  ]);
  expect(some.statuses).toEqual(["forbidden", "ok", "stale", "not_found", "forbidden", "ok"]);
  expect(Buffer.compare(some.sealed[0]!, kept[1]!.sealed)).toBe(0);
  expect(Buffer.compare(some.sealed[1]!, kept[4]!.sealed)).toBe(0);
});

test("entries that are damaged on their way are asked for again, and those that are none end the connection", async () => {
  const key = await leaseOne();
  expect((await link.write(key, 9, sealChunk(key, random(9)))).status).toBe("ok");
  const entry = entryOf(readKey(key, 9));
  const payload = encodeBulkEntries([entry]);
  const draft = (payloadCrc: number, count = 1) =>
    ({ kind: "read_many", count, payloadCrc }) as never;
  const crc = crypto.crc32c(0, payload) >>> 0;
  expect((await link.ask(draft(crc ^ 1), payload)).status).toBe("checksum");
  expect((await readMany([entry])).statuses).toEqual(["ok"]);
  const arena = (): number => bed.node.ports.datapath.arena.sizeLent;
  const before = arena();
  using other = await BulkLink.open(bed.bulk.port);
  const bad = payload.slice();
  bad.fill(0xff, 128, 136);
  const answer = await other.ask(draft(crypto.crc32c(0, bad) >>> 0), bad);
  expect(answer.status).toBe("malformed");
  await other.closed;
  using greedy = await BulkLink.open(bed.bulk.port);
  const many = encodeBulkEntries(Array.from({ length: 128 }, () => ({ ...entry, size: 65_536 })));
  const refused = await greedy.ask(draft(crypto.crc32c(0, many) >>> 0, 128), many);
  expect(refused.status).toBe("malformed");
  await greedy.closed;
  expect(arena()).toBeLessThanOrEqual(before);
});

test("nobody's payload takes memory without a right to it, and the frames behind it are understood", async () => {
  const key = await leaseOne();
  const sealed = sealChunk(key, random(3_000_000));
  const before = bed.node.ports.datapath.arena.sizeLent;
  const bad = link.write({ ...key, capability: random(80) }, 3_000_000, sealed);
  const good = link.write(key, 3_000_000, sealed);
  expect((await bad).status).toBe("forbidden");
  expect((await good).status).toBe("ok");
  using stranger = await BulkLink.open(bed.bulk.port);
  void stranger.write({ ...key, capability: random(80) }, 3_000_000, sealed.subarray(0, 1000));
  await Bun.sleep(100);
  expect(bed.node.ports.datapath.arena.sizeLent).toBeLessThanOrEqual(before);
});

test("what a session leaves uncommitted is removed with it, and its keys are void", async () => {
  const leaving = await bed.mount();
  const [kept, open, back] = [
    await leaseOne(leaving),
    await leaseOne(leaving),
    await leaseOne(leaving),
  ];
  const sealed = sealChunk(kept, random(5000));
  expect((await link.write(kept, 5000, sealed)).status).toBe("ok");
  expect((await link.write(back, 5000, sealChunk(back, random(5000)))).status).toBe("ok");
  const { client, session } = leaving;
  await client.data.returnKeys({ session, sealIds: [back.sealId] });
  expect([stored(kept), stored(back)]).toEqual([true, false]);
  await client.files.closeSession({ session });
  expect(stored(kept)).toBe(false);
  expect((await link.write(open, 5000, sealChunk(open, random(5000)))).status).toBe("stale");
  expect((await client.data.leaseKeys({ session, count: 1 })).failure?.code).toBe(
    "session_expired",
  );
});

test("many requests are under way on one connection", async () => {
  const keys = await mount.client.data.leaseKeys({ session: mount.session, count: 40 });
  const plain = random(30_000);
  const work = keys.keys.map((key) => link.write(key, 30_000, sealChunk(key, plain)));
  const replies = await Promise.all(work);
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set(["ok"]));
  const reads = await Promise.all(keys.keys.map((key) => link.read(readKey(key, 30_000))));
  keys.keys.forEach((key, i) => {
    const opened = openChunk({ ...key, size: 30_000 }, reads[i]!.payload);
    expect(opened.equals(plain)).toBe(true);
  });
  expect(bed.node.ports.datapath.arena.sizeLent).toBeLessThan(1024 * 1024);
});

test("a header that is none ends the connection, and gives back what was half sent", async () => {
  const before = bed.node.ports.datapath.arena.sizeLent;
  const bad = await BulkLink.open(bed.bulk.port);
  bad.socket.write(Buffer.alloc(bulkRequestSize, 7));
  await bad.closed;
  const half = await BulkLink.open(bed.bulk.port);
  const key = await leaseOne();
  void half.write(key, 1_000_000, sealChunk(key, random(1_000_000)).subarray(0, 500_000));
  await Bun.sleep(200);
  half.socket.destroy();
  await half.closed;
  for (let i = 0; i < 50 && bed.node.ports.datapath.arena.sizeLent > before; i++)
    await Bun.sleep(20);
  expect(bed.node.ports.datapath.arena.sizeLent).toBeLessThanOrEqual(before);
});

test("leases and receipts end with the epoch, and what was stored under it is collected", async () => {
  const key = await leaseOne();
  const sealed = sealChunk(key, random(5000));
  const reply = await link.write(key, 5000, sealed);
  expect(reply.status).toBe("ok");
  link[Symbol.dispose]();
  await bed.restart();
  mount = await bed.mount("", new Uint8Array(mount.clientId));
  link = await BulkLink.open(bed.bulk.port);
  expect((await link.write(key, 5000, sealed)).status).toBe("stale");
  const receipt = new Uint8Array(reply.payload);
  expect(bed.node.storage.chunkTickets.verify(receipt)).toMatchObject({ size: 5000 });
  expect(splitReceipt(receipt).mac.byteLength).toBe(32);
});

test("with certificates a client reaches its own tenant's files and bytes, over TLS alone", async () => {
  await using strict = await NativeBed.open({ withCertificates: true });
  const open = async (name: string, tenant = "") => {
    const client = await strict.connect(name);
    return client.files.openSession({ clientId: random(16), tenant, protocol: 1 });
  };
  expect((await open("default")).tenantId).toEqual(strict.node.defaultTenant);
  expect((await open("other")).tenantId).toEqual(strict.other);
  expect((await open("other", "other")).tenantId).toEqual(strict.other);
  const refused = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => "done",
      (reason: unknown) => toRpcError(reason).code,
    );
  expect(await refused(open("default", "other"))).toBe("forbidden");
  expect(await refused(open("admin"))).toBe("forbidden");
  const own = await open("default");
  const { data } = await strict.connect("default");
  const [key] = (await data.leaseKeys({ session: own.session, count: 1 })).keys;
  const stranger = await strict.connect("other");
  const stolen = await stranger.data.leaseKeys({ session: own.session, count: 1 });
  expect(stolen.failure?.code).toBe("session_expired");
  const dial = async (name: string | undefined): Promise<BulkLink> => {
    const ca = await strict.read("ca.pem");
    const pair = name && {
      cert: await strict.read(`${name}.pem`),
      key: await strict.read(`${name}.key`),
    };
    const socket = connectTls({ host: "127.0.0.1", port: strict.bulk.port, ca, ...(pair || {}) });
    return BulkLink.over(socket);
  };
  const sealed = sealChunk(key!, random(5000));
  using theirs = await dial("other");
  expect((await theirs.write(key!, 5000, sealed)).status).toBe("forbidden");
  using mine = await dial("default");
  expect((await mine.write(key!, 5000, sealed)).status).toBe("ok");
  using admin = await dial("admin");
  await admin.closed;
  using nobody = await dial(undefined);
  await nobody.closed;
  using plain = await BulkLink.open(strict.bulk.port);
  void plain.write(key!, 5000, sealed);
  await plain.closed;
});
