/** Who may do what, through real HTTP: policies of identities and buckets, other tenants, nobody at all. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply, type User } from "../bed.test-helper.ts";

let bed: Bed;
beforeAll(async () => {
  bed = await Bed.open();
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const root = (method: string, target: string, call?: Call) =>
  bed.call(bed.main, method, target, call);
const nobody = (method: string, target: string, body?: string): Promise<Reply> =>
  bed.send(method, target, { host: bed.host }, body);
const codeOf = ({ text }: Reply): string | undefined => /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
const policyOf = (...statements: readonly object[]): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: statements });

let count = 0;
/** A user of the first tenant with these policies. */
function makeUser(...policies: readonly string[]): User & { readonly name: string } {
  const { catalog } = bed.node.storage;
  const name = `user${++count}`;
  const user = catalog.createUser(bed.node.defaultTenant, name);
  for (const [i, policy] of policies.entries()) {
    catalog.putPolicy(bed.node.defaultTenant, `${name}-${i}`, policy);
    catalog.attachPolicy(user.id, `${name}-${i}`);
  }
  return { ...catalog.createAccessKey(user.id), name };
}
const accountOf = (name: string): string => {
  const { catalog } = bed.node.storage;
  return catalog.account(catalog.tenants().find((tenant) => tenant.name === name)!.id);
};
async function makeBucket(policy?: string): Promise<string> {
  const bucket = `bucket${++count}`;
  expect((await root("PUT", `/${bucket}`)).status).toBe(200);
  expect((await root("PUT", `/${bucket}/key`, { body: "content" })).status).toBe(200);
  if (policy !== undefined) await putPolicy(bucket, policy.replaceAll("BUCKET", bucket));
  return bucket;
}
async function putPolicy(bucket: string, policy: string): Promise<void> {
  const put = await root("PUT", `/${bucket}?policy`, { body: policy });
  expect([put.status, put.text]).toEqual([204, ""]);
}
const open = (action: string | readonly string[], more: object = {}) => ({
  Effect: "Allow",
  Principal: "*",
  Action: action,
  Resource: ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"],
  ...more,
});

test("PutBucketPolicy, GetBucketPolicy, GetBucketPolicyStatus, DeleteBucketPolicy", async () => {
  const bucket = await makeBucket();
  expect(codeOf(await root("GET", `/${bucket}?policy`))).toBe("NoSuchBucketPolicy");
  expect(codeOf(await root("GET", `/${bucket}?policyStatus`))).toBe("NoSuchBucketPolicy");
  const policy = policyOf(open("s3:GetObject")).replaceAll("BUCKET", bucket);
  await putPolicy(bucket, policy);
  const got = await root("GET", `/${bucket}?policy`);
  expect([got.text, got.headers["content-type"]]).toEqual([policy, "application/json"]);
  expect((await root("GET", `/${bucket}?policyStatus`)).text).toContain(
    "<IsPublic>true</IsPublic>",
  );
  expect((await root("DELETE", `/${bucket}?policy`)).status).toBe(204);
  expect((await root("DELETE", `/${bucket}?policy`)).status).toBe(204);
  expect(codeOf(await root("GET", `/${bucket}?policy`))).toBe("NoSuchBucketPolicy");
  const refused = [
    "{",
    policyOf(open("s3:GetObject", { Resource: "arn:aws:s3:::other/*" })),
    policyOf({ ...open("s3:GetObject"), Comment: "x" }),
    policyOf(open("s3:GetObject", { Condition: { StringSomething: { "s3:prefix": "a" } } })),
    `${policyOf(open("s3:GetObject"))}${" ".repeat(20 * 1024)}`,
  ];
  for (const body of refused) {
    const put = await root("PUT", `/${bucket}?policy`, { body: body.replaceAll("BUCKET", bucket) });
    expect(put.status).toBe(400);
  }
  expect(codeOf(await root("GET", `/${bucket}?policy`))).toBe("NoSuchBucketPolicy");
});

