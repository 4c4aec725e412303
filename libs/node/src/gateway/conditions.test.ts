/** Conditions through real HTTP: who wins, who is told what, in which form. */
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
const codeOf = ({ text }: Reply): string | undefined => element(text, "Code");
const etagOf = (reply: Reply): string => reply.headers["etag"]!;

beforeAll(async () => {
  bed = await Bed.open();
  expect((await call("PUT", "/bucket")).status).toBe(200);
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const past = "Sat, 01 Jan 2000 00:00:00 GMT";
const future = "Fri, 01 Jan 2100 00:00:00 GMT";

test("reads keep to the precedence of their conditions, by GET and by HEAD", async () => {
  const etag = etagOf(await call("PUT", "/bucket/read", { body: "12345" }));
  const cases: readonly (readonly [Record<string, string>, number, string?])[] = [
    [{ "if-match": etag }, 200],
    [{ "if-match": '"other", ' + etag }, 200],
    [{ "if-match": etag.replaceAll('"', "") }, 200],
    [{ "if-match": "*" }, 200],
    [{ "if-match": '"other"' }, 412, "If-Match"],
    [{ "if-match": `W/${etag}` }, 412, "If-Match"],
    [{ "if-none-match": `W/${etag}` }, 304],
    [{ "if-none-match": "*" }, 304],
    [{ "if-none-match": '"other"' }, 200],
    [{ "if-modified-since": past }, 200],
    [{ "if-modified-since": future }, 304],
    [{ "if-modified-since": "yesterday" }, 200],
    [{ "if-unmodified-since": past }, 412, "If-Unmodified-Since"],
    [{ "if-unmodified-since": future }, 200],
    [{ "if-match": etag, "if-unmodified-since": past }, 200],
    [{ "if-match": '"other"', "if-unmodified-since": future }, 412, "If-Match"],
    [{ "if-none-match": '"other"', "if-modified-since": future }, 200],
    [{ "if-none-match": etag, "if-modified-since": past }, 304],
    [{ "if-match": etag, "if-none-match": etag }, 304],
    [{ "if-match": '"other"', "if-none-match": etag }, 412, "If-Match"],
  ];
  for (const [headers, status, condition] of cases) {
    const got = await call("GET", "/bucket/read", { headers });
    expect([headers, got.status]).toEqual([headers, status]);
    expect(element(got.text, "Condition")).toBe(condition);
    const head = await call("HEAD", "/bucket/read", { headers });
    expect([headers, head.status, head.text]).toEqual([headers, status, ""]);
  }
});

test("304 says ETag, time and how long it may be kept; 412 is a document; neither says what is in the object", async () => {
  const put = await call("PUT", "/bucket/kept", {
    body: "12345",
    headers: {
      "cache-control": "max-age=60",
      expires: future,
      "content-type": "text/plain",
      "x-amz-meta-a": "b",
    },
  });
  const whole = await call("GET", "/bucket/kept");
  const same = { "if-none-match": etagOf(put) };
  const { status, headers, text } = await call("GET", "/bucket/kept", { headers: same });
  expect([status, text]).toEqual([304, ""]);
  expect(headers).toMatchObject({
    etag: etagOf(put),
    "last-modified": whole.headers["last-modified"]!,
    "cache-control": "max-age=60",
    expires: future,
  });
  for (const name of ["content-type", "content-length", "x-amz-meta-a"]) {
    expect(headers).not.toHaveProperty(name);
  }
  const failed = await call("GET", "/bucket/kept", { headers: { "if-match": '"no"' } });
  expect(failed.status).toBe(412);
  expect(failed.headers["content-type"]).toBe("application/xml");
  for (const name of ["etag", "last-modified", "x-amz-meta-a"]) {
    expect(failed.headers).not.toHaveProperty(name);
  }
});

test("a copy holds to the conditions of its source and of its target, and says which did not hold", async () => {
  const etag = etagOf(await call("PUT", "/bucket/source", { body: "12345" }));
  await call("PUT", "/bucket/target", { body: "old" });
  const copy = (more: Record<string, string>) =>
    call("PUT", "/bucket/target", {
      headers: { "x-amz-copy-source": "/bucket/source", ...more },
    });
  const source = (name: string, value: string) => ({ [`x-amz-copy-source-if-${name}`]: value });
  const refused = [
    [source("match", '"no"'), "x-amz-copy-source-If-Match"],
    [source("none-match", etag), "x-amz-copy-source-If-None-Match"],
    [source("modified-since", future), "x-amz-copy-source-If-Modified-Since"],
    [source("unmodified-since", past), "x-amz-copy-source-If-Unmodified-Since"],
    [
      { ...source("match", etag), ...source("none-match", etag) },
      "x-amz-copy-source-If-None-Match",
    ],
    [
      { ...source("none-match", etag), ...source("modified-since", past) },
      "x-amz-copy-source-If-None-Match",
    ],
    [{ "if-none-match": "*" }, "If-None-Match"],
    [{ "if-match": '"no"' }, "If-Match"],
  ] as const;
  for (const [headers, condition] of refused) {
    const reply = await copy(headers);
    expect([headers, reply.status]).toEqual([headers, 412]);
    expect(element(reply.text, "Condition")).toBe(condition);
  }
  expect((await call("GET", "/bucket/target")).text).toBe("old");
  const both = { ...source("match", etag), ...source("unmodified-since", past) };
  expect((await copy(both)).status).toBe(200);
  const bad = await copy(source("modified-since", "yesterday"));
  expect(codeOf(bad)).toBe("InvalidArgument");
});

/** Uploads one part and answers what completes it. */
async function beginUpload(key: string, body: string) {
  const created = await call("POST", `/bucket/${key}?uploads`);
  const id = element(created.text, "UploadId")!;
  const put = await call("PUT", `/bucket/${key}?partNumber=1&uploadId=${id}`, { body });
  const document = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etagOf(put)}</ETag></Part></CompleteMultipartUpload>`;
  return { target: `/bucket/${key}?uploadId=${id}`, document };
}

const rounds = [1, 2, 3];
for (const round of rounds) {
  test(`of 64 puts, completes and copies that want nothing there one wins (round ${round})`, async () => {
    const key = `fresh-${round}`;
    await call("PUT", "/bucket/origin", { body: "copied" });
    const headers = { "if-none-match": "*" };
    const uploads = await Promise.all(
      Array.from({ length: 8 }, (_, at) => beginUpload(key, `upload ${at}`)),
    );
    const outcomes = await Promise.all([
      ...Array.from({ length: 48 }, (_, at) =>
        call("PUT", `/bucket/${key}`, { body: `writer ${at}`, headers }),
      ),
      ...uploads.map(({ target, document }) => call("POST", target, { body: document, headers })),
      ...Array.from({ length: 8 }, () =>
        call("PUT", `/bucket/${key}`, {
          headers: { ...headers, "x-amz-copy-source": "/bucket/origin" },
        }),
      ),
    ]);
    const statuses = outcomes.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([200, ...Array.from({ length: 63 }, () => 412)]);
    expect((await call("GET", `/bucket/${key}`)).status).toBe(200);
  }, 20_000);

  test(`of 64 puts, completes and deletes of one ETag one wins (round ${round})`, async () => {
    const key = `known-${round}`;
    const etag = etagOf(await call("PUT", `/bucket/${key}`, { body: "first" }));
    const headers = { "if-match": etag };
    const uploads = await Promise.all(
      Array.from({ length: 8 }, (_, at) => beginUpload(key, `upload ${at}`)),
    );
    const writers = Array.from({ length: 64 - 8 - round + 1 }, (_, at) => at);
    const writes = [
      ...uploads.map(
        ({ target, document }) =>
          () =>
            call("POST", target, { body: document, headers }),
      ),
      ...writers.map(
        (at) => () => call("PUT", `/bucket/${key}`, { body: `writer ${at}`, headers }),
      ),
    ];
    const deletes = Array.from({ length: round - 1 }, () =>
      call("DELETE", `/bucket/${key}`, { headers }),
    );
    const outcomes = await Promise.all(writes.map((write) => write()));
    const removed = await Promise.all(deletes);
    const won = outcomes.filter(({ status }) => status === 200);
    const after = await call("GET", `/bucket/${key}`);
    // A delete may be the one that wins: then nothing is there, and nobody else was told that he has.
    expect(won.length + (after.status === 404 ? 1 : 0)).toBe(1);
    for (const { status } of outcomes) expect([200, 404, 409, 412]).toContain(status);
    for (const { status } of removed) expect([204, 412]).toContain(status);
    if (won.length === 0) return;
    const told =
      won[0]!.headers["etag"] ?? element(won[0]!.text, "ETag")!.replaceAll("&quot;", '"');
    expect(etagOf(after)).toBe(told);
  }, 20_000);
}

/** Sends a head, waits until the server asks for the body, runs `meanwhile`, sends the body. */
async function sendAround(
  method: string,
  target: string,
  more: Call & { readonly body: string },
  meanwhile: () => Promise<unknown>,
): Promise<string> {
  const { headers } = bed.sign(bed.main, method, target, more);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const size = Buffer.byteLength(more.body);
  const head = `${method} ${target} HTTP/1.1\r\n${lines.join("")}content-length: ${size}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n`;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ port: bed.port, host: "127.0.0.1" });
  let text = "";
  let isAsked = false;
  socket.on("data", (piece: Buffer) => {
    text += piece.toString("latin1");
    if (isAsked || !text.startsWith("HTTP/1.1 100")) return;
    isAsked = true;
    meanwhile().then(() => socket.write(more.body), reject);
  });
  socket.on("error", reject);
  socket.on("close", () => resolve(text.slice(text.indexOf("\r\n\r\n") + 4)));
  socket.write(head);
  return promise;
}

test("what a conditional write was to replace is deleted meanwhile: a conflict, for puts and completes", async () => {
  const first = etagOf(await call("PUT", "/bucket/gone", { body: "first" }));
  const remove = () => call("DELETE", "/bucket/gone");
  const put = await sendAround(
    "PUT",
    "/bucket/gone",
    { body: "second", headers: { "if-match": first } },
    remove,
  );
  expect(put).toStartWith("HTTP/1.1 409");
  expect(element(put, "Code")).toBe("ConditionalRequestConflict");
  expect((await call("HEAD", "/bucket/gone")).status).toBe(404);
  await call("PUT", "/bucket/gone", { body: "first" });
  const upload = await beginUpload("gone", "parts");
  const completed = await sendAround(
    "POST",
    upload.target,
    { body: upload.document, headers: { "if-match": first } },
    remove,
  );
  expect(completed).toStartWith("HTTP/1.1 409");
  const absent = await call("PUT", "/bucket/gone", { body: "x", headers: { "if-match": first } });
  expect(codeOf(absent)).toBe("NoSuchKey");
  const overtaken = await sendAround(
    "PUT",
    "/bucket/gone",
    { body: "late", headers: { "if-none-match": "*" } },
    () => call("PUT", "/bucket/gone", { body: "early" }),
  );
  expect(overtaken).toStartWith("HTTP/1.1 412");
  expect((await call("GET", "/bucket/gone")).text).toBe("early");
});

test("DeleteObjects holds each object to its own conditions", async () => {
  const put = async (key: string) =>
    etagOf(await call("PUT", `/bucket/many/${key}`, { body: key }));
  const etags = await Promise.all(["a", "b", "c", "d"].map(put));
  const { headers } = await call("HEAD", "/bucket/many/d");
  const time = new Date(headers["last-modified"]!).toISOString();
  const object = (key: string, inner: string) => `<Object><Key>many/${key}</Key>${inner}</Object>`;
  const body = `<Delete>${object("a", `<ETag>${etags[1]}</ETag>`)}${object("b", `<ETag>${etags[1]}</ETag><Size>1</Size>`)}${object("c", "<LastModifiedTime>2000-01-01T00:00:00Z</LastModifiedTime>")}${object("d", `<LastModifiedTime>${time}</LastModifiedTime>`)}${object("e", "<ETag>none</ETag>")}</Delete>`;
  const reply = await call("POST", "/bucket?delete", {
    body,
    headers: { "content-md5": createHash("md5").update(body).digest("base64") },
  });
  const keysOf = (name: string) =>
    [...reply.text.matchAll(new RegExp(`<${name}><Key>many/(.)`, "g"))].map(([, key]) => key);
  expect(keysOf("Deleted")).toEqual(["b", "d", "e"]);
  expect(keysOf("Error")).toEqual(["a", "c"]);
  expect(element(reply.text, "Code")).toBe("PreconditionFailed");
  expect((await call("HEAD", "/bucket/many/a")).status).toBe(200);
  expect((await call("HEAD", "/bucket/many/b")).status).toBe(404);
});

test("response-* are for signed requests: headers and presigned, GET and HEAD", async () => {
  await call("PUT", "/bucket/named", { body: "x", headers: { "content-type": "text/plain" } });
  const query = "response-cache-control=no-store&response-content-type=a%2Fb";
  const target = `/bucket/named?${query}`;
  for (const method of ["GET", "HEAD"]) {
    const { headers } = await call(method, target);
    expect(headers).toMatchObject({ "content-type": "a/b", "cache-control": "no-store" });
  }
  const presigned = bed.presign(bed.main, "GET", "/bucket/named", {
    "response-content-disposition": "attachment",
  });
  const signed = await bed.send("GET", presigned, { host: bed.host });
  expect(signed.headers["content-disposition"]).toBe("attachment");
  const anonymous = await bed.send("GET", target, { host: bed.host });
  expect(anonymous.status).toBeGreaterThanOrEqual(400);
});

test("writes refuse conditions that S3 has none of", async () => {
  const put = async (headers: Record<string, string>) =>
    codeOf(await call("PUT", "/bucket/odd", { body: "x", headers }));
  expect(await put({ "if-none-match": '"etag"' })).toBe("NotImplemented");
  expect(await put({ "if-modified-since": past })).toBe("NotImplemented");
  expect(await put({ "if-match": "*", "if-none-match": "*" })).toBe("NotImplemented");
  expect((await call("HEAD", "/bucket/odd")).status).toBe(404);
});
