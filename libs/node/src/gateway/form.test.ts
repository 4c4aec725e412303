// Goal: a browser's form stores what its policy allows, whole or not at all, and answers as it asked.
// Method: forms signed by hand sent to a real node; after each refusal the key must not be there.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash, createHmac } from "node:crypto";
import { Bed, type Reply, stampNow, type User } from "./bed.test-helper.ts";

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
  expect((await bed.call(bed.main, "PUT", "/forms")).status).toBe(200);
  const body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
  expect((await bed.call(bed.main, "PUT", "/forms?versioning", { body })).status).toBe(200);
});
afterAll(() => bed[Symbol.asyncDispose]());

type Field = readonly [name: string, value: string];
const boundary = "----kisekiForm";

function formBody(fields: readonly Field[], file: Uint8Array | string, rest = ""): Buffer {
  const parts = fields.map(
    ([name, value]) =>
      `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\nContent-Type: text/html\r\n\r\n`;
  const content = typeof file === "string" ? Buffer.from(file) : file;
  const end = `\r\n--${boundary}${rest === "" ? "--\r\n" : `\r\n${rest}`}`;
  return Buffer.concat([Buffer.from(parts.join("") + head), content, Buffer.from(end)]);
}

/** Fields that sign a policy which allows exactly `fields`, and `more`. */
function signForm(
  user: User,
  fields: readonly Field[],
  more: readonly unknown[] = [],
  seconds = 60,
  bucket = "forms",
): Field[] {
  const date = stampNow();
  const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`;
  const own: Field[] = [
    ["x-amz-algorithm", "AWS4-HMAC-SHA256"],
    ["x-amz-credential", `${user.id}/${scope}`],
    ["x-amz-date", date],
  ];
  const named = [...fields, ...own].map(([name, value]) => ({ [name]: value }));
  const policy = Buffer.from(
    JSON.stringify({
      expiration: new Date(Date.now() + seconds * 1000).toISOString(),
      conditions: [{ bucket }, ...named, ...more],
    }),
  ).toString("base64");
  let key: Buffer | string = `AWS4${user.secret}`;
  for (const step of scope.split("/")) key = createHmac("sha256", key).update(step).digest();
  const signature = createHmac("sha256", key).update(policy).digest("hex");
  return [...fields, ...own, ["policy", policy], ["x-amz-signature", signature]];
}

const send = (body: Buffer, headers: Record<string, string> = {}): Promise<Reply> =>
  bed.send(
    "POST",
    "/forms",
    { host: bed.host, "content-type": `multipart/form-data; boundary=${boundary}`, ...headers },
    body,
  );
const post = (fields: readonly Field[], file: Uint8Array | string = "content") =>
  send(formBody(fields, file));
const get = (key: string) => bed.call(bed.main, "GET", `/forms/${key}`);
const codeOf = (reply: Reply) => /<Code>(.*)<\/Code>/.exec(reply.text)?.[1] ?? String(reply.status);

test("a signed form stores its file with its fields, and answers 204", async () => {
  const fields: Field[] = [
    ["key", "a/plain.txt"],
    ["Content-Type", "text/plain"],
    ["x-amz-meta-name", "ä"],
    ["acl", "private"],
  ];
  const reply = await post([...signForm(bed.main, fields), ["x-ignore-this", "x"]]);
  expect([reply.status, reply.text]).toEqual([204, ""]);
  expect(reply.headers["location"]).toBe(`http://${bed.host}/forms/a/plain.txt`);
  const stored = await get("a/plain.txt");
  expect([stored.status, stored.text]).toEqual([200, "content"]);
  expect(stored.headers["content-type"]).toBe("text/plain");
  expect(stored.headers["etag"]).toBe(reply.headers["etag"]!);
  expect(stored.headers["x-amz-version-id"]).toMatch(/^[0-9a-f]{32}$/);
  expect(reply.headers["x-amz-version-id"]).toBe(stored.headers["x-amz-version-id"]!);
  expect(stored.headers["x-amz-meta-name"]).toContain("=?UTF-8?B?");
});
test.each([0, 1, 4096, 4097, 4 * 1024 * 1024, 9_000_001])(
  "a form's file of %d bytes comes back as it went in",
  async (size) => {
    const content = Buffer.alloc(size, "\r\n------kisekiFor");
    const fields = signForm(bed.main, [["key", "sized"]], [["content-length-range", size, size]]);
    // What follows the file is ignored, and no part of its size.
    const rest = 'Content-Disposition: form-data; name="submit"\r\n\r\nUpload\r\n';
    expect((await send(formBody(fields, content, rest))).status).toBe(204);
    const stored = await get("sized");
    expect(stored.body.equals(content)).toBe(true);
  },
);
test("a form's key takes the file's name, which the policy sees", async () => {
  const fields = signForm(bed.main, [], [["starts-with", "$key", "up/f"]]);
  expect((await post([["key", "up/${filename}"], ...fields])).status).toBe(204);
  expect((await get("up/f.txt")).text).toBe("content");
  expect(codeOf(await post([["key", "down/${filename}"], ...fields]))).toBe("AccessDenied");
  expect((await get("down/f.txt")).status).toBe(404);
});
test("a form answers as it asks: 200, 201 with a document, a redirect with what was stored", async () => {
  const answer = (...fields: Field[]) => post(signForm(bed.main, [["key", "d/e f"], ...fields]));
  const ok = await answer(["success_action_status", "200"]);
  expect([ok.status, ok.text]).toEqual([200, ""]);
  const made = await answer(["success_action_status", "201"]);
  expect(made.status).toBe(201);
  const etag = made.headers["etag"]!;
  expect(made.text).toContain(
    `<PostResponse><Location>http://${bed.host}/forms/d/e%20f</Location><Bucket>forms</Bucket><Key>d/e f</Key><ETag>${etag.replaceAll('"', "&quot;")}</ETag></PostResponse>`,
  );
  const sent = await answer(["success_action_redirect", "http://a.example/done?x=1"]);
  expect(sent.status).toBe(303);
  expect(sent.headers["location"]).toBe(
    `http://a.example/done?x=1&bucket=forms&key=d%2Fe%20f&etag=${encodeURIComponent(etag)}`,
  );
});