test("a user may do what its policies allow, and nothing else", async () => {
  const bucket = await makeBucket();
  const none = makeUser();
  const reader = makeUser(
    policyOf({ Effect: "Allow", Action: "s3:GetObject", Resource: `arn:aws:s3:::${bucket}/*` }),
  );
  expect(codeOf(await bed.call(none, "GET", `/${bucket}/key`))).toBe("AccessDenied");
  expect((await bed.call(reader, "GET", `/${bucket}/key`)).text).toBe("content");
  for (const [method, target] of [
    ["PUT", `/${bucket}/key`],
    ["DELETE", `/${bucket}/key`],
    ["GET", `/${bucket}`],
    ["GET", "/"],
    ["GET", `/${bucket}/key?acl`],
    ["PUT", `/${bucket}-new`],
    ["DELETE", `/${bucket}`],
  ] as const) {
    const reply = await bed.call(reader, method, target, method === "PUT" ? { body: "" } : {});
    expect([method, target, codeOf(reply)]).toEqual([method, target, "AccessDenied"]);
  }
  const { catalog } = bed.node.storage;
  const { user } = catalog.accessKeys(bed.node.defaultTenant).find(({ id }) => id === none.id)!;
  catalog.attachPolicy(user, "readwrite");
  expect((await bed.call(none, "PUT", `/${bucket}/other`, { body: "x" })).status).toBe(200);
  catalog.setUserDisabled(user, true);
  expect(codeOf(await bed.call(none, "GET", `/${bucket}/key`))).toBe("InvalidAccessKeyId");
});

test("an access key's own policy narrows its user, and the root", async () => {
  const bucket = await makeBucket();
  const { catalog } = bed.node.storage;
  const rootUser = catalog.users(bed.node.defaultTenant).find(({ isRoot }) => isRoot)!;
  const policy = policyOf({ Effect: "Allow", Action: "s3:GetObject", Resource: "*" });
  const key = catalog.createAccessKey(rootUser.id, { policy });
  expect((await bed.call(key, "GET", `/${bucket}/key`)).status).toBe(200);
  expect(codeOf(await bed.call(key, "PUT", `/${bucket}/key`, { body: "x" }))).toBe("AccessDenied");
});

test("who may not list is not told that a key is missing", async () => {
  const bucket = await makeBucket();
  const actions = ["s3:GetObject", "s3:GetObjectVersion"];
  const get = { Effect: "Allow", Action: actions, Resource: `arn:aws:s3:::${bucket}/*` };
  const list = { Effect: "Allow", Action: "s3:ListBucket", Resource: `arn:aws:s3:::${bucket}` };
  const blind = makeUser(policyOf(get));
  const seeing = makeUser(policyOf(get, list));
  const within = { StringLike: { "s3:prefix": "seen/*" } };
  const partly = makeUser(policyOf(get, { ...list, Condition: within }));
  const ask = async (user: User, target: string, method = "GET") =>
    (await bed.call(user, method, `/${bucket}/${target}`)).status;
  expect(await ask(blind, "key")).toBe(200);
  expect(await ask(blind, "missing")).toBe(403);
  expect(await ask(blind, "missing", "HEAD")).toBe(403);
  expect(await ask(seeing, "missing")).toBe(404);
  expect(await ask(seeing, "missing", "HEAD")).toBe(404);
  expect(await ask(partly, "seen/missing")).toBe(404);
  expect(await ask(partly, "hidden/missing")).toBe(403);
});

test("a missing bucket and one that is there refuse alike", async () => {
  const bucket = await makeBucket();
  const none = makeUser();
  const strip = ({ status, text }: Reply, name: string) => [
    status,
    text.replaceAll(name, "NAME").replaceAll(/<RequestId>.*<\/RequestId>/g, ""),
  ];
  for (const target of ["", "/key", "/missing", "?policy", "?versions"]) {
    const there = await bed.call(none, "GET", `/${bucket}${target}`);
    const gone = await bed.call(none, "GET", `/no-such-bucket${target}`);
    expect(strip(there, bucket)).toEqual(strip(gone, "no-such-bucket"));
    expect(there.status).toBe(403);
    const anonymous = [
      await nobody("GET", `/${bucket}${target}`),
      await nobody("GET", `/no-such-bucket${target}`),
    ];
    expect(strip(anonymous[0]!, bucket)).toEqual(strip(anonymous[1]!, "no-such-bucket"));
  }
});

