/** Checksums through real HTTP: what is claimed is checked before anything is named, what is stored comes back. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "bun:test";
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

const partSize = 5 * 1024 * 1024;
const bytesOf = (seed: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size, `bytes of ${seed}, `);
  for (let at = 0; at < size; at += 4096) bytes[at] = at >> 12;
  return bytes;
};
const sha256Of = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const crc32Of = (source: Uint8Array): string => {
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(Bun.hash.crc32(source));
  return crc.toString("base64");
};
const enabled = { "x-amz-checksum-mode": "ENABLED" };
const samples = {
  crc32: "DUoRhQ==",
  crc32c: "yZRlqg==",
  crc64nvme: "jSnVw/bqjr4=",
  sha1: "Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
  sha256: "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
} as const; // of "hello world", each from another implementation

/** Uploads `bodies` under the part numbers, all SHA-256, and completes. */
async function putComposite(key: string, numbers: readonly number[], bodies: readonly Buffer[]) {
  const created = await call("POST", `/bucket/${key}?uploads`, {
    headers: { "x-amz-checksum-algorithm": "SHA256" },
  });
  const id = element(created.text, "UploadId")!;
  let named = "";
  for (const [at, body] of bodies.entries()) {
    const sum = sha256Of(body).toString("base64");
    const target = `/bucket/${key}?partNumber=${numbers[at]}&uploadId=${id}`;
    const put = await call("PUT", target, { body, headers: { "x-amz-checksum-sha256": sum } });
    expect(put.headers["x-amz-checksum-sha256"]).toBe(sum);
    named += `<Part><PartNumber>${numbers[at]}</PartNumber><ETag>${put.headers["etag"]}</ETag><ChecksumSHA256>${sum}</ChecksumSHA256></Part>`;
  }
  return { id, document: `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>` };
}

test("a composite object keeps its parts' numbers and checksums, in attributes, by part and by range", async () => {
  const bodies = [bytesOf(1, partSize), bytesOf(2, partSize), bytesOf(3, 10)];
  const numbers = [2, 40, 9_999];
  const { id, document } = await putComposite("composite", numbers, bodies);
  const done = await call("POST", `/bucket/composite?uploadId=${id}`, { body: document });
  const sums = bodies.map((body) => sha256Of(body));
  const whole = `${sha256Of(...sums).toString("base64")}-3`;
  expect(element(done.text, "ChecksumSHA256")).toBe(whole);
  expect(element(done.text, "ChecksumType")).toBe("COMPOSITE");
  const head = await call("HEAD", "/bucket/composite", { headers: enabled });
  expect(head.headers["x-amz-checksum-sha256"]).toBe(whole);
  expect(head.headers["x-amz-checksum-type"]).toBe("COMPOSITE");
  expect((await call("HEAD", "/bucket/composite")).headers).not.toHaveProperty(
    "x-amz-checksum-sha256",
  );
  for (const [at, number] of numbers.entries()) {
    const target = `/bucket/composite?partNumber=${number}`;
    const part = await call(at === 1 ? "HEAD" : "GET", target, { headers: enabled });
    expect(part.status).toBe(206);
    expect(part.headers["x-amz-checksum-sha256"]).toBe(sums[at]!.toString("base64"));
    expect(part.headers["x-amz-checksum-type"]).toBe("COMPOSITE");
    expect(part.headers["x-amz-mp-parts-count"]).toBe("3");
  }
  expect(codeOf(await call("GET", "/bucket/composite?partNumber=1"))).toBe("InvalidPartNumber");
  const aligned = { ...enabled, range: `bytes=${partSize}-${2 * partSize - 1}` };
  const second = await call("GET", "/bucket/composite", { headers: aligned });
  expect(second.headers["x-amz-checksum-sha256"]).toBe(sums[1]!.toString("base64"));
  const crooked = { ...enabled, range: `bytes=${partSize}-${2 * partSize - 2}` };
  const none = await call("GET", "/bucket/composite", { headers: crooked });
  expect(none.headers).not.toHaveProperty("x-amz-checksum-sha256");
  const attributes = (more: Record<string, string>) =>
    call("GET", "/bucket/composite?attributes", {
      headers: { "x-amz-object-attributes": "Checksum,ObjectParts", ...more },
    });
  const partNode = (at: number) =>
    `<Part><PartNumber>${numbers[at]}</PartNumber><Size>${bodies[at]!.byteLength}</Size><ChecksumSHA256>${sums[at]!.toString("base64")}</ChecksumSHA256></Part>`;
  const first = await attributes({ "x-amz-max-parts": "2" });
  expect(first.text).toContain(
    `<ObjectParts><IsTruncated>true</IsTruncated><MaxParts>2</MaxParts><NextPartNumberMarker>40</NextPartNumberMarker><PartNumberMarker>0</PartNumberMarker>${partNode(0)}${partNode(1)}<PartsCount>3</PartsCount></ObjectParts>`,
  );
  const rest = await attributes({ "x-amz-part-number-marker": "40" });
  expect(rest.text).toContain(`<IsTruncated>false</IsTruncated>`);
  expect(rest.text).toContain(`<PartNumberMarker>40</PartNumberMarker>${partNode(2)}<PartsCount>`);
}, 20_000);

