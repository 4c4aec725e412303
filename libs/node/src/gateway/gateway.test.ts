/** S3 through the whole stack of one process: sockets, signatures, calls, map and devices. */
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply, signChunk } from "./bed.test-helper.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const bytesOf = (seed: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size, `bytes of ${seed}, `);
  for (let at = 0; at < size; at += 4096) bytes[at] = at >> 12; // no two blocks are the same
  return bytes;
};
const md5Of = (...parts: readonly Uint8Array[]): string => {
  const hash = createHash("md5");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];

beforeAll(async () => {
  bed = await Bed.open();
  expect((await call("PUT", "/bucket")).status).toBe(200);
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const partSize = 5 * 1024 * 1024;
async function putInParts(key: string, parts: readonly Uint8Array[]): Promise<string> {
  const created = await call("POST", `/bucket/${key}?uploads`);
  const id = element(created.text, "UploadId")!;
  let named = "";
  for (const [at, body] of parts.entries()) {
    const target = `/bucket/${key}?partNumber=${at + 1}&uploadId=${id}`;
    const { headers } = await call("PUT", target, { body });
    named += `<Part><PartNumber>${at + 1}</PartNumber><ETag>${headers["etag"]}</ETag></Part>`;
  }
  const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
  const completed = await call("POST", `/bucket/${key}?uploadId=${id}`, { body });
  expect(completed.status).toBe(200);
  return id;
}

test("a multipart object is read by part, described by attributes, and copied to an ETag of one put", async () => {
  const parts = [bytesOf(1, partSize), bytesOf(2, partSize), bytesOf(3, 10)];
  const id = await putInParts("parts", parts);
  const whole = await call("HEAD", "/bucket/parts");
  expect(whole.headers["etag"]).toMatch(/^"[0-9a-f]{32}-3"$/);
  for (const [at, part] of parts.entries()) {
    const got = await call("GET", `/bucket/parts?partNumber=${at + 1}`);
    expect(got.status).toBe(206);
    expect(got.headers["x-amz-mp-parts-count"]).toBe("3");
    expect(got.headers["etag"]).toBe(whole.headers["etag"]!);
    expect(md5Of(got.body)).toBe(md5Of(part));
  }
  const head = await call("HEAD", "/bucket/parts?partNumber=3");
  expect(head).toMatchObject({ status: 206, headers: { "content-length": "10" } });
  const beyond = await call("GET", "/bucket/parts?partNumber=4");
  expect(beyond.status).toBe(416);
  expect(element(beyond.text, "Code")).toBe("InvalidPartNumber");
  expect(element(beyond.text, "ActualPartCount")).toBe("3");
  const attributes = await call("GET", "/bucket/parts?attributes", {
    headers: {
      "x-amz-object-attributes": "ETag,ObjectParts,ObjectSize",
      "x-amz-max-parts": "1",
      "x-amz-part-number-marker": "1",
    },
  });
  expect(attributes.text.replace(/<ChecksumCRC64NVME>[^<]*<\/ChecksumCRC64NVME>/, "")).toContain(
    `<IsTruncated>true</IsTruncated><MaxParts>1</MaxParts><NextPartNumberMarker>2</NextPartNumberMarker><PartNumberMarker>1</PartNumberMarker><Part><PartNumber>2</PartNumber><Size>${partSize}</Size></Part><PartsCount>3</PartsCount>`,
  );
  const copied = await call("PUT", "/bucket/copied", {
    headers: { "x-amz-copy-source": "/bucket/parts" },
  });
  expect(element(copied.text, "ETag")).toBe(`&quot;${md5Of(...parts)}&quot;`);
  const gone = await call("GET", `/bucket/parts?uploadId=${id}`);
  expect(element(gone.text, "Code")).toBe("NoSuchUpload");
  expect(element(gone.text, "UploadId")).toBe(id);
  const single = await call("GET", "/bucket/copied?partNumber=2");
  expect(single.status).toBe(416);
}, 20_000);

test("an upload whose checksum covers the object gets the CRC of all its bytes", async () => {
  const created = await call("POST", "/bucket/crc?uploads", {
    headers: { "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT" },
  });
  const id = element(created.text, "UploadId")!;
  const parts = [bytesOf(1, partSize), bytesOf(2, 3)];
  let named = "";
  for (const [at, body] of parts.entries()) {
    const target = `/bucket/crc?partNumber=${at + 1}&uploadId=${id}`;
    const { headers } = await call("PUT", target, { body });
    named += `<Part><PartNumber>${at + 1}</PartNumber><ETag>${headers["etag"]}</ETag></Part>`;
  }
  const listed = await call("GET", `/bucket/crc?uploadId=${id}`);
  expect(element(listed.text, "ChecksumType")).toBe("FULL_OBJECT");
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(Bun.hash.crc32(Buffer.concat(parts)));
  const completed = await call("POST", `/bucket/crc?uploadId=${id}`, {
    body: `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`,
    headers: { "x-amz-checksum-crc32": crc.toString("base64") },
  });
  expect(element(completed.text, "ChecksumCRC32")).toBe(crc.toString("base64"));
  const source = {
    "x-amz-copy-source": "/bucket/crc",
    "x-amz-copy-source-range": "bytes=0-9999999",
  };
  const other = element((await call("POST", "/bucket/crc2?uploads")).text, "UploadId")!;
  const beyond = await call("PUT", `/bucket/crc2?partNumber=1&uploadId=${other}`, {
    headers: source,
  });
  expect(element(beyond.text, "Code")).toBe("InvalidRange");
}, 20_000);

test("of 64 conditional puts at once one wins", async () => {
  const outcomes = await Promise.all(
    Array.from({ length: 64 }, (_, at) =>
      call("PUT", "/bucket/race", { body: `writer ${at}`, headers: { "if-none-match": "*" } }),
    ),
  );
  const winners = outcomes.filter(({ status }) => status === 200);
  expect(winners).toHaveLength(1);
  for (const { status, text } of outcomes) {
    if (status === 200) continue;
    expect(status).toBe(412);
    expect(element(text, "Condition")).toBe("If-None-Match");
  }
  const got = await call("GET", "/bucket/race");
  expect(got.headers["etag"]).toBe(winners[0]!.headers["etag"]!);
}, 20_000);

test("deletes hold to ETag, size and time, and take what is not there for done", async () => {
  await call("PUT", "/bucket/kept", { body: "12345" });
  const { headers } = await call("HEAD", "/bucket/kept");
  const remove = (conditions: Record<string, string>) =>
    call("DELETE", "/bucket/kept", { headers: conditions });
  for (const conditions of [
    { "if-match": '"other"' },
    { "x-amz-if-match-size": "4" },
    { "x-amz-if-match-last-modified-time": "Sat, 01 Jan 2000 00:00:00 GMT" },
  ]) {
    expect((await remove(conditions)).status).toBe(412);
  }
  const many = (inner: string) =>
    call("POST", "/bucket?delete", {
      body: `<Delete><Object><Key>kept</Key>${inner}</Object></Delete>`,
      headers: { "content-md5": "" },
    });
  expect((await many("")).status).toBe(400); // no digest
  const digest = (body: string) => createHash("md5").update(body).digest("base64");
  const body = "<Delete><Object><Key>kept</Key><Size>4</Size></Object></Delete>";
  const refused = await call("POST", "/bucket?delete", {
    body,
    headers: { "content-md5": digest(body) },
  });
  expect(element(refused.text, "Code")).toBe("PreconditionFailed");
  const met = {
    "if-match": headers["etag"]!,
    "x-amz-if-match-size": "5",
    "x-amz-if-match-last-modified-time": headers["last-modified"]!,
  };
  expect((await remove(met)).status).toBe(204);
  expect((await call("HEAD", "/bucket/kept")).status).toBe(404);
  expect((await remove(met)).status).toBe(204);
});

test("presigned URLs put and get, whatever checksum is in the query, until they expire", async () => {
  const send = (target: string, method: string, body?: string) =>
    bed.send(method, target, { host: bed.host }, body);
  const signed = bed.presign(bed.main, "PUT", "/bucket/pre%2Bsigned%2Bkey", {
    "x-amz-checksum-crc32": "AAAAAA==", // of nothing: what the SDK for JavaScript signs
    "x-amz-sdk-checksum-algorithm": "CRC32",
  });
  const put = signed.replace("pre%2Bsigned%2Bkey", "pre%2Bsigned+key");
  expect(await send(put, "PUT", "hello")).toMatchObject({ status: 200 });
  const got = await send(bed.presign(bed.main, "GET", "/bucket/pre%2Bsigned%2Bkey"), "GET");
  expect(got.text).toBe("hello"); // `+` of a path is a plus
  const named = await send(
    bed.presign(bed.main, "GET", "/bucket/pre%2Bsigned%2Bkey", {
      "response-content-disposition": 'attachment; filename="x"',
    }),
    "GET",
  );
  expect(named.headers["content-disposition"]).toBe('attachment; filename="x"');
  const old = await send(bed.presign(bed.main, "GET", "/bucket/k", {}, 0), "GET");
  expect(old.status).toBeGreaterThanOrEqual(400);
  const forged = bed
    .presign(bed.main, "GET", "/bucket/k")
    .replace(/.$/, (c) => (c === "0" ? "1" : "0"));
  expect((await send(forged, "GET")).text).toContain("<Code>SignatureDoesNotMatch</Code>");
  expect((await bed.send("GET", "/bucket/k", { host: bed.host })).status).toBe(403); // unsigned
});

const modes = ["hash", "unsigned", "signed", "signed_trailer", "unsigned_trailer"] as const;
for (const mode of modes) {
  test(`a body of payload mode ${mode} is stored whole, and refused when a byte is wrong`, async () => {
    for (const size of [0, 1, 70_000]) {
      const body = bytesOf(size + 1, size);
      const put = await putBy(mode, `/bucket/mode-${mode}`, body, body);
      expect(put.text).toBe("");
      expect(put.status).toBe(200);
      const got = await call("GET", `/bucket/mode-${mode}`);
      expect(got.body.equals(body)).toBe(true);
    }
    if (mode === "unsigned") return; // nothing to check it by
    const body = Buffer.from("as signed");
    const wrong = await putBy(mode, `/bucket/wrong-${mode}`, body, Buffer.from("as sent!!"));
    expect(wrong.status).toBeGreaterThanOrEqual(400);
    expect((await call("HEAD", `/bucket/wrong-${mode}`)).status).toBe(404);
  });
}

test("a document that nothing is claimed of is taken: an unsigned payload without a digest", async () => {
  const none = Buffer.alloc(0);
  expect((await putBy("unsigned", "/unsigned-bucket", none, none)).status).toBe(200);
  const region = Buffer.from("<CreateBucketConfiguration/>");
  expect((await putBy("unsigned", "/unsigned-second", region, region)).status).toBe(200);
});

/** Sends `sent` under the signatures of `body`. */
function putBy(mode: (typeof modes)[number], target: string, body: Buffer, sent: Buffer) {
  if (mode === "hash" || mode === "unsigned") {
    const payload =
      mode === "unsigned" ? "UNSIGNED-PAYLOAD" : createHash("sha256").update(body).digest("hex");
    const { headers } = bed.sign(bed.main, "PUT", target, { body, payload });
    return bed.send("PUT", target, headers, sent);
  }
  const isSigned = mode !== "unsigned_trailer";
  const checksum = createHash("sha256").update(body).digest("base64");
  const trailer = `x-amz-checksum-sha256:${checksum}`;
  const hasTrailer = mode !== "signed";
  const name = isSigned ? "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" : "STREAMING-UNSIGNED-PAYLOAD";
  const payload = hasTrailer ? `${name}-TRAILER` : name;
  const { headers, seed } = bed.sign(bed.main, "PUT", target, {
    payload,
    headers: {
      "content-encoding": "aws-chunked",
      "x-amz-decoded-content-length": String(body.byteLength),
      ...(hasTrailer ? { "x-amz-trailer": "x-amz-checksum-sha256" } : {}),
    },
  });
  const chunks: Buffer[] = [];
  let last = seed;
  for (let at = 0; ; at += 65_536) {
    const signedBytes = body.subarray(at, at + 65_536);
    let line = signedBytes.byteLength.toString(16);
    if (isSigned) {
      last = { ...last, signature: signChunk("PAYLOAD", last, signedBytes) };
      line += `;chunk-signature=${last.signature}`;
    }
    chunks.push(Buffer.from(`${line}\r\n`), sent.subarray(at, at + 65_536));
    if (signedBytes.byteLength === 0) break;
    chunks.push(Buffer.from("\r\n"));
  }
  let end = "";
  if (hasTrailer) end += `${trailer}\r\n`;
  if (hasTrailer && isSigned) {
    end += `x-amz-trailer-signature:${signChunk("TRAILER", last, `${trailer}\n`)}\r\n`;
  }
  chunks.push(Buffer.from(`${end}\r\n`));
  return bed.send("PUT", target, headers, Buffer.concat(chunks));
}
test("a tenant sees nothing of another's, whose bucket may have the same name", async () => {
  expect((await bed.call(bed.other, "GET", "/bucket")).text).toContain("<Code>AccessDenied</Code>");
  await call("PUT", "/bucket/secret", { body: "of main" });
  expect((await bed.call(bed.other, "PUT", "/bucket")).status).toBe(200);
  expect((await bed.call(bed.other, "GET", "/bucket/secret")).status).toBe(404);
  await bed.call(bed.other, "PUT", "/bucket/secret", { body: "of other" });
  expect((await call("GET", "/bucket/secret")).text).toBe("of main");
  const copy = await bed.call(bed.other, "PUT", "/bucket/stolen", {
    headers: { "x-amz-copy-source": "/bucket/race" },
  });
  expect(copy.text).toContain("<Code>NoSuchKey</Code>");
  const upload = element((await call("POST", "/bucket/mine?uploads")).text, "UploadId")!;
  const part = await bed.call(bed.other, "PUT", `/bucket/mine?partNumber=1&uploadId=${upload}`, {
    body: "x",
  });
  expect(part.text).toContain("<Code>NoSuchUpload</Code>");
  await call("PUT", "/bucket/another", { body: "of main" });
  const page = await call("GET", "/bucket?list-type=2&max-keys=1");
  const token = encodeURIComponent(element(page.text, "NextContinuationToken")!);
  const stolen = await bed.call(
    bed.other,
    "GET",
    `/bucket?continuation-token=${token}&list-type=2`,
  );
  expect(stolen.text).toContain("<Code>InvalidArgument</Code>");
  const owners = await Promise.all(
    [bed.main, bed.other].map(async (user) =>
      element((await bed.call(user, "GET", "/")).text, "ID")!,
    ),
  );
  expect(owners[0]).not.toBe(owners[1]);
  const { catalog } = bed.node.storage;
  const accounts = ["default", "other"].map((name) =>
    catalog.account(catalog.tenants().find((tenant) => tenant.name === name)!.id),
  );
  const expected = (owner: string) =>
    call("GET", "/bucket", { headers: { "x-amz-expected-bucket-owner": owner } });
  expect((await expected(accounts[0]!)).status).toBe(200);
  expect((await expected(accounts[1]!)).status).toBe(403);
  await bed.call(bed.other, "DELETE", "/bucket/secret");
  expect((await bed.call(bed.other, "DELETE", "/bucket")).status).toBe(204);
  expect((await call("HEAD", "/bucket")).status).toBe(200);
});

test("a GET that is being read gives the old bytes whole while the object is overwritten", async () => {
  const before = bytesOf(7, 24 * 1024 * 1024);
  await call("PUT", "/bucket/moving", { body: before });
  const { headers } = bed.sign(bed.main, "GET", "/bucket/moving");
  const socket = connect({ port: bed.port, host: "127.0.0.1" });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET /bucket/moving HTTP/1.1\r\n${lines.join("")}connection: close\r\n\r\n`);
  const parts: Buffer[] = [];
  const { promise: begun, resolve: onBegun } = Promise.withResolvers<void>();
  const { promise: ended, resolve: onEnded } = Promise.withResolvers<void>();
  socket.on("data", (part: Buffer) => {
    if (parts.push(part) > 1) return;
    socket.pause();
    onBegun();
  });
  socket.on("close", () => onEnded());
  await begun;
  await call("PUT", "/bucket/moving", { body: "new" });
  socket.resume();
  await ended;
  const all = Buffer.concat(parts);
  const start = all.indexOf("\r\n\r\n") + 4;
  expect(all.subarray(start).equals(before)).toBe(true);
  expect((await call("GET", "/bucket/moving")).text).toBe("new");
}, 20_000);

test("HEAD and 304 come without a body", async () => {
  await call("PUT", "/bucket/plain", { body: "plain" });
  const { headers } = await call("HEAD", "/bucket/plain");
  const ask = (method: string, target: string, more: Record<string, string> = {}) => {
    const signed = bed.sign(bed.main, method, target, { headers: more }).headers;
    const lines = Object.entries(signed).map(([name, value]) => `${name}: ${value}\r\n`);
    return bed.raw(`${method} ${target} HTTP/1.1\r\n${lines.join("")}connection: close\r\n\r\n`);
  };
  for (const answer of [
    await ask("HEAD", "/bucket/plain"),
    await ask("HEAD", "/bucket/absent"),
    await ask("HEAD", "/bucket"),
    await ask("GET", "/bucket/plain", { "if-none-match": headers["etag"]! }),
  ]) {
    expect(answer).toMatch(/^HTTP\/1\.1 (200|304|404) /);
    expect(answer.toLowerCase()).toContain("x-amz-request-id: ");
    expect(answer.slice(answer.indexOf("\r\n\r\n") + 4)).toBe("");
  }
});

const smuggled = {
  "both lengths": "content-length: 4\r\ntransfer-encoding: chunked\r\n",
  "two lengths": "content-length: 4\r\ncontent-length: 5\r\n",
  "a length with a sign": "content-length: +4\r\n",
  "an unknown coding": "transfer-encoding: xchunked\r\n",
  "a coding twice": "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
  "a space before the colon": "content-length : 4\r\n",
  "a folded line": "x-a: b\r\n c\r\n",
  "a bare line feed": "x-a: b\nx-c: d\r\n",
  "a NUL": "x-a: b\0c\r\n",
};
for (const [name, lines] of Object.entries(smuggled)) {
  test(`a request with ${name} is refused as S3 does and ends the connection`, async () => {
    const follow = "GET /bucket/secret HTTP/1.1\r\nhost: h\r\n\r\n";
    const answer = await bed.raw(
      `PUT /bucket/k HTTP/1.1\r\nhost: ${bed.host}\r\n${lines}\r\n${follow}`,
    );
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(answer).toMatch(/^HTTP\/1\.1 (400|501) /);
    expect(answer).toContain("<Error><Code>");
    expect(element(answer, "RequestId")).toMatch(/^[0-9A-F]{16}$/);
    expect(answer.toLowerCase()).toContain("connection: close");
  });
}

test("refusals say what they are about", async () => {
  await call("PUT", "/bucket/short", { body: "12345" });
  const range = await call("GET", "/bucket/short", { headers: { range: "bytes=9-" } });
  expect(range.status).toBe(416);
  expect(element(range.text, "RangeRequested")).toBe("bytes=9-");
  expect(element(range.text, "ActualObjectSize")).toBe("5");
  const match = await call("GET", "/bucket/short", { headers: { "if-match": '"no"' } });
  expect(element(match.text, "Condition")).toBe("If-Match");
  const traversal = await call("GET", "/bucket/../bucket/short");
  expect(element(traversal.text, "Code")).toBe("NoSuchKey"); // a path is never normalised
  const long = await call("PUT", `/bucket/${"k".repeat(1025)}`, { body: "" });
  expect(element(long.text, "Code")).toBe("KeyTooLongError");
  const entity = "<!DOCTYPE a [<!ENTITY x 'y'>]><Delete><Object><Key>&x;</Key></Object></Delete>";
  const digest = createHash("md5").update(entity).digest("base64");
  const document = await call("POST", "/bucket?delete", {
    body: entity,
    headers: { "content-md5": digest },
  });
  expect(element(document.text, "Code")).toBe("MalformedXML");
});

test("buckets are made again, listed by prefix in full pages, and have the settings of a new one", async () => {
  expect((await call("PUT", "/bucket")).status).toBe(200); // us-east-1
  const made = ["page-1", "page-2", "page-3", "zzz"];
  for (const name of made) await call("PUT", `/${name}`, { headers: { "x-amz-acl": "private" } });
  const page = await call("GET", "/?max-buckets=2&prefix=page-");
  expect([...page.text.matchAll(/<Name>([^<]*)</g)].map(([, name]) => name)).toEqual([
    "page-1",
    "page-2",
  ]);
  const token = encodeURIComponent(element(page.text, "ContinuationToken")!);
  const next = await call("GET", `/?continuation-token=${token}&max-buckets=2&prefix=page-`);
  expect([...next.text.matchAll(/<Name>([^<]*)</g)].map(([, name]) => name)).toEqual(["page-3"]);
  expect(next.text).not.toContain("ContinuationToken");
  expect((await call("GET", "/bucket?acl")).text).toContain(
    "<Permission>FULL_CONTROL</Permission>",
  );
  expect((await call("GET", "/bucket?policy")).text).toContain("NoSuchBucketPolicy");
  expect((await call("GET", "/bucket?encryption")).text).toContain("AES256");
  expect((await call("DELETE", "/bucket?policy")).status).toBe(204);
  expect((await call("DELETE", "/nowhere?policy")).status).toBe(404);
  const privately = { headers: { "x-amz-acl": "private" } };
  expect((await call("PUT", "/bucket?acl", privately)).status).toBe(200);
  expect((await call("PUT", "/nowhere?acl", privately)).status).toBe(404);
  const publicly = { headers: { "x-amz-acl": "public-read" } };
  expect((await call("PUT", "/bucket?acl", publicly)).status).toBe(400);
  expect((await call("PUT", "/a.-b")).text).toContain("<Code>InvalidBucketName</Code>");
  const acl = await call("PUT", "/public", { headers: { "x-amz-acl": "public-read" } });
  expect(acl.status).toBe(400);
  for (const name of made) expect((await call("DELETE", `/${name}`)).status).toBe(204);
});

test("metadata comes back as sent, encoded when it is not ASCII", async () => {
  const headers = { "x-amz-meta-plain": "a  b", "x-amz-meta-name": "=?UTF-8?Q?=C3=A9?=" };
  await call("PUT", "/bucket/meta", { headers: { ...headers, "x-amz-meta-plain": "a b" } });
  const got = await call("HEAD", "/bucket/meta");
  expect(got.headers["x-amz-meta-plain"]).toBe("a b");
  expect(got.headers["x-amz-meta-name"]).toBe("=?UTF-8?Q?=C3=A9?=");
  expect(got.headers["x-amz-server-side-encryption"]).toBe("AES256");
});

test("a bucket is made where the client believes to be, when no region is configured", async () => {
  const body =
    "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
  expect((await call("PUT", "/elsewhere", { body })).status).toBe(200);
  const nowhere = await call("PUT", "/nowhere", { body: body.replace("eu-west-1", "a b") });
  expect(element(nowhere.text, "Code")).toBe("InvalidLocationConstraint");
  expect((await call("DELETE", "/elsewhere")).status).toBe(204);
});

test("a copy has the redirect and storage class of its request alone, and says which of the two is missing", async () => {
  const redirect = "x-amz-website-redirect-location";
  const headers = { [redirect]: "/old", "x-amz-meta-a": "1", "content-type": "text/x" };
  await call("PUT", "/bucket/redirected", { body: "0123456789", headers });
  const copy = (key: string, source: string, more: Readonly<Record<string, string>> = {}) =>
    call("PUT", `/bucket/${key}`, { headers: { "x-amz-copy-source": source, ...more } });
  expect((await copy("copied", "/bucket/redirected")).status).toBe(200);
  const copied = await call("HEAD", "/bucket/copied");
  expect(copied.headers).toMatchObject({ "x-amz-meta-a": "1", "content-type": "text/x" });
  expect(copied.headers[redirect]).toBeUndefined();
  const itself = await copy("redirected", "/bucket/redirected", { [redirect]: "/new" });
  expect(itself.status).toBe(200);
  const changed = await call("HEAD", "/bucket/redirected");
  expect(changed.headers).toMatchObject({ [redirect]: "/new", "x-amz-meta-a": "1" });
  const key = await copy("copied", "/bucket/missing%2B");
  expect(element(key.text, "Key")).toBe("missing+");
  const bucket = await copy("copied", "/missing-bucket/key");
  expect(element(bucket.text, "BucketName")).toBe("missing-bucket");
});

test("framing that is refused is named", async () => {
  const send = async (lines: string): Promise<string> =>
    bed.raw(`PUT /bucket/k HTTP/1.1\r\nhost: ${bed.host}\r\n${lines}\r\n`);
  const large = await send(`x-large: ${"a".repeat(70_000)}\r\n`);
  expect(large).toStartWith("HTTP/1.1 400 ");
  expect(element(large, "Code")).toBe("RequestHeaderSectionTooLarge");
  expect(element(await send("content-length: 9007199254740991\r\n"), "Code")).toBe(
    "EntityTooLarge",
  );
  const fold = await send("a: b\r\n c\r\n");
  expect(element(fold, "Code")).toBe("BadRequest");
  expect(element(fold, "Message")).toEndWith("folded header.");
});

test("many copies at once end, and so does a read beside them", async () => {
  const size = 6 * 1024 * 1024;
  await putInParts("to-copy", [bytesOf(1, size), bytesOf(2, 1000)]);
  const copies = Array.from({ length: 30 }, (_, at) =>
    call("PUT", `/bucket/copy-${at % 5}`, { headers: { "x-amz-copy-source": "/bucket/to-copy" } }),
  );
  const read = call("GET", "/bucket/to-copy");
  for (const { status } of await Promise.all(copies)) expect(status).toBe(200);
  expect((await read).body.byteLength).toBe(size + 1000);
}, 20_000);

test("uploads that stall hold up neither reads nor small writes", async () => {
  await call("PUT", "/bucket/whole", { body: bytesOf(3, 300_000) });
  const stalled = Array.from({ length: 30 }, (_, at) => {
    const target = `/bucket/stalled-${at}`;
    const { headers } = bed.sign(bed.main, "PUT", target, {
      headers: { "content-length": String(5 * 1024 * 1024) },
      payload: "UNSIGNED-PAYLOAD",
    });
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const socket = connect({ port: bed.port, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.write(`PUT ${target} HTTP/1.1\r\n${lines.join("")}\r\n${"a".repeat(1000)}`);
    return socket;
  });
  try {
    // Large writes wait from some point on; nothing else does.
    for (let turn = 0; turn < 5; turn += 1) {
      expect((await call("PUT", "/bucket/small", { body: bytesOf(turn, 200_000) })).status).toBe(
        200,
      );
      expect((await call("GET", "/bucket/whole")).body.byteLength).toBe(300_000);
    }
  } finally {
    for (const socket of stalled) socket.destroy();
  }
}, 20_000);
