import { afterAll, beforeAll, expect, test } from "bun:test";
import { chunkId as toChunkId, newBytes, sealId as toSealId, toUtf8 } from "@kiseki/base";
import { systemPrng } from "@kiseki/host";
import { BulkLink, type Mount, NativeBed, openChunk, sealChunk } from "./bed.test-helper.ts";

let bed: NativeBed;
let mount: Mount;
let link: BulkLink;
beforeAll(async () => {
  bed = await NativeBed.open();
  mount = await bed.mount();
  link = await BulkLink.open(bed.bulk.port);
});
afterAll(async () => {
  link?.[Symbol.dispose]();
  await bed?.[Symbol.asyncDispose]();
});
const random = (size: number): Uint8Array => systemPrng.fill(newBytes(size));
const id = (): Uint8Array => random(16);
type Request = Parameters<Mount["client"]["files"]["apply"]>[0];
type Draft = NonNullable<Request["operations"]>[number];
interface Ref {
  readonly home: bigint;
  readonly inode: bigint;
}
const operation = (kind: string, value: object, operationId = id()): Draft =>
  ({ operationId, kind: { case: kind, value } }) as Draft;
async function apply(at: Mount, ...operations: readonly Draft[]) {
  const answer = await at.client.files.apply({ ...at.at, operations: [...operations] });
  expect(answer.failure).toBeUndefined();
  return answer.results;
}
async function create(at: Mount, name: string): Promise<Ref> {
  const owner = { uid: 0, gid: 0 };
  const value = { parent: at.root, name: toUtf8(name), type: "file", mode: 0o644, owner };
  const [made] = await apply(at, operation("create", value));
  expect(made!.failure).toBeUndefined();
  return { home: made!.attributes!.home, inode: made!.attributes!.inode };
}
/** Seals and sends; the receipt. */
async function store(at: Mount, plain: Uint8Array): Promise<Uint8Array> {
  const { keys } = await at.client.data.leaseKeys({ session: at.session, count: 1 });
  const reply = await link.write(keys[0]!, plain.byteLength, sealChunk(keys[0]!, plain));
  expect(reply.status).toBe("ok");
  return new Uint8Array(reply.payload);
}
const written = (receipt: Uint8Array, length: number, offset = 0n, chunkOffset = 0) => ({
  receipts: [receipt],
  ranges: [{ offset, length: BigInt(length), receipt: 0, chunkOffset }],
});
async function write(at: Mount, file: Ref, plain: Uint8Array, offset = 0n) {
  const content = written(await store(at, plain), plain.byteLength, offset);
  const [result] = await apply(at, operation("write", { file, content }));
  return result!;
}
/** The file as a client would read it: a plan, frames for its chunks, segments opened. */
async function readAll(at: Mount, file: Ref): Promise<Buffer> {
  const plan = await at.client.files.planRead({ ...at.at, file, length: 1n << 30n });
  expect(plan.failure).toBeUndefined();
  const whole = Buffer.alloc(Number(plan.size));
  for (const piece of plan.pieces) {
    if (piece.chunk === undefined) continue;
    const chunk = plan.chunks[piece.chunk]!;
    const reply = await link.read(chunk);
    expect(reply.status).toBe("ok");
    const plain = openChunk(chunk, reply.payload);
    const end = piece.chunkOffset + Number(piece.length);
    plain.copy(whole, Number(piece.offset), piece.chunkOffset, end);
  }
  return whole;
}