test("anonymous requests do what a bucket's policy lets everyone do", async () => {
  const bucket = await makeBucket(
    policyOf(open(["s3:GetObject", "s3:PutObject", "s3:ListBucket"])),
  );
  expect((await nobody("GET", `/${bucket}/key`)).text).toBe("content");
  expect((await nobody("PUT", `/${bucket}/new`, "from nobody")).status).toBe(200);
  expect((await root("GET", `/${bucket}/new`)).text).toBe("from nobody");
  expect((await nobody("GET", `/${bucket}?list-type=2`)).text).toContain("<Key>new</Key>");
  expect((await nobody("HEAD", `/${bucket}/missing`)).status).toBe(404);
  expect(codeOf(await nobody("DELETE", `/${bucket}/key`))).toBe("AccessDenied");
  expect(codeOf(await nobody("GET", `/${bucket}?policy`))).toBe("AccessDenied");
  expect(codeOf(await nobody("GET", "/"))).toBe("AccessDenied");
  const overridden = await nobody("GET", `/${bucket}/key?response-content-type=text/html`);
  expect(overridden.status).toBe(400);
  const closed = await makeBucket();
  expect(codeOf(await nobody("GET", `/${closed}/key`))).toBe("AccessDenied");
});

test("the public access block keeps public policies out, or out of effect", async () => {
  const bucket = await makeBucket(policyOf(open("s3:GetObject")));
  const block = (name: string) =>
    root("PUT", `/${bucket}?publicAccessBlock`, {
      body: `<PublicAccessBlockConfiguration><${name}>true</${name}></PublicAccessBlockConfiguration>`,
    });
  expect(codeOf(await root("GET", `/${bucket}?publicAccessBlock`))).toBe(
    "NoSuchPublicAccessBlockConfiguration",
  );
  expect((await block("RestrictPublicBuckets")).status).toBe(200);
  const shown = await root("GET", `/${bucket}?publicAccessBlock`);
  expect(shown.text).toContain("<RestrictPublicBuckets>true</RestrictPublicBuckets>");
  expect(codeOf(await nobody("GET", `/${bucket}/key`))).toBe("AccessDenied");
  expect((await bed.call(makeUser(), "GET", `/${bucket}/key`)).status).toBe(200);
  expect((await block("BlockPublicPolicy")).status).toBe(200);
  expect((await nobody("GET", `/${bucket}/key`)).status).toBe(200);
  const policy = policyOf(open("s3:GetObject")).replaceAll("BUCKET", bucket);
  expect(codeOf(await root("PUT", `/${bucket}?policy`, { body: policy }))).toBe("AccessDenied");
  const tied = policy.replace('"*"', `{"AWS":"${accountOf("other")}"}`);
  await putPolicy(bucket, tied);
  expect((await root("DELETE", `/${bucket}?publicAccessBlock`)).status).toBe(204);
  await putPolicy(bucket, policy);
});