test("a complete with a wrong checksum is refused, and the upload stays open for the right one", async () => {
  const { id, document } = await putComposite("claims", [1], [bytesOf(1, 10)]);
  const complete = (body: string, headers: Record<string, string> = {}) =>
    call("POST", `/bucket/claims?uploadId=${id}`, { body, headers });
  const right = `${sha256Of(sha256Of(bytesOf(1, 10))).toString("base64")}-1`;
  const wrong = `${sha256Of(Buffer.from("x")).toString("base64")}-1`;
  expect(codeOf(await complete(document, { "x-amz-checksum-sha256": wrong }))).toBe("BadDigest");
  const type = { "x-amz-checksum-type": "FULL_OBJECT" };
  expect(codeOf(await complete(document, type))).toBe("BadDigest");
  const other = document.replace(/<ChecksumSHA256>[^<]*/, `<ChecksumSHA256>${wrong.slice(0, 44)}`);
  expect(codeOf(await complete(other))).toBe("InvalidPart");
  const bare = document.replace(/<ChecksumSHA256>.*<\/ChecksumSHA256>/, "");
  expect(codeOf(await complete(bare))).toBe("InvalidRequest");
  expect((await call("HEAD", "/bucket/claims")).status).toBe(404);
  const done = await complete(document, { "x-amz-checksum-sha256": right });
  expect(element(done.text, "ChecksumSHA256")).toBe(right);
});

test("a part of another algorithm than the upload's is refused", async () => {
  const { id } = await putComposite("mixed", [1], [bytesOf(1, 10)]);
  const put = await call("PUT", `/bucket/mixed?partNumber=2&uploadId=${id}`, {
    body: "hello world",
    headers: { "x-amz-checksum-crc32": samples.crc32 },
  });
  expect(codeOf(put)).toBe("InvalidRequest");
  expect(put.text).toContain("expected checksum Type: sha256, actual checksum Type: crc32");
});

test("every algorithm is checked, kept and said back; a wrong value leaves what was there", async () => {
  for (const [algorithm, sum] of Object.entries(samples)) {
    const name = `x-amz-checksum-${algorithm}`;
    const target = `/bucket/one-${algorithm}`;
    const put = (body: string) =>
      call("PUT", target, {
        body,
        headers: { [name]: sum, "x-amz-sdk-checksum-algorithm": algorithm.toUpperCase() },
      });
    const good = await put("hello world");
    expect(good.headers[name]).toBe(sum);
    expect(good.headers["x-amz-checksum-type"]).toBe("FULL_OBJECT");
    expect(codeOf(await put("hello worle"))).toBe("BadDigest");
    const got = await call("GET", target, { headers: enabled });
    expect(got.text).toBe("hello world");
    expect(got.headers[name]).toBe(sum);
    expect(got.headers["x-amz-checksum-type"]).toBe("FULL_OBJECT");
    const ranged = await call("GET", target, { headers: { ...enabled, range: "bytes=0-10" } });
    expect(ranged.headers[name]).toBe(sum);
    const less = await call("GET", target, { headers: { ...enabled, range: "bytes=0-9" } });
    expect(less.headers).not.toHaveProperty(name);
  }
});

