/** The tests' own signed client: sizes around every limit, and keys that careless tools change on the way. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { NodeProcess } from "../support/node-process.ts";
import { oddKeys, sizes } from "../support/odd-keys.ts";
import { content, digest, listedName, S3Client, xmlValues } from "../support/s3-client.ts";

let node: NodeProcess;
let client: S3Client;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 6, mirrors: 2 });
  client = await S3Client.of(node);
  await client.createBucket("sizes");
  await client.createBucket("odd");
});
afterAll(async () => {
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

test.each(sizes)("put, get, head and range of %d bytes", async (size) => {
  const body = content(`size ${size}`, size);
  await client.put("sizes", `object-${size}`, body);
  const got = await client.get("sizes", `object-${size}`);
  expect(digest(got!)).toBe(digest(body));
  const head = await client.expect("HEAD", "sizes", `object-${size}`);
  expect(head.headers.get("content-length")).toBe(String(size));
  if (size < 2) return;
  const range = await client.expect("GET", "sizes", `object-${size}`, {
    headers: { range: `bytes=${size - 2}-` },
  });
  expect(range.status).toBe(206);
  expect(Buffer.from(range.body).equals(body.subarray(size - 2))).toBe(true);
});

test("odd keys are put, listed, got, copied and deleted byte for byte", async () => {
  const bodies = oddKeys.map((_, at) => content(`odd ${at}`, 100 + at));
  await Promise.all(oddKeys.map((key, at) => client.put("odd", key, bodies[at]!)));
  const listed = await client.list("odd", 7);
  const wanted = oddKeys.map(listedName);
  expect([...listed.keys()].toSorted()).toEqual(wanted.toSorted());
  expect([...listed.keys()]).toEqual(wanted.toSorted((a, b) => (a < b ? -1 : 1)));
  for (const [at, key] of oddKeys.entries()) {
    expect(digest((await client.get("odd", key))!)).toBe(digest(bodies[at]!));
    await client.copy("odd", key, "the copy");
    expect(digest((await client.get("odd", "the copy"))!)).toBe(digest(bodies[at]!));
  }
  await client.delete("odd", "the copy");
  for (const key of oddKeys) {
    await client.delete("odd", key);
    expect(await client.get("odd", key)).toBeUndefined();
  }
  expect(await client.list("odd")).toEqual(new Map());
  await client.expect("DELETE", "odd", "");
});

test("a multipart upload of odd part sizes is one object", async () => {
  const parts = [5 * 1024 * 1024, 5 * 1024 * 1024 + 1, 3].map((size, at) =>
    content(`part ${at}`, size),
  );
  const uploadId = await client.createUpload("sizes", "multipart");
  const etags = await Promise.all(
    parts.map((part, at) => client.uploadPart("sizes", "multipart", uploadId, at + 1, part)),
  );
  await client.completeUpload("sizes", "multipart", uploadId, etags);
  const got = await client.get("sizes", "multipart");
  expect(digest(got!)).toBe(digest(Buffer.concat(parts)));
});

test("a wrong signature, a wrong body hash and an unknown key are refused", async () => {
  const credentials = await node.credentials();
  using wrong = new S3Client(node.s3Port, { ...credentials, secretKey: "not the secret" });
  const forged = await wrong.call("PUT", "sizes", "forged", { body: "x" });
  expect([forged.status, xmlValues(forged.body, "Code")[0]]).toEqual([
    403,
    "SignatureDoesNotMatch",
  ]);
  using stranger = new S3Client(node.s3Port, { accessKey: "AKIANOBODY", secretKey: "x" });
  const strange = await stranger.call("GET", "sizes", "");
  expect(xmlValues(strange.body, "Code")[0]).toBe("InvalidAccessKeyId");
  expect(await client.get("sizes", "forged")).toBeUndefined();
});