test("another tenant reaches a bucket by its alias when both sides allow", async () => {
  const bucket = await makeBucket();
  const { catalog } = bed.node.storage;
  const otherTenant = catalog.tenants().find(({ name }) => name === "other")!;
  const eve = catalog.createUser(otherTenant.id, `eve${++count}`);
  const eveKey = catalog.createAccessKey(eve.id);
  const get = (user: User) => bed.call(user, "GET", `/${bucket}/key`);
  expect(codeOf(await get(bed.other))).toBe("AccessDenied");
  const arn = `arn:aws:iam::${accountOf("other")}:user/${eve.name}`;
  await putPolicy(
    bucket,
    policyOf(open("s3:GetObject", { Principal: { AWS: [arn, accountOf("other")] } })).replaceAll(
      "BUCKET",
      bucket,
    ),
  );
  expect((await get(bed.other)).text).toBe("content");
  expect(codeOf(await get(eveKey))).toBe("AccessDenied");
  catalog.attachPolicy(eve.id, "readonly");
  expect((await get(eveKey)).text).toBe("content");
  expect(codeOf(await bed.call(bed.other, "PUT", `/${bucket}/x`, { body: "x" }))).toBe(
    "AccessDenied",
  );
  expect(codeOf(await bed.call(bed.other, "DELETE", `/${bucket}?policy`))).toBe("AccessDenied");
});

test("the root can always mend a policy that shuts everybody out", async () => {
  const bucket = await makeBucket();
  await putPolicy(bucket, policyOf(open("s3:*", { Effect: "Deny" })).replaceAll("BUCKET", bucket));
  expect(codeOf(await root("GET", `/${bucket}/key`))).toBe("AccessDenied");
  expect(codeOf(await root("GET", `/${bucket}`))).toBe("AccessDenied");
  expect((await root("GET", `/${bucket}?policy`)).status).toBe(200);
  const admin = makeUser(policyOf({ Effect: "Allow", Action: "*", Resource: "*" }));
  expect(codeOf(await bed.call(admin, "DELETE", `/${bucket}?policy`))).toBe("AccessDenied");
  expect((await root("DELETE", `/${bucket}?policy`)).status).toBe(204);
  expect((await root("GET", `/${bucket}/key`)).status).toBe(200);
});

test("DeleteObjects is decided key by key", async () => {
  const bucket = await makeBucket();
  const remove = {
    Effect: "Allow",
    Action: "s3:DeleteObject",
    Resource: `arn:aws:s3:::${bucket}/mine/*`,
  };
  const user = makeUser(policyOf(remove));
  await root("PUT", `/${bucket}/mine/a`, { body: "x" });
  const body =
    "<Delete><Object><Key>mine/a</Key></Object><Object><Key>key</Key></Object><Object><Key>none</Key></Object></Delete>";
  const md5 = new Bun.CryptoHasher("md5").update(body).digest("base64");
  const call: Call = { body, headers: { "content-md5": md5 } };
  const reply = await bed.call(user, "POST", `/${bucket}?delete`, call);
  expect(reply.status).toBe(200);
  expect(reply.text).toContain("<Deleted><Key>mine/a</Key></Deleted>");
  expect(reply.text).toContain("<Error><Key>key</Key><Code>AccessDenied</Code>");
  expect(reply.text).toContain("<Error><Key>none</Key><Code>AccessDenied</Code>");
  expect((await root("HEAD", `/${bucket}/key`)).status).toBe(200);
  expect((await root("HEAD", `/${bucket}/mine/a`)).status).toBe(404);
  const none = await bed.call(makeUser(), "POST", `/${bucket}?delete`, call);
  expect([none.status, codeOf(none)]).toEqual([403, "AccessDenied"]);
});

test("a copy needs the right to read its source and to put its target", async () => {
  const [from, to] = [await makeBucket(), await makeBucket()];
  const get = { Effect: "Allow", Action: "s3:GetObject", Resource: `arn:aws:s3:::${from}/*` };
  const put = { Effect: "Allow", Action: "s3:PutObject", Resource: `arn:aws:s3:::${to}/*` };
  const copy = async (user: User, source = `/${from}/key`) =>
    (await bed.call(user, "PUT", `/${to}/copy`, { headers: { "x-amz-copy-source": source } }))
      .status;
  expect(await copy(makeUser(policyOf(get)))).toBe(403);
  expect(await copy(makeUser(policyOf(put)))).toBe(403);
  expect(await copy(makeUser(policyOf(get, put)))).toBe(200);
  expect(await copy(makeUser(policyOf(get, put)), `/${from}/missing`)).toBe(403);
  await putPolicy(
    from,
    policyOf(open("s3:GetObject", { Effect: "Deny" })).replaceAll("BUCKET", from),
  );
  expect(await copy(bed.main)).toBe(403);
});