test.each([
  [
    "another key",
    (f: Field[]) => f.map(([n, v]): Field => [n, n === "key" ? "no2" : v]),
    "AccessDenied",
  ],
  ["a field more", (f: Field[]): Field[] => [...f, ["x-amz-meta-more", "m"]], "AccessDenied"],
  [
    "another policy",
    (f: Field[]) => f.map(([n, v]): Field => [n, n === "policy" ? `${v.slice(0, -4)}AAAA` : v]),
    "SignatureDoesNotMatch",
  ],
  [
    "another key id",
    (f: Field[]) =>
      f.map(([n, v]): Field => [n, n === "x-amz-credential" ? v.replace(/^[^/]+/, "NOBODY") : v]),
    "InvalidAccessKeyId",
  ],
  ["no signature", (f: Field[]) => f.filter(([n]) => n !== "x-amz-signature"), "InvalidArgument"],
  ["no key", (f: Field[]) => f.filter(([n]) => n !== "key"), "InvalidArgument"],
  [
    "a session token of nobody",
    (f: Field[]): Field[] => [...f, ["x-amz-security-token", "t"]],
    "InvalidToken|InvalidAccessKeyId",
  ],
  ["a field twice", (f: Field[]): Field[] => [...f, ["KEY", "no"]], "MalformedPOSTRequest"],
  [
    "version 2",
    (f: Field[]): Field[] => [...f, ["AWSAccessKeyId", "a"], ["signature", "b"]],
    "InvalidRequest",
  ],
  ["nobody's name on it", (f: Field[]) => f.filter(([n]) => n === "key"), "AccessDenied"],
] as const)("a form with %s is refused", async (_, change, code) => {
  const fields = change(signForm(bed.main, [["key", "no"]]));
  const reply = await post(fields);
  expect(codeOf(reply)).toMatch(new RegExp(`^(${code})$`));
  for (const key of ["no", "no2"]) expect((await get(key)).status).toBe(404);
});
test("a form's policy is refused when it is over, and when it is none", async () => {
  const expired = await post(signForm(bed.main, [["key", "no"]], [], -1));
  expect([codeOf(expired), expired.text]).toEqual([
    "AccessDenied",
    expect.stringContaining("Policy expired."),
  ]);
  const strange = await post(signForm(bed.main, [["key", "no"]], [["eq", "key"]]));
  expect([strange.status, codeOf(strange)]).toEqual([400, "InvalidPolicyDocument"]);
  const other = await bed.call(bed.main, "PUT", "/forms-2");
  expect(other.status).toBe(200);
  const moved = await bed.send(
    "POST",
    "/forms-2",
    { host: bed.host, "content-type": `multipart/form-data; boundary=${boundary}` },
    formBody(signForm(bed.main, [["key", "no"]]), "content"),
  );
  expect(codeOf(moved)).toBe("AccessDenied");
});
test.each([
  [1, 6, "EntityTooLarge", "<ProposedSize>7</ProposedSize><MaxSizeAllowed>6</MaxSizeAllowed>"],
  [8, 9, "EntityTooSmall", "<ProposedSize>7</ProposedSize><MinSizeAllowed>8</MinSizeAllowed>"],
  [0, 0, "EntityTooLarge", "<MaxSizeAllowed>0</MaxSizeAllowed>"],
] as const)(
  "a form's file outside of [%d, %d] is refused as it comes",
  async (min, max, code, details) => {
    const reply = await post(
      signForm(bed.main, [["key", "no"]], [["content-length-range", min, max]]),
    );
    expect([reply.status, codeOf(reply)]).toEqual([400, code]);
    expect(reply.text).toContain(details);
    expect((await get("no")).status).toBe(404);
  },
);
test("a large file is refused before it has come, and leaves nothing behind", async () => {
  const living = () => bed.node.storage.chunkStore.status().devices.map((device) => device.living);
  const before = living();
  const fields = signForm(bed.main, [["key", "no"]], [["content-length-range", 0, 5_000_000]]);
  const reply = await post(fields, Buffer.alloc(12_000_000, 7));
  expect(codeOf(reply)).toBe("EntityTooLarge");
  expect((await get("no")).status).toBe(404);
  expect(living()).toEqual(before);
});
test("checksums in a form's fields are checked", async () => {
  const sum = (value: string) =>
    signForm(bed.main, [
      ["key", "summed"],
      ["x-amz-checksum-sha256", value],
    ]);
  const good = "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="; // of "content"
  const taken = await post(sum(good));
  expect([taken.status, taken.headers["x-amz-checksum-sha256"]]).toEqual([204, good]);
  const bad = signForm(bed.main, [
    ["key", "no"],
    ["x-amz-checksum-sha256", good.replace("7", "8")],
  ]);
  expect(codeOf(await post(bad))).toBe("BadDigest");
  expect((await get("no")).status).toBe(404);
});
test("a form that is cut, or none, or too large before its file, is refused", async () => {
  const fields = signForm(bed.main, [["key", "no"]]);
  const whole = formBody(fields, "content");
  const end = whole.indexOf("content");
  expect(codeOf(await send(whole.subarray(0, end + 3)))).toBe("MalformedPOSTRequest");
  expect(codeOf(await send(whole.subarray(0, end - 30)))).toBe("MalformedPOSTRequest");
  expect(codeOf(await send(Buffer.from("hello")))).toBe("MalformedPOSTRequest");
  const none = Buffer.from(`--${boundary}--\r\n`);
  expect(codeOf(await send(none))).toBe("IncorrectNumberOfFilesInPostRequest");
  const large: Field[] = [...fields, ["x-ignore-a", "a".repeat(20 * 1024)]];
  expect(codeOf(await post(large))).toBe("MaxPostPreDataLengthExceeded");
  const other = await send(whole, { "content-type": "text/plain" });
  expect([other.status, codeOf(other)]).toEqual([412, "PreconditionFailed"]);
  expect((await get("no")).status).toBe(404);
});