test("a wrong checksum of an object that was not there leaves nothing, whichever way it came", async () => {
  const send = (key: string, headers: Record<string, string>, body: string, payload?: string) =>
    call("PUT", `/bucket/${key}`, { body, headers, ...(payload === undefined ? {} : { payload }) });
  const chunked = (sum: string) => `b\r\nhello world\r\n0\r\nx-amz-checksum-crc32c:${sum}\r\n\r\n`;
  const trailing = {
    "x-amz-decoded-content-length": "11",
    "x-amz-trailer": "x-amz-checksum-crc32c",
    "content-encoding": "aws-chunked",
  };
  const streamed = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
  const refused = [
    await send("never", { "content-md5": "AAAAAAAAAAAAAAAAAAAAAA==" }, "hello world"),
    await send("never", { "x-amz-checksum-sha1": samples.sha1 }, "hello"),
    await send("never", trailing, chunked("AAAAAA=="), streamed),
  ];
  expect(refused.map(codeOf)).toEqual(["BadDigest", "BadDigest", "BadDigest"]);
  const large = bytesOf(7, partSize); // more than one chunk was stored when it is found out
  const wrong = await call("PUT", "/bucket/never", {
    body: large,
    headers: { "x-amz-checksum-crc32": samples.crc32 },
  });
  expect(codeOf(wrong)).toBe("BadDigest");
  expect((await call("GET", "/bucket/never")).status).toBe(404);
  const good = await send("trailed", trailing, chunked(samples.crc32c), streamed);
  expect(good.headers["x-amz-checksum-crc32c"]).toBe(samples.crc32c);
  const head = await call("HEAD", "/bucket/trailed", { headers: enabled });
  expect(head.headers["x-amz-checksum-crc32c"]).toBe(samples.crc32c);
  expect(head.headers).not.toHaveProperty("content-encoding");
});

test("where no checksum is named CRC-64/NVME is computed, over all of an object in parts too", async () => {
  await call("PUT", "/bucket/plain", { body: "hello world" });
  const head = await call("HEAD", "/bucket/plain", { headers: enabled });
  expect(head.headers["x-amz-checksum-crc64nvme"]).toBe(samples.crc64nvme);
  const created = await call("POST", "/bucket/parts?uploads");
  const id = element(created.text, "UploadId")!;
  const put = await call("PUT", `/bucket/parts?partNumber=7&uploadId=${id}`, {
    body: "hello world",
  });
  const done = await call("POST", `/bucket/parts?uploadId=${id}`, {
    body: `<CompleteMultipartUpload><Part><PartNumber>7</PartNumber><ETag>${put.headers["etag"]}</ETag></Part></CompleteMultipartUpload>`,
  });
  expect(element(done.text, "ChecksumCRC64NVME")).toBe(samples.crc64nvme);
  expect(element(done.text, "ChecksumType")).toBe("FULL_OBJECT");
  const part = await call("GET", "/bucket/parts?partNumber=7", { headers: enabled });
  expect(part.headers["x-amz-checksum-crc64nvme"]).toBe(samples.crc64nvme);
});

test("a copy keeps the checksum of its source or gets one of the algorithm asked for", async () => {
  await call("PUT", "/bucket/source", {
    body: "hello world",
    headers: { "x-amz-checksum-sha1": samples.sha1 },
  });
  const copy = (key: string, more: Record<string, string> = {}) =>
    call("PUT", `/bucket/${key}`, {
      headers: { "x-amz-copy-source": "/bucket/source", ...more },
    });
  expect(element((await copy("same")).text, "ChecksumSHA1")).toBe(samples.sha1);
  const other = await copy("other", { "x-amz-checksum-algorithm": "CRC32C" });
  expect(element(other.text, "ChecksumCRC32C")).toBe(samples.crc32c);
  const head = await call("HEAD", "/bucket/other", { headers: enabled });
  expect(head.headers["x-amz-checksum-crc32c"]).toBe(samples.crc32c);
  expect(head.headers).not.toHaveProperty("x-amz-checksum-sha1");
  const itself = await call("PUT", "/bucket/source", {
    headers: { "x-amz-copy-source": "/bucket/source", "x-amz-checksum-algorithm": "SHA256" },
  });
  expect(element(itself.text, "ChecksumSHA256")).toBe(samples.sha256);
});

test("claims that contradict each other are refused before the body is asked for", async () => {
  const put = (headers: Record<string, string>) =>
    call("PUT", "/bucket/contradiction", { body: "hello world", headers });
  const refused = await Promise.all([
    put({ "x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-sha1": samples.sha1 }),
    put({ "x-amz-sdk-checksum-algorithm": "CRC32" }),
    put({ "x-amz-checksum-crc32": samples.crc32, "x-amz-checksum-sha1": samples.sha1 }),
    put({ "x-amz-checksum-md5": samples.sha1 }),
    put({ "x-amz-checksum-crc32": "AAAA" }),
  ]);
  expect(refused.map(codeOf)).toEqual(refused.map(() => "InvalidRequest"));
  const crc = crc32Of(Buffer.from("hello world"));
  expect((await put({ "x-amz-checksum-crc32": crc })).status).toBe(200);
});