test("a copy reads another tenant's bucket where both sides allow, whole and by part", async () => {
  const from = await makeBucket();
  const large = Buffer.alloc(300 * 1024, "large ");
  await root("PUT", `/${from}/large`, { body: large });
  const target = `copied${++count}`;
  const other = (method: string, path: string, options?: Call) =>
    bed.call(bed.other, method, path, options);
  expect((await other("PUT", `/${target}`)).status).toBe(200);
  const copy = (name: string, path = `/${target}/${name}`) =>
    other("PUT", path, { headers: { "x-amz-copy-source": `/${from}/${name}` } });
  expect(codeOf(await copy("key"))).toBe("AccessDenied");
  const principal = { AWS: accountOf("other") };
  const policy = policyOf(open("s3:GetObject", { Principal: principal }));
  await putPolicy(from, policy.replaceAll("BUCKET", from));
  expect((await copy("key")).status).toBe(200);
  expect((await other("GET", `/${target}/key`)).text).toBe("content");
  expect((await copy("large")).status).toBe(200);
  expect((await other("GET", `/${target}/large`)).body.equals(large)).toBe(true);
  expect((await root("HEAD", `/${target}/large`)).status).toBe(403);
  expect((await copy("missing")).status).toBe(403);
  const created = await other("POST", `/${target}/parts?uploads`);
  const id = /<UploadId>([^<]*)/.exec(created.text)![1];
  const part = await copy("large", `/${target}/parts?partNumber=1&uploadId=${id}`);
  const etag = /<ETag>([^<]*)/.exec(part.text)![1];
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;
  expect((await other("POST", `/${target}/parts?uploadId=${id}`, { body })).status).toBe(200);
  expect((await other("GET", `/${target}/parts`)).body.equals(large)).toBe(true);
  await root("DELETE", `/${from}/large`);
  expect((await other("GET", `/${target}/large`)).body.equals(large)).toBe(true);
  const expecting = (account: string) =>
    other("PUT", `/${target}/again`, {
      headers: {
        "x-amz-copy-source": `/${from}/key`,
        "x-amz-source-expected-bucket-owner": account,
      },
    });
  expect((await expecting(accountOf("default"))).status).toBe(200);
  expect((await expecting(accountOf("other"))).status).toBe(403);
});

test("conditions see the request: headers of a put, prefix of a list, the address, no header on a get", async () => {
  const bucket = await makeBucket();
  const statements = [
    open("s3:PutObject", {
      Condition: { StringEquals: { "s3:x-amz-server-side-encryption": "AES256" } },
    }),
    open("s3:ListBucket", {
      Condition: {
        StringEquals: { "s3:prefix": "public/" },
        NumericLessThanEquals: { "s3:max-keys": 5 },
      },
    }),
    open("s3:GetObject", { Condition: { StringEquals: { "s3:prefix": "public/" } } }),
    open("s3:GetObject", {
      Condition: {
        StringLike: { "aws:Referer": "https://example.org/*" },
        IpAddress: { "aws:SourceIp": "127.0.0.0/8" },
      },
    }),
    open("s3:GetBucketTagging", { Condition: { IpAddress: { "aws:SourceIp": "10.0.0.0/8" } } }),
  ];
  await putPolicy(bucket, policyOf(...statements).replaceAll("BUCKET", bucket));
  const send = async (
    method: string,
    target: string,
    headers: Readonly<Record<string, string>> = {},
    body?: string,
  ) => (await bed.send(method, `/${bucket}${target}`, { host: bed.host, ...headers }, body)).status;
  expect(await send("PUT", "/a", {}, "x")).toBe(403);
  expect(await send("PUT", "/a", { "x-amz-server-side-encryption": "AES256" }, "x")).toBe(200);
  expect(await send("GET", "?prefix=public/&max-keys=5")).toBe(200);
  expect(await send("GET", "?prefix=public/&max-keys=6")).toBe(403);
  expect(await send("GET", "?prefix=other/&max-keys=5")).toBe(403);
  expect(await send("GET", "/key?prefix=public/")).toBe(403);
  expect(await send("GET", "/key", { referer: "https://example.org/x" })).toBe(200);
  expect(await send("GET", "/key", { referer: "https://example.com/x" })).toBe(403);
  expect(await send("GET", "?tagging")).toBe(403);
});