const catalog = () => bed.node.storage.catalog;
/** A user who may do what the statement says. */
function newUser(name: string, statement: object): User {
  const tenant = bed.node.defaultTenant;
  const { id } = catalog().createUser(tenant, name);
  catalog().putPolicy(
    tenant,
    name,
    JSON.stringify({ Version: "2012-10-17", Statement: statement }),
  );
  catalog().attachPolicy(id, name);
  return catalog().createAccessKey(id);
}
const tagging = (value: string) =>
  `<Tagging><TagSet><Tag><Key>team</Key><Value>${value}</Value></Tag></TagSet></Tagging>`;

test("a form asks the rights of whom signed it, for its tags and its ACL too, whatever field they come in", async () => {
  const putting = newUser("putter", {
    Effect: "Allow",
    Action: "s3:PutObject",
    Resource: "arn:aws:s3:::forms/put/*",
  });
  const send = async (user: User, ...fields: Field[]) => codeOf(await post(signForm(user, fields)));
  expect(await send(putting, ["key", "put/a"])).toBe("204");
  expect(await send(putting, ["key", "other/a"])).toBe("AccessDenied");
  for (const field of [
    ["tagging", tagging("a")],
    ["x-amz-tagging", "team=a"],
    ["acl", "private"],
    ["x-amz-acl", "private"],
  ] as const) {
    expect(await send(putting, ["key", "put/b"], field), field[0]).toBe("AccessDenied");
  }
  expect((await get("put/b")).status).toBe(404);
  const tagger = newUser("tagger", {
    Effect: "Allow",
    Action: ["s3:PutObject", "s3:PutObjectTagging"],
    Resource: "*",
    Condition: { StringEquals: { "s3:RequestObjectTag/team": "a" } },
  });
  expect(await send(tagger, ["key", "put/c"], ["tagging", tagging("a")])).toBe("204");
  expect(await send(tagger, ["key", "put/d"], ["tagging", tagging("b")])).toBe("AccessDenied");
  expect(await send(tagger, ["key", "put/d"])).toBe("AccessDenied");
  const tags = await bed.call(bed.main, "GET", "/forms/put/c?tagging");
  expect(tags.text).toContain("<Key>team</Key><Value>a</Value>");
});
test("a form that nobody signed is stored where the bucket's policy lets everybody put", async () => {
  expect((await bed.call(bed.main, "PUT", "/open-forms")).status).toBe(200);
  await bed.call(bed.main, "DELETE", "/open-forms?publicAccessBlock");
  const policy = {
    Version: "2012-10-17",
    Statement: {
      Effect: "Allow",
      Principal: "*",
      Action: "s3:PutObject",
      Resource: "arn:aws:s3:::open-forms/in/*",
    },
  };
  const body = JSON.stringify(policy);
  expect((await bed.call(bed.main, "PUT", "/open-forms?policy", { body })).status).toBe(204);
  const headers = {
    host: bed.host,
    "content-type": `multipart/form-data; boundary=${boundary}`,
  };
  const send = async (key: string) =>
    codeOf(await bed.send("POST", "/open-forms", headers, formBody([["key", key]], "content")));
  expect(await send("in/${filename}")).toBe("204");
  expect(await send("out/a")).toBe("AccessDenied");
  expect((await bed.call(bed.main, "GET", "/open-forms/in/f.txt")).text).toBe("content");
});
test("a form does all that a put with headers does: versions, locks, customers' keys", async () => {
  const content = Buffer.alloc(5_000_000, 9);
  const headers = { "x-amz-bucket-object-lock-enabled": "true" };
  expect((await bed.call(bed.main, "PUT", "/locked-forms", { headers })).status).toBe(200);
  const send = async (...fields: Field[]) =>
    bed.send(
      "POST",
      "/locked-forms",
      { host: bed.host, "content-type": `multipart/form-data; boundary=${boundary}` },
      formBody(signForm(bed.main, fields, [], 60, "locked-forms"), content),
    );
  const [first, second] = [await send(["key", "v"]), await send(["key", "v"])];
  const ids = [first, second].map((reply) => reply.headers["x-amz-version-id"]);
  expect(new Set(ids).size).toBe(2);
  expect(ids.every((id) => id !== undefined)).toBe(true);
  const until = new Date(Date.now() + 3_600_000).toISOString();
  const kept = await send(
    ["key", "kept"],
    ["x-amz-object-lock-mode", "COMPLIANCE"],
    ["x-amz-object-lock-retain-until-date", until],
    ["x-amz-checksum-sha256", createHash("sha256").update(content).digest("base64")],
  );
  expect(kept.status).toBe(204);
  const version = `/locked-forms/kept?versionId=${kept.headers["x-amz-version-id"]}`;
  expect(codeOf(await bed.call(bed.main, "DELETE", version))).toBe("AccessDenied");
  const secret = Buffer.alloc(32, 5);
  const customer = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": secret.toString("base64"),
    "x-amz-server-side-encryption-customer-key-md5": createHash("md5")
      .update(secret)
      .digest("base64"),
  };
  expect((await send(["key", "sealed"], ...Object.entries(customer))).status).toBe(204);
  expect((await bed.call(bed.main, "GET", "/locked-forms/sealed")).status).toBe(400);
  const opened = await bed.call(bed.main, "GET", "/locked-forms/sealed", { headers: customer });
  expect([opened.status, opened.body.equals(content)]).toEqual([200, true]);
});
