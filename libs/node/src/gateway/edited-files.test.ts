/** What S3 tells of an object that a file protocol has edited: the bytes as they are, nothing untrue of them. */
import { newBytes, operationId, prngFromSeed, toUtf8 } from "@kiseki/base";
import {
  type FileRef,
  lookupName,
  lookupNamespace,
  type PosixOperation,
} from "@kiseki/composition";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const prng = prngFromSeed(1);
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];

beforeAll(async () => {
  bed = await Bed.open();
  expect((await call("PUT", "/bucket")).status).toBe(200);
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

type Edit<O> = O extends { readonly kind: "truncate_file" | "allocate_file" | "copy_range" }
  ? Omit<O, "namespace" | "file" | "source">
  : never;
/** Edits the object as a mount would. */
async function edit(name: string, operation: Edit<PosixOperation>): Promise<void> {
  const signal = new AbortController().signal;
  const tenant = await bed.node.openDefaultTenant(signal);
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const file = tenant.store.view((map): FileRef => {
    const row = lookupNamespace(map, "bucket")!;
    const place = { namespace: row.id, directory: row.root, name: toUtf8(name) };
    const found = lookupName(map, dirKeys, place);
    if (found.kind === "refused") throw new Error(found.code);
    return found.attributes.ref;
  });
  const { namespace } = file;
  const whole = {
    namespace,
    file,
    ...operation,
    ...(operation.kind === "copy_range" && { source: file }),
  };
  const outcome = await tenant.owner.submit(
    whole as PosixOperation,
    operationId(prng.fill(newBytes(16))),
  );
  expect(outcome).toMatchObject({ kind: "done" });
}
async function upload(key: string, parts: readonly Buffer[]): Promise<void> {
  const created = await call("POST", `/bucket/${key}?uploads`);
  const id = element(created.text, "UploadId")!;
  let named = "";
  for (const [at, body] of parts.entries()) {
    const put = await call("PUT", `/bucket/${key}?partNumber=${at + 1}&uploadId=${id}`, { body });
    named += `<Part><PartNumber>${at + 1}</PartNumber><ETag>${put.headers["etag"]}</ETag></Part>`;
  }
  const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
  expect((await call("POST", `/bucket/${key}?uploadId=${id}`, { body })).status).toBe(200);
}

test("an edited upload has the bytes of now, another ETag of one part, and no part and checksum of before", async () => {
  const parts = [Buffer.alloc(5 * 1024 * 1024, "a"), Buffer.alloc(1000, "b")];
  await upload("big", parts);
  const before = await call("HEAD", "/bucket/big");
  expect(before.headers["etag"]).toMatch(/-2"$/);
  await edit("big", { kind: "allocate_file", mode: "punch", start: 100, end: 200 });
  await edit("big", { kind: "copy_range", sourceStart: 0, start: 6_000_000, length: 50 });
  const plain = Buffer.alloc(6_000_050);
  plain.set(Buffer.concat(parts));
  plain.fill(0, 100, 200).set(plain.subarray(0, 50), 6_000_000);
  const whole = await call("GET", "/bucket/big", { headers: { "x-amz-checksum-mode": "ENABLED" } });
  expect(whole.status).toBe(200);
  expect(whole.body.equals(plain)).toBe(true);
  const etag = whole.headers["etag"]!;
  expect(etag).toMatch(/^"[0-9a-f]{32}-1"$/);
  expect(Object.keys(whole.headers).filter((name) => name.startsWith("x-amz-checksum"))).toEqual(
    [],
  );
  const range = { range: "bytes=90-209", "x-amz-checksum-mode": "ENABLED" };
  const part = await call("GET", "/bucket/big", { headers: range });
  expect(part.body.equals(plain.subarray(90, 210))).toBe(true);
  const first = await call("GET", "/bucket/big?partNumber=1");
  expect([first.status, first.headers["x-amz-mp-parts-count"]]).toEqual([206, "1"]);
  expect((await call("GET", "/bucket/big?partNumber=2")).status).toBe(416);
  const wanted = { "x-amz-object-attributes": "ETag,ObjectParts,ObjectSize" };
  const attributes = await call("GET", "/bucket/big?attributes", { headers: wanted });
  expect(attributes.status).toBe(200);
  expect(element(attributes.text, "ObjectSize")).toBe("6000050");
  const stale = await call("GET", "/bucket/big", {
    headers: { "if-match": before.headers["etag"]! },
  });
  expect(stale.status).toBe(412);
  expect((await call("GET", "/bucket/big", { headers: { "if-match": etag } })).status).toBe(200);
}, 20_000);

test("S3 copies an edited file with its holes, and an empty one has the ETag of nothing", async () => {
  await call("PUT", "/bucket/small", { body: "hello world" });
  await edit("small", { kind: "truncate_file", size: 100_000 });
  const copy = await call("PUT", "/bucket/copy", {
    headers: { "x-amz-copy-source": "/bucket/small" },
  });
  expect(copy.status).toBe(200);
  const read = await call("GET", "/bucket/copy");
  expect(read.body.equals(Buffer.concat([Buffer.from("hello world"), Buffer.alloc(99_989)]))).toBe(
    true,
  );
  await edit("small", { kind: "truncate_file", size: 0 });
  const empty = await call("HEAD", "/bucket/small");
  expect(empty.headers["etag"]).toBe('"d41d8cd98f00b204e9800998ecf8427e"');
  expect(empty.headers["content-length"]).toBe("0");
});