test("a version that is named needs the right to versions", async () => {
  const bucket = await makeBucket();
  const get = { Effect: "Allow", Action: "s3:GetObject", Resource: `arn:aws:s3:::${bucket}/*` };
  const versions = { ...get, Action: "s3:GetObjectVersion" };
  const ask = async (user: User, target: string) =>
    (await bed.call(user, "GET", `/${bucket}/key${target}`)).status;
  expect(await ask(makeUser(policyOf(get)), "?versionId=null")).toBe(403);
  expect(await ask(makeUser(policyOf(versions)), "?versionId=null")).toBe(200);
  expect(await ask(makeUser(policyOf(versions)), "")).toBe(403);
});

test("a body is not asked for when the call is refused", async () => {
  const bucket = await makeBucket();
  const user = makeUser();
  const { headers } = bed.sign(user, "PUT", `/${bucket}/big`, { payload: "UNSIGNED-PAYLOAD" });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const { promise, resolve } = Promise.withResolvers<string>();
  let answer = "";
  await Bun.connect({
    hostname: "127.0.0.1",
    port: bed.port,
    socket: {
      open(socket) {
        socket.write(
          `PUT /${bucket}/big HTTP/1.1\r\n${lines.join("")}content-length: 1000000\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n`,
        );
      },
      data: (_, bytes) => void (answer += bytes.toString()),
      close: () => resolve(answer),
    },
  });
  expect(await promise).toStartWith("HTTP/1.1 403");
});

test("headers that name somebody do not make the caller somebody", async () => {
  const bucket = await makeBucket(
    policyOf(open("s3:GetObject", { Condition: { StringEquals: { "aws:username": "boss" } } })),
  );
  const headers = {
    "aws:username": "boss",
    "x-amz-aws-username": "boss",
    "x-kiseki-role": "cluster-admin",
    "x-kiseki-principal": "arn:aws:iam::000000000000:root",
    "x-amz-security-token": "anything",
    "x-forwarded-for": "10.0.0.1",
    forwarded: "for=10.0.0.1",
  };
  for (const [name, value] of Object.entries(headers)) {
    if (name.includes(":")) continue;
    const reply = await bed.send("GET", `/${bucket}/key`, { host: bed.host, [name]: value });
    expect([name, reply.status]).toEqual([name, 403]);
    const signed = await bed.call(makeUser(), "GET", `/${bucket}/key`, {
      headers: { [name]: value },
    });
    expect([name, signed.status]).toEqual([name, name === "x-amz-security-token" ? 400 : 403]);
  }
});