test("what a client sealed, sent and committed is read back, at any offset and with holes", async () => {
  const file = await create(mount, "content");
  const [first, second] = [random(100_000), random(3000)];
  expect((await write(mount, file, first)).attributes).toMatchObject({ size: 100_000n });
  const later = await write(mount, file, second, 200_000n);
  expect(later.attributes).toMatchObject({ size: 203_000n });
  await write(mount, file, second, 50_000n);
  const expected = Buffer.alloc(203_000);
  expected.set(first);
  expected.set(second, 200_000);
  expected.set(second, 50_000);
  expect(Buffer.compare(await readAll(mount, file), expected)).toBe(0);
  const { files } = mount.client;
  const hole = await files.seek({ ...mount.at, file, offset: 0n, isForHole: true });
  expect(hole.offset).toBe(100_000n);
  const data = await files.seek({ ...mount.at, file, offset: 120_000n });
  expect(data.offset).toBe(200_000n);
  const behind = await files.seek({ ...mount.at, file, offset: 300_000n });
  expect(behind.failure?.code).toBe("no_data");
  const version = (await files.planRead({ ...mount.at, file, length: 1n })).contentVersion;
  await write(mount, file, second, 1n);
  expect((await files.planRead({ ...mount.at, file, length: 1n })).contentVersion).not.toBe(
    version,
  );
});

test("appends of several clients lie one behind the other, whoever asks when", async () => {
  const file = await create(mount, "log");
  const other = await bed.mount();
  const lines = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const at = i % 2 ? mount : other;
      const plain = new Uint8Array(1000 + i).fill(65 + i);
      const content = written(await store(at, plain), plain.byteLength);
      const [result] = await apply(at, operation("append", { file, content }));
      return { plain, offset: Number(result!.offset) };
    }),
  );
  const whole = await readAll(mount, file);
  expect(whole.byteLength).toBe(8 * 1000 + 28);
  for (const { plain, offset } of lines) {
    expect(whole.subarray(offset, offset + plain.byteLength).equals(plain)).toBe(true);
  }
});

test("truncate, punch and copy_range edit by reference", async () => {
  const file = await create(mount, "edited");
  const plain = random(90_000);
  await write(mount, file, plain);
  const copy = await create(mount, "copy");
  const [copied] = await apply(
    mount,
    operation("copyRange", { source: file, target: copy, targetOffset: 10n, length: 50_000n }),
  );
  expect(copied).toMatchObject({ length: 50_000n, attributes: { size: 50_010n } });
  const [cut, punched] = await apply(
    mount,
    operation("truncate", { file, size: 80_000n }),
    operation("allocate", { file, offset: 10n, length: 100n, mode: "punch", isSizeKept: true }),
  );
  expect([cut!.attributes!.size, punched!.attributes!.size]).toEqual([80_000n, 80_000n]);
  const expected = Buffer.from(plain.subarray(0, 80_000));
  expected.fill(0, 10, 110);
  expect(Buffer.compare(await readAll(mount, file), expected)).toBe(0);
  const second = await readAll(mount, copy);
  expect(second.subarray(10).equals(plain.subarray(0, 50_000))).toBe(true);
});

test("a receipt is committed once, by its own session, and its operation may come again", async () => {
  const file = await create(mount, "receipts");
  const plain = random(70_000);
  const receipt = await store(mount, plain);
  const content = written(receipt, 70_000);
  const forged = receipt.slice();
  forged[16]! ^= 1;
  const code = async (at: Mount, value: object): Promise<string | undefined> =>
    (await apply(at, operation("write", { file, content: value })))[0]!.failure?.code;
  expect(await code(mount, written(forged, 70_000))).toBe("receipt_stale");
  expect(await code(mount, written(receipt, 70_001))).toBe("invalid_argument");
  expect(await code(mount, { receipts: [receipt], ranges: [] })).toBe("invalid");
  expect(await code(mount, { ...content, receipts: [receipt, receipt] })).toBe("invalid");
  const thief = await bed.mount();
  expect(await code(thief, content)).toBe("receipt_stale");
  const once = operation("write", { file, content });
  const [first] = await apply(mount, once);
  expect(first!.failure).toBeUndefined();
  expect((await apply(mount, once))[0]).toEqual(first!);
  expect(await code(mount, content)).toBe("receipt_stale");
  const stale = { home: 5n, inode: 999_999n };
  const free = await store(mount, plain);
  const missed = operation("write", { file: stale, content: written(free, 70_000) });
  expect((await apply(mount, missed))[0]!.failure?.code).toBe("stale_file");
  expect(await code(mount, written(free, 70_000))).toBeUndefined(); // it is named by another then
});

