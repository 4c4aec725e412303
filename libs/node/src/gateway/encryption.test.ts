/** Encryption headers through real HTTP: SSE-C for real, SSE-KMS by the tenant's own key, what a bucket says. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { millis, toUuid } from "@kiseki/base";
import { kmsKeyArn } from "../keys/key-name.ts";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
const codeOf = ({ text }: Reply): string | undefined => element(text, "Code");

beforeAll(async () => {
  bed = await Bed.open();
  expect((await call("PUT", "/bucket")).status).toBe(200);
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const sse = "x-amz-server-side-encryption";
const md5Base64 = (bytes: Uint8Array | string): string =>
  createHash("md5").update(bytes).digest("base64");
const keyA = Buffer.alloc(32, 0xa7);
const keyB = Buffer.alloc(32, 0xb8);
const customer = (key: Buffer, prefix = `${sse}-customer-`): Record<string, string> => ({
  [`${prefix}algorithm`]: "AES256",
  [`${prefix}key`]: key.toString("base64"),
  [`${prefix}key-md5`]: md5Base64(key),
});
const source = (key: Buffer) => customer(key, "x-amz-copy-source-server-side-encryption-customer-");
const bytesOf = (seed: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size, `bytes of ${seed}, `);
  for (let at = 0; at < size; at += 4096) bytes[at] = at >> 12;
  return bytes;
};
const partSize = 5 * 1024 * 1024;

for (const size of [0, 100, 70_000, partSize]) {
  test(`an object of ${size} bytes under a customer's key is read with that key alone`, async () => {
    const body = bytesOf(1, size);
    const target = `/bucket/own-${size}`;
    const put = await call("PUT", target, { body, headers: customer(keyA) });
    expect(put.headers).toMatchObject({
      [`${sse}-customer-algorithm`]: "AES256",
      [`${sse}-customer-key-md5`]: md5Base64(keyA),
    });
    expect(put.headers).not.toHaveProperty(sse);
    const md5 = createHash("md5").update(body).digest("hex");
    expect(put.headers["etag"]).toMatch(/^"[0-9a-f]{32}"$/);
    expect(put.headers["etag"]).not.toBe(`"${md5}"`);
    const got = await call("GET", target, { headers: customer(keyA) });
    expect(got.body.equals(body)).toBe(true);
    expect(got.headers).toMatchObject({
      etag: put.headers["etag"]!,
      [`${sse}-customer-key-md5`]: md5Base64(keyA),
    });
    const attributes = { "x-amz-object-attributes": "ObjectSize" };
    for (const [method, query, more] of [
      ["GET", "", {}],
      ["HEAD", "", {}],
      ["GET", "?attributes", attributes],
      ["GET", "?partNumber=1", {}],
    ] as const) {
      const without = await call(method, `${target}${query}`, { headers: more });
      expect(without.status).toBe(400);
      if (method === "GET") expect(codeOf(without)).toBe("InvalidRequest");
      const wrong = await call(method, `${target}${query}`, {
        headers: { ...more, ...customer(keyB) },
      });
      expect(wrong.status).toBe(403);
      const right = await call(method, `${target}${query}`, {
        headers: { ...more, ...customer(keyA) },
      });
      expect(right.status).toBeLessThan(300);
    }
    if (size < 10) return;
    const headers = { ...customer(keyA), range: `bytes=${size - 7}-${size - 3}` };
    const part = await call("GET", target, { headers });
    expect(part.status).toBe(206);
    expect(part.body.equals(body.subarray(size - 7, size - 2))).toBe(true);
    const checked = { ...customer(keyA), "x-amz-checksum-mode": "ENABLED" };
    const head = await call("HEAD", target, { headers: checked });
    expect(head.headers["x-amz-checksum-crc64nvme"]).toBeString();
  }, 20_000);
}

test("a key for an object that has none, and keys that are none, are refused by name; nothing repeats a key", async () => {
  await call("PUT", "/bucket/plain", { body: "plain" });
  const unwanted = await call("GET", "/bucket/plain", { headers: customer(keyA) });
  expect([unwanted.status, codeOf(unwanted)]).toEqual([400, "InvalidRequest"]);
  const changes: readonly (readonly [Record<string, string>, string])[] = [
    [{ [`${sse}-customer-key-md5`]: md5Base64(keyB) }, "InvalidArgument"],
    [{ [`${sse}-customer-key`]: "c2hvcnQ=" }, "InvalidArgument"],
    [{ [`${sse}-customer-algorithm`]: "AES128" }, "InvalidEncryptionAlgorithmError"],
    [{ [sse]: "AES256" }, "InvalidArgument"],
    [{ [sse]: "aws:kms" }, "InvalidArgument"],
  ];
  for (const [change, code] of changes) {
    const reply = await call("PUT", "/bucket/refused", {
      body: "x",
      headers: { ...customer(keyA), ...change },
    });
    expect([change, codeOf(reply)]).toEqual([change, code]);
    expect(reply.text).not.toContain(keyA.toString("base64").slice(0, 16));
  }
  expect((await call("HEAD", "/bucket/refused")).status).toBe(404);
  const forger = { id: bed.main.id, secret: "wrong" };
  const forged = await bed.call(forger, "GET", "/bucket/plain", { headers: customer(keyA) });
  expect(codeOf(forged)).toBe("SignatureDoesNotMatch");
  expect(forged.text).toContain("x-amz-server-side-encryption-customer-key:...");
  expect(forged.text).not.toContain(keyA.toString("base64"));
});

test("a customer's key is refused where others can listen, for reads, writes and copies", async () => {
  const ask = async (method: string, target: string, headers: Record<string, string>) => {
    const signed = bed.sign(bed.main, method, target, { headers }).headers;
    const response = await bed.node.gateway.handle({
      id: "0",
      head: {
        ...{ method, target, version: "1.1", host: bed.host },
        headers: Object.entries(signed).map(([name, value]) => ({ name, value })),
        ...{ body: { kind: "none" }, expectsContinue: false, keepAlive: true },
      },
      remoteAddress: "192.0.2.1",
      isLoopback: false,
      isTls: false,
      body: {
        size: 0,
        readInto: () => Promise.resolve(0),
        readSlice: () => Promise.resolve(undefined),
        trailers: [],
      },
      arrivedAt: millis(0),
      signal: new AbortController().signal,
    });
    return { status: response.status, text: Buffer.from(response.body as Uint8Array).toString() };
  };
  const copy = { "x-amz-copy-source": "/bucket/plain", ...source(keyA) };
  const length = { "content-length": "0" };
  for (const refused of [
    await ask("GET", "/bucket/own-100", customer(keyA)),
    await ask("PUT", "/bucket/insecure", { ...length, ...customer(keyA) }),
    await ask("PUT", "/bucket/insecure", { ...length, ...copy }),
    await ask("POST", "/bucket/insecure?uploads", customer(keyA)),
  ]) {
    expect(refused.status).toBe(400);
    expect(refused.text).toContain("must be made over a secure connection");
  }
});

/** The document that completes, out of number and ETag. */
const completing = (parts: readonly (readonly [number, string])[]): string =>
  `<CompleteMultipartUpload>${parts.map(([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`).join("")}</CompleteMultipartUpload>`;

test("parts are sealed by the key that their upload was begun with, and read as one object", async () => {
  const created = await call("POST", "/bucket/parts?uploads", { headers: customer(keyA) });
  expect(created.headers[`${sse}-customer-key-md5`]).toBe(md5Base64(keyA));
  const id = element(created.text, "UploadId")!;
  const bodies = [bytesOf(1, partSize), bytesOf(2, 3000), bytesOf(3, 10)];
  const put = (number: number, body: Buffer, headers: Record<string, string>) =>
    call("PUT", `/bucket/parts?partNumber=${number}&uploadId=${id}`, { body, headers });
  for (const headers of [{}, customer(keyB)]) {
    expect(codeOf(await put(1, bodies[0]!, headers))).toBe("InvalidRequest");
  }
  const first = await put(1, bodies[0]!, customer(keyA));
  expect(first.headers[`${sse}-customer-key-md5`]).toBe(md5Base64(keyA));
  await call("PUT", "/bucket/parts-source", { body: bodies[1]!, headers: customer(keyB) });
  const copied = await call("PUT", `/bucket/parts?partNumber=2&uploadId=${id}`, {
    headers: {
      "x-amz-copy-source": "/bucket/parts-source",
      ...source(keyB),
      ...customer(keyA),
    },
  });
  expect(copied.status).toBe(200);
  // The second part is too small unless it is the last; leave it out of the object.
  const last = await put(3, bodies[2]!, customer(keyA));
  const document = completing([
    [1, first.headers["etag"]!],
    [3, last.headers["etag"]!],
  ]);
  const complete = (headers: Record<string, string>) =>
    call("POST", `/bucket/parts?uploadId=${id}`, { body: document, headers });
  expect(codeOf(await complete(customer(keyB)))).toBe("InvalidRequest");
  const done = await complete(customer(keyA));
  expect(done.status).toBe(200);
  const whole = await call("GET", "/bucket/parts", { headers: customer(keyA) });
  expect(whole.body.equals(Buffer.concat([bodies[0]!, bodies[2]!]))).toBe(true);
  const across = await call("GET", "/bucket/parts", {
    headers: { ...customer(keyA), range: `bytes=${partSize - 5}-${partSize + 4}` },
  });
  expect(across.body.equals(whole.body.subarray(partSize - 5, partSize + 5))).toBe(true);
  const third = await call("GET", "/bucket/parts?partNumber=3", { headers: customer(keyA) });
  expect(third.body.equals(bodies[2]!)).toBe(true);
  expect((await call("GET", "/bucket/parts", { headers: customer(keyB) })).status).toBe(403);
  const plain = element((await call("POST", "/bucket/parts2?uploads")).text, "UploadId")!;
  const unwanted = await call("PUT", `/bucket/parts2?partNumber=1&uploadId=${plain}`, {
    body: "x",
    headers: customer(keyA),
  });
  expect(codeOf(unwanted)).toBe("InvalidRequest");
}, 20_000);

test("a copy opens its source by the source's key and seals its target as its request says", async () => {
  const body = bytesOf(4, 200_000);
  await call("PUT", "/bucket/from", { body, headers: customer(keyA) });
  const copy = (key: string, headers: Record<string, string>) =>
    call("PUT", `/bucket/${key}`, {
      headers: { "x-amz-copy-source": "/bucket/from", ...headers },
    });
  expect(codeOf(await copy("to", {}))).toBe("InvalidRequest");
  expect(codeOf(await copy("to", source(keyB)))).toBe("AccessDenied");
  expect((await call("HEAD", "/bucket/to")).status).toBe(404);
  const cases: readonly (readonly [string, Record<string, string>, Record<string, string>])[] = [
    ["to-plain", source(keyA), {}],
    ["to-other", { ...source(keyA), ...customer(keyB) }, customer(keyB)],
    ["to-same", { ...source(keyA), ...customer(keyA) }, customer(keyA)],
    ["from", { ...source(keyA), ...customer(keyB) }, customer(keyB)], // its key is changed in place
  ];
  for (const [key, headers, reading] of cases) {
    const copied = await copy(key, headers);
    expect([key, copied.status]).toEqual([key, 200]);
    const got = await call("GET", `/bucket/${key}`, { headers: reading });
    expect(got.body.equals(body)).toBe(true);
  }
  expect((await call("GET", "/bucket/from", { headers: customer(keyA) })).status).toBe(403);
  const md5 = createHash("md5").update(body).digest("hex");
  expect((await call("HEAD", "/bucket/to-plain")).headers["etag"]).toBe(`"${md5}"`);
  await call("PUT", "/bucket/small", { body: "small" });
  const sealed = await call("PUT", "/bucket/small-sealed", {
    headers: { "x-amz-copy-source": "/bucket/small", ...customer(keyA) },
  });
  expect(sealed.headers[`${sse}-customer-key-md5`]).toBe(md5Base64(keyA));
  const got = await call("GET", "/bucket/small-sealed", { headers: customer(keyA) });
  expect(got.text).toBe("small");
  const unwanted = await call("PUT", "/bucket/small-again", {
    headers: { "x-amz-copy-source": "/bucket/small", ...source(keyA) },
  });
  expect(codeOf(unwanted)).toBe("InvalidRequest");
});

test("conditions, listings and deletes need no key; a wrong checksum stores nothing", async () => {
  const put = await call("PUT", "/bucket/listed", { body: "12345", headers: customer(keyA) });
  const listed = await call("GET", "/bucket?list-type=2&prefix=listed");
  expect(element(listed.text, "ETag")).toBe(put.headers["etag"]!.replaceAll('"', "&quot;"));
  const same = await call("GET", "/bucket/listed", {
    headers: { ...customer(keyA), "if-none-match": put.headers["etag"]! },
  });
  expect(same.status).toBe(304);
  const again = await call("PUT", "/bucket/listed", {
    body: "other",
    headers: { ...customer(keyB), "if-match": put.headers["etag"]!, "content-md5": md5Base64("x") },
  });
  expect(codeOf(again)).toBe("BadDigest");
  const kept = await call("GET", "/bucket/listed", { headers: customer(keyA) });
  expect(kept.text).toBe("12345");
  expect((await call("DELETE", "/bucket/listed")).status).toBe(204);
});

const kms = (keyId?: string): Record<string, string> => ({
  [sse]: "aws:kms",
  ...(keyId === undefined ? {} : { [`${sse}-aws-kms-key-id`]: keyId }),
});

test("aws:kms is taken for the tenant's own key under any of its names, and refused for any other", async () => {
  const { defaultTenant } = bed.node;
  const arn = kmsKeyArn(defaultTenant, "us-east-1");
  const elsewhere = kmsKeyArn(defaultTenant, "eu-west-1");
  const own = [undefined, arn, elsewhere, toUuid(defaultTenant), "alias/aws/s3"];
  for (const keyId of own) {
    const put = await call("PUT", "/bucket/kms", { body: "kms", headers: kms(keyId) });
    expect([keyId, put.status]).toEqual([keyId, 200]);
    expect(put.headers).toMatchObject({ [sse]: "aws:kms", [`${sse}-aws-kms-key-id`]: arn });
    const got = await call("GET", "/bucket/kms");
    expect(got.text).toBe("kms");
    expect(got.headers).toMatchObject({ [sse]: "aws:kms", [`${sse}-aws-kms-key-id`]: arn });
  }
  const others = [
    "11111111-2222-3333-4444-555555555555",
    "alias/mine",
    arn.replace(/[0-9a-f]$/, (digit) => (digit === "0" ? "1" : "0")),
    arn.replace(/:\d{12}:/, ":000000000000:"),
    `${arn}/x`,
  ];
  for (const keyId of others) {
    const put = await call("PUT", "/bucket/kms-other", { body: "x", headers: kms(keyId) });
    expect([keyId, put.status, codeOf(put)]).toEqual([keyId, 400, "KMS.NotFoundException"]);
  }
  expect((await call("HEAD", "/bucket/kms-other")).status).toBe(404);
  const dsse = await call("PUT", "/bucket/kms", { body: "x", headers: { [sse]: "aws:kms:dsse" } });
  expect([dsse.status, codeOf(dsse)]).toEqual([501, "NotImplemented"]);
  const read = await call("HEAD", "/bucket/kms", { headers: kms(arn) });
  expect(read.status).toBe(400);
  const plain = await call("PUT", "/bucket/kms", { body: "x", headers: { [sse]: "AES256" } });
  expect(plain.headers[sse]).toBe("AES256");
  expect((await call("HEAD", "/bucket/kms")).headers[sse]).toBe("AES256");
});

test("uploads and copies keep what they were asked: kms, bucket keys, and AES256 where nothing is asked", async () => {
  const bucketKey = { [`${sse}-bucket-key-enabled`]: "true" };
  const created = await call("POST", "/bucket/kms-parts?uploads", {
    headers: { ...kms(), ...bucketKey },
  });
  expect(created.headers).toMatchObject({ [sse]: "aws:kms", ...bucketKey });
  const id = element(created.text, "UploadId")!;
  const part = await call("PUT", `/bucket/kms-parts?partNumber=1&uploadId=${id}`, { body: "part" });
  expect(part.headers[sse]).toBe("aws:kms");
  const done = await call("POST", `/bucket/kms-parts?uploadId=${id}`, {
    body: completing([[1, part.headers["etag"]!]]),
  });
  expect(done.headers).toMatchObject({ [sse]: "aws:kms", ...bucketKey });
  expect((await call("HEAD", "/bucket/kms-parts")).headers).toMatchObject({
    [sse]: "aws:kms",
    ...bucketKey,
  });
  const copied = await call("PUT", "/bucket/kms-copy", {
    headers: { "x-amz-copy-source": "/bucket/kms-parts" },
  });
  expect(copied.headers[sse]).toBe("AES256");
  const back = await call("PUT", "/bucket/kms-copy", {
    headers: { "x-amz-copy-source": "/bucket/kms-copy", ...kms() },
  });
  expect(back.headers[sse]).toBe("aws:kms");
  expect((await call("HEAD", "/bucket/kms-copy")).headers[sse]).toBe("aws:kms");
});

const setting = (applied: string, more = ""): string =>
  `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>${applied}</ApplyServerSideEncryptionByDefault>${more}</Rule></ServerSideEncryptionConfiguration>`;

test("a bucket's default is applied to new objects that do not say, shown, and taken away again", async () => {
  await call("PUT", "/default");
  const kmsDefault = "<SSEAlgorithm>aws:kms</SSEAlgorithm>";
  const put = (document: string) => call("PUT", "/default?encryption", { body: document });
  expect(element((await call("GET", "/default?encryption")).text, "SSEAlgorithm")).toBe("AES256");
  const enabled = "<BucketKeyEnabled>true</BucketKeyEnabled>";
  expect((await put(setting(kmsDefault, enabled))).status).toBe(200);
  expect((await call("GET", "/default?encryption")).text).toContain(enabled);
  const made = await call("PUT", "/default/a", { body: "a" });
  expect(made.headers).toMatchObject({ [sse]: "aws:kms", [`${sse}-bucket-key-enabled`]: "true" });
  const created = await call("POST", "/default/b?uploads");
  expect(created.headers[sse]).toBe("aws:kms");
  await call("PUT", "/bucket/origin", { body: "plain" });
  const copied = await call("PUT", "/default/c", {
    headers: { "x-amz-copy-source": "/bucket/origin" },
  });
  expect(copied.headers[sse]).toBe("aws:kms");
  const own = await call("PUT", "/default/d", { body: "d", headers: customer(keyA) });
  expect(own.headers).not.toHaveProperty(sse);
  const told = await call("PUT", "/default/e", { body: "e", headers: { [sse]: "AES256" } });
  expect(told.headers[sse]).toBe("AES256");
  expect((await put(setting(`${kmsDefault}<KMSMasterKeyID>other</KMSMasterKeyID>`))).status).toBe(
    200,
  );
  expect(codeOf(await call("PUT", "/default/f", { body: "f" }))).toBe("KMS.NotFoundException");
  const blocked =
    "<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes>";
  expect((await put(setting("<SSEAlgorithm>AES256</SSEAlgorithm>", blocked))).status).toBe(200);
  expect((await call("GET", "/default?encryption")).text).toContain(blocked);
  const refused = await call("PUT", "/default/g", { body: "g", headers: customer(keyA) });
  expect([refused.status, codeOf(refused)]).toEqual([403, "AccessDenied"]);
  expect((await call("GET", "/default/d", { headers: customer(keyA) })).text).toBe("d");
  expect((await call("DELETE", "/default?encryption")).status).toBe(204);
  expect((await call("PUT", "/default/f", { body: "f" })).headers[sse]).toBe("AES256");
  expect((await call("HEAD", "/default/a")).headers[sse]).toBe("aws:kms"); // as it was made
});
