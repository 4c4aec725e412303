// Goal: a signed URL does the one thing that was signed, as long as was signed, whichever call that is.
// Method: URLs signed by hand for a real node, used as they are and with one part changed.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { Bed, type Reply, signText, stampNow, type User } from "./bed.test-helper.ts";

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
  expect((await bed.call(bed.main, "PUT", "/links")).status).toBe(200);
  expect((await bed.call(bed.main, "PUT", "/links/k", { body: "content" })).status).toBe(200);
});
afterAll(() => bed[Symbol.asyncDispose]());

interface Link {
  readonly query?: Readonly<Record<string, string>>;
  /** Further headers that are signed. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly payload?: string;
  readonly expires?: number;
  readonly host?: string;
  readonly user?: User;
}
function sign(method: string, path: string, link: Link = {}): string {
  const { query = {}, headers = {}, payload = "UNSIGNED-PAYLOAD", expires = 60 } = link;
  const user = link.user ?? bed.main;
  const date = stampNow();
  const signed: Record<string, string> = { host: link.host ?? bed.host, ...headers };
  const names = Object.keys(signed).toSorted();
  const pairs = Object.entries({
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${user.id}/${date.slice(0, 8)}/us-east-1/s3/aws4_request`,
    "X-Amz-Date": date,
    "X-Amz-Expires": String(expires),
    "X-Amz-SignedHeaders": names.join(";"),
    ...query,
  })
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .toSorted()
    .join("&");
  const lines = names.map((name) => `${name}:${signed[name]}\n`).join("");
  const canonical = `${method}\n${path}\n${pairs}\n${lines}\n${names.join(";")}\n${payload}`;
  return `${path}?${pairs}&X-Amz-Signature=${signText(user, date, canonical).signature}`;
}
const send = (
  method: string,
  target: string,
  { headers = {}, body }: { headers?: Record<string, string>; body?: string } = {},
): Promise<Reply> => bed.send(method, target, { host: bed.host, ...headers }, body);
const codeOf = (reply: Reply): string =>
  /<Code>(.*)<\/Code>/.exec(reply.text)?.[1] ?? String(reply.status);
const get = async (key: string) => (await bed.call(bed.main, "GET", `/links/${key}`)).text;

test("a signed URL is good for its method, path and query alone", async () => {
  const target = sign("GET", "/links/k");
  expect((await send("GET", target)).text).toBe("content");
  expect((await send("HEAD", target)).status).toBe(403);
  expect((await send("DELETE", target)).status).toBe(403);
  expect(codeOf(await send("GET", target.replace("/k?", "/l?")))).toBe("SignatureDoesNotMatch");
  expect(codeOf(await send("GET", `${target}&versionId=null`))).toBe("SignatureDoesNotMatch");
  expect(codeOf(await send("GET", `${target}&response-content-type=text%2Fhtml`))).toBe(
    "SignatureDoesNotMatch",
  );
  expect(codeOf(await send("GET", `${target}&X-Amz-Expires=604800`))).toBe(
    "AuthorizationQueryParametersError",
  );
  expect(
    (await send("GET", sign("GET", "/links/k", { user: { ...bed.main, secret: "x" } }))).status,
  ).toBe(403);
});
test("a signed URL lasts a week at most, and no second longer than was signed", async () => {
  expect((await send("GET", sign("GET", "/links/k", { expires: 604_800 }))).status).toBe(200);
  const long = await send("GET", sign("GET", "/links/k", { expires: 604_801 }));
  expect([long.status, codeOf(long)]).toEqual([400, "AuthorizationQueryParametersError"]);
  const over = await send("GET", sign("GET", "/links/k", { expires: 0 }));
  expect([over.status, codeOf(over)]).toEqual([403, "AccessDenied"]);
  expect(over.text).toContain("Request has expired");
});
test("a signed URL of a PUT takes a body with the signed hash, or any where none was signed", async () => {
  expect((await send("PUT", sign("PUT", "/links/any"), { body: "any" })).status).toBe(200);
  expect(await get("any")).toBe("any");
  const payload = createHash("sha256").update("right").digest("hex");
  const target = sign("PUT", "/links/hashed", {
    query: { "X-Amz-Content-Sha256": payload },
    payload,
  });
  expect(codeOf(await send("PUT", target, { body: "wrong" }))).toBe("XAmzContentSHA256Mismatch");
  expect((await bed.call(bed.main, "HEAD", "/links/hashed")).status).toBe(404);
  expect((await send("PUT", target, { body: "right" })).status).toBe(200);
  const header = { "x-amz-content-sha256": payload };
  const byHeader = sign("PUT", "/links/header", { headers: header, payload });
  expect(codeOf(await send("PUT", byHeader, { body: "wrong", headers: header }))).toBe(
    "XAmzContentSHA256Mismatch",
  );
  expect((await send("PUT", byHeader, { body: "right", headers: header })).status).toBe(200);
  const unsigned = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };
  const said = sign("PUT", "/links/said", { headers: unsigned });
  expect((await send("PUT", said, { body: "x", headers: unsigned })).status).toBe(200);
});
test("headers that were signed must come, and x-amz-* that were not may not", async () => {
  const headers = { "x-amz-meta-a": "b", "content-type": "text/plain" };
  const target = sign("PUT", "/links/named", { headers });
  expect(codeOf(await send("PUT", target, { body: "x" }))).toBe("SignatureDoesNotMatch");
  const other = { ...headers, "content-type": "text/html" };
  expect(codeOf(await send("PUT", target, { body: "x", headers: other }))).toBe(
    "SignatureDoesNotMatch",
  );
  for (const [name, value] of [
    ["x-amz-acl", "public-read"],
    ["x-amz-meta-more", "x"],
    ["x-amz-copy-source", "/links/k"],
    ["x-amz-security-token", "x"],
    ["x-amz-content-sha256", "UNSIGNED-PAYLOAD"],
  ] as const) {
    const reply = await send("PUT", target, { body: "x", headers: { ...headers, [name]: value } });
    expect(codeOf(reply), name).toBe("AccessDenied");
  }
  expect((await send("PUT", target, { body: "x", headers })).status).toBe(200);
  const stored = await bed.call(bed.main, "HEAD", "/links/named");
  expect([stored.headers["x-amz-meta-a"], stored.headers["content-type"]]).toEqual([
    "b",
    "text/plain",
  ]);
});
test("an upload in parts goes by signed URLs from its beginning to its end", async () => {
  const begun = await send("POST", sign("POST", "/links/parts", { query: { uploads: "" } }));
  const uploadId = /<UploadId>(.*)<\/UploadId>/.exec(begun.text)![1]!;
  const part = (number: string) =>
    sign("PUT", "/links/parts", { query: { partNumber: number, uploadId } });
  const put = await send("PUT", part("1"), { body: "the only part" });
  expect(put.status).toBe(200);
  expect(
    codeOf(await send("PUT", part("1").replace("partNumber=1", "partNumber=2"), { body: "x" })),
  ).toBe("SignatureDoesNotMatch");
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${put.headers["etag"]}</ETag></Part></CompleteMultipartUpload>`;
  const end = sign("POST", "/links/parts", { query: { uploadId } });
  expect((await send("POST", end, { body })).status).toBe(200);
  expect(await get("parts")).toBe("the only part");
  expect((await send("DELETE", sign("DELETE", "/links/parts"))).status).toBe(204);
  expect((await bed.call(bed.main, "HEAD", "/links/parts")).status).toBe(404);
});
test("a signed URL in virtual-host style is for the bucket of its host", async () => {
  const host = `links.localhost:${bed.port}`;
  const target = sign("GET", "/k", { host });
  expect((await bed.send("GET", target, { host })).text).toBe("content");
  const other = await bed.send("GET", target, { host: `other.localhost:${bed.port}` });
  expect(codeOf(other)).toBe("SignatureDoesNotMatch");
  expect(codeOf(await bed.send("GET", target, { host: bed.host }))).toBe("SignatureDoesNotMatch");
});
test("a URL that is signed twice over, by halves or by version 2 is refused", async () => {
  const target = sign("GET", "/links/k");
  const header = bed.sign(bed.main, "GET", "/links/k").headers;
  expect(codeOf(await bed.send("GET", target, header))).toBe("InvalidArgument");
  for (const name of [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
  ]) {
    const half = target.replace(new RegExp(`${name}=[^&]*&`), "");
    expect(codeOf(await send("GET", half)), name).toBe("AuthorizationQueryParametersError");
  }
  const old = "/links/k?AWSAccessKeyId=a&Signature=b&Expires=9999999999";
  expect(codeOf(await send("GET", old))).toBe("InvalidRequest");
});