test("planFiles() plans many files at once, each as planRead() does, and says which cannot be read", async () => {
  const plains = [random(10), random(150_000), newBytes(0)];
  const files: Ref[] = [];
  for (const plain of plains) {
    const file = await create(mount, `planned-${files.length}`);
    if (plain.byteLength > 0) await write(mount, file, plain);
    files.push(file);
  }
  const gone = { home: mount.root, inode: 999_999n };
  const asked = { ...mount.at, files: [...files, gone, files[1]!] };
  const { failure, plans } = await mount.client.files.planFiles(asked);
  expect(failure).toBeUndefined();
  expect(plans.map((plan) => plan.failure?.code)).toEqual([
    ...[undefined, undefined, undefined, "stale_file", undefined],
  ]);
  for (const [index, file] of [...files.entries(), [4, files[1]!] as const]) {
    const plan = await mount.client.files.planRead({ ...mount.at, file, length: 1n << 40n });
    const planned = plans[index]!;
    for (const name of ["size", "contentVersion", "pieces", "next"] as const)
      expect(planned[name]).toEqual(plan[name]);
    expect(planned.chunks.map(({ dek }) => dek)).toEqual(plan.chunks.map(({ dek }) => dek));
  }
  const [reply] = await Promise.all(plans[0]!.chunks.map((chunk) => link.read(chunk)));
  expect(openChunk(plans[0]!.chunks[0]!, reply!.payload).equals(plains[0]!)).toBe(true);
  for (const count of [0, 257]) {
    const many = await mount.client.files.planFiles({
      ...mount.at,
      files: Array(count).fill(gone),
    });
    expect(many.failure?.code).toBe("invalid");
  }
});

test("a tenant's client reaches no other tenant's names, content or receipts", async () => {
  const file = await create(mount, "private");
  const receipt = await store(mount, random(5000));
  const other = await bed.mount("other");
  const { files } = other.client;
  const stolen = { session: other.session, namespace: mount.namespace };
  const codes = [
    (await files.lookup({ ...stolen, parent: mount.root, name: toUtf8("private") })).failure?.code,
    (await files.getAttributes({ ...stolen, file })).failure?.code,
    (await files.planRead({ ...stolen, file, length: 10n })).failure?.code,
    (await files.planFiles({ ...stolen, files: [file] })).plans[0]!.failure?.code,
    (await files.listDirectory({ ...stolen, directory: mount.root })).failure?.code,
    (await files.apply({ ...stolen, operations: [operation("truncate", { file, size: 0n })] }))
      .results[0]!.failure?.code,
  ];
  expect(new Set(codes)).toEqual(new Set(["no_such_namespace"]));
  const own = await create(other, "own");
  const content = written(receipt, 5000);
  const [named] = await apply(other, operation("write", { file: own, content }));
  expect(named!.failure?.code).toBe("receipt_stale");
  const borrowed = await files.lookup({ ...mount.at, parent: mount.root, name: toUtf8("private") });
  expect(borrowed.failure).toBeUndefined(); // the session is mount's, over whose connection ever
  expect((await files.getNamespace({ session: other.session, name: "nope" })).failure?.code).toBe(
    "no_such_namespace",
  );
});

test("a plan's seals stay readable when the file goes, and are collected after that", async () => {
  const file = await create(mount, "doomed");
  const plain = random(70_000);
  await write(mount, file, plain);
  const plan = await mount.client.files.planRead({ ...mount.at, file, length: 70_000n });
  await apply(mount, operation("unlink", { parent: mount.root, name: toUtf8("doomed") }));
  const chunk = plan.chunks[0]!;
  await Bun.sleep(1500); // a round of collection
  const reply = await link.read(chunk);
  expect(reply.status).toBe("ok");
  expect(openChunk(chunk, reply.payload).equals(plain)).toBe(true);
  expect(
    bed.node.ports.chunkStore.has(toChunkId(chunk.chunkId.slice()), toSealId(chunk.sealId.slice())),
  ).toBe(true);
});