const idOf = ({ text }: Reply): string => /<UploadId>([^<]*)/.exec(text)![1]!;
const completeOf = (etag: string | undefined): string =>
  `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;

test.each([
  ["encryption", "s3:x-amz-server-side-encryption", "AES256", "x-amz-server-side-encryption"],
  [
    "encryption by KMS",
    "s3:x-amz-server-side-encryption",
    "aws:kms",
    "x-amz-server-side-encryption",
  ],
  ["an ACL", "s3:x-amz-acl", "bucket-owner-full-control", "x-amz-acl"],
  ["a storage class", "s3:x-amz-storage-class", "STANDARD", "x-amz-storage-class"],
  ["a tag", "s3:RequestObjectTag/class", "public", "x-amz-tagging"],
])(
  "parts and completes hold to a policy that asks for %s by what their upload asked for",
  async (_, key, value, header) => {
    const asked = { [header]: header === "x-amz-tagging" ? `class=${value}` : value };
    const other = {
      [header]:
        header === "x-amz-acl" ? "private" : header === "x-amz-tagging" ? "class=x" : undefined,
    };
    const allow = {
      Effect: "Allow",
      Action: ["s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectTagging"],
      Resource: "*",
    };
    const bucket = await makeBucket();
    const deny = open("s3:PutObject", {
      Effect: "Deny",
      Condition: { StringNotEquals: { [key]: value } },
    });
    await putPolicy(bucket, policyOf(deny).replaceAll("BUCKET", bucket));
    const byDeny = makeUser(policyOf(allow));
    const byAllow = makeUser(policyOf({ ...allow, Condition: { StringEquals: { [key]: value } } }));
    const without = Object.fromEntries(
      Object.entries(other).filter(([, text]) => text !== undefined),
    ) as Record<string, string>;
    for (const user of [byDeny, byAllow]) {
      const ask = (method: string, query: string, call?: Call) =>
        bed.call(user, method, `/${bucket}/parts?${query}`, call);
      expect((await ask("POST", "uploads", { headers: without })).status).toBe(403);
      const id = idOf(await ask("POST", "uploads", { headers: asked }));
      const part = await ask("PUT", `partNumber=1&uploadId=${id}`, { body: "content" });
      expect([part.status, part.text]).toEqual([200, ""]);
      const body = completeOf(part.headers["etag"]);
      expect((await ask("POST", `uploadId=${id}`, { body })).status).toBe(200);
    }
    // What the bucket's root began otherwise, or nobody did, is not let in.
    await root("DELETE", `/${bucket}?policy`);
    const begun = idOf(await root("POST", `/${bucket}/parts?uploads`, { headers: without }));
    // That the ACL is the owner's alone, or the class the usual one, may be said or not: it is the same.
    const isSame = header === "x-amz-acl" || header === "x-amz-storage-class";
    for (const id of [...(isSame ? [] : [begun]), begun.replace(/^./, "f"), "none"]) {
      const put = await bed.call(byAllow, "PUT", `/${bucket}/parts?partNumber=1&uploadId=${id}`, {
        body: "x",
      });
      expect([id, put.status, codeOf(put)]).toEqual([id, 403, "AccessDenied"]);
    }
  },
);

test("a copy that takes tags along needs the right to read them and to put them", async () => {
  const [from, to] = [await makeBucket(), await makeBucket()];
  await root("PUT", `/${from}/tagged`, { body: "x", headers: { "x-amz-tagging": "class=secret" } });
  const allow = (bucket: string, action: string, more: object = {}) => ({
    Effect: "Allow",
    Action: action,
    Resource: `arn:aws:s3:::${bucket}/*`,
    ...more,
  });
  const both = [allow(from, "s3:GetObject"), allow(to, "s3:PutObject")];
  const [read, put] = [allow(from, "s3:GetObjectTagging"), allow(to, "s3:PutObjectTagging")];
  const wanting = (value: string) => ({
    Condition: { StringEquals: { "s3:RequestObjectTag/class": value } },
  });
  const copy = async (statements: readonly object[], name = "tagged", more = {}) => {
    const headers = { "x-amz-copy-source": `/${from}/${name}`, ...more };
    return (await bed.call(makeUser(policyOf(...statements)), "PUT", `/${to}/copy`, { headers }))
      .status;
  };
  expect(await copy(both, "key")).toBe(200);
  expect(await copy(both)).toBe(403);
  expect(await copy([...both, read])).toBe(403);
  expect(await copy([...both, put])).toBe(403);
  expect(await copy([...both, read, put])).toBe(200);
  expect(await copy([...both, read, { ...put, ...wanting("public") }])).toBe(403);
  expect(await copy([...both, read, { ...put, ...wanting("secret") }])).toBe(200);
  expect(await copy(both, "tagged", { "x-amz-tagging-directive": "REPLACE" })).toBe(200);
});
