/** ACLs and ownership through real HTTP. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const idOf: Record<"main" | "other", string> = { main: "", other: "" };
beforeAll(async () => {
  bed = await Bed.open();
  for (const who of ["main", "other"] as const) {
    idOf[who] = /<ID>([^<]*)<\/ID>/.exec((await bed.call(bed[who], "GET", "/")).text)![1]!;
  }
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const root = (method: string, target: string, call?: Call) =>
  bed.call(bed.main, method, target, call);
const other = (method: string, target: string, call?: Call) =>
  bed.call(bed.other, method, target, call);
const nobody = (method: string, target: string, body?: string, more: object = {}): Promise<Reply> =>
  bed.send(method, target, { host: bed.host, ...more }, body);
const codeOf = ({ text }: Reply): string | undefined => /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
const acl = (name: string): Call => ({ headers: { "x-amz-acl": name } });

let count = 0;
async function makeBucket(
  ownership?: string,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const bucket = `acl-bucket${++count}`;
  const headers = {
    ...(ownership === undefined ? {} : { "x-amz-object-ownership": ownership }),
    ...more,
  };
  const made = await root("PUT", `/${bucket}`, { headers });
  expect([made.status, made.text]).toEqual([200, ""]);
  return bucket;
}
/** Grants of an ACL as `ID-or-group permission`. */
const grantsOf = ({ text }: Reply): readonly string[] =>
  [
    ...text.matchAll(
      /<Grant><Grantee[^>]*>(?:<ID>([^<]*)<\/ID>.*?|<URI>[^<]*\/([^<]*)<\/URI>)<\/Grantee><Permission>([A-Z_]*)/g,
    ),
  ].map(
    ([, id, group, permission]) =>
      `${id === idOf.main ? "main" : id === idOf.other ? "other" : group} ${permission}`,
  );
const document = (grants: string, owner = idOf.main) =>
  `<AccessControlPolicy><Owner><ID>${owner}</ID></Owner><AccessControlList>${grants}</AccessControlList></AccessControlPolicy>`;
const toId = (id: string, permission: string) =>
  `<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>${id}</ID></Grantee><Permission>${permission}</Permission></Grant>`;

test("a new bucket is its owner's alone, and takes no ACL but those that say so", async () => {
  const bucket = await makeBucket();
  const shown = await root("GET", `/${bucket}?ownershipControls`);
  expect(shown.text).toContain("<ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>");
  expect(grantsOf(await root("GET", `/${bucket}?acl`))).toEqual(["main FULL_CONTROL"]);
  expect((await root("PUT", `/${bucket}?acl`, acl("private"))).status).toBe(200);
  expect(
    (await root("PUT", `/${bucket}/k`, { body: "x", ...acl("bucket-owner-full-control") })).status,
  ).toBe(200);
  const refused = [
    await root("PUT", `/${bucket}?acl`, acl("public-read")),
    await root("PUT", `/${bucket}/k`, { body: "x", ...acl("public-read") }),
    await root("PUT", `/${bucket}/k?acl`, acl("public-read")),
    await root("PUT", `/${bucket}?acl`, { body: document(toId(idOf.other, "READ")) }),
    await root("POST", `/${bucket}/k?uploads`, acl("public-read")),
    await root("PUT", `/${bucket}/copy`, {
      headers: { "x-amz-copy-source": `/${bucket}/k`, "x-amz-acl": "public-read" },
    }),
  ];
  for (const reply of refused) {
    expect([reply.status, codeOf(reply)]).toEqual([400, "AccessControlListNotSupported"]);
  }
  const made = await root("PUT", `/${bucket}-public`, acl("public-read"));
  expect(codeOf(made)).toBe("InvalidBucketAclWithObjectOwnership");
  expect((await root("HEAD", `/${bucket}-public`)).status).toBe(404);
});

test("canned ACLs of buckets let in whom they name", async () => {
  const bucket = await makeBucket("ObjectWriter", { "x-amz-acl": "public-read" });
  await root("PUT", `/${bucket}/k`, { body: "x" });
  expect(grantsOf(await root("GET", `/${bucket}?acl`))).toEqual([
    "AllUsers READ",
    "main FULL_CONTROL",
  ]);
  expect((await nobody("GET", `/${bucket}`)).status).toBe(200);
  expect((await nobody("GET", `/${bucket}/k`)).status).toBe(403);
  expect((await nobody("PUT", `/${bucket}/new`, "x")).status).toBe(403);
  await root("PUT", `/${bucket}?acl`, acl("public-read-write"));
  expect((await nobody("PUT", `/${bucket}/new`, "x")).status).toBe(200);
  expect((await nobody("DELETE", `/${bucket}/new`)).status).toBe(403);
  await root("PUT", `/${bucket}?acl`, acl("authenticated-read"));
  expect((await nobody("GET", `/${bucket}`)).status).toBe(403);
  expect((await other("GET", `/${bucket}`)).status).toBe(200);
  await root("PUT", `/${bucket}?acl`, acl("private"));
  expect((await other("GET", `/${bucket}`)).status).toBe(403);
  expect(codeOf(await root("PUT", `/${bucket}?acl`, acl("whatever")))).toBe("InvalidArgument");
  expect(codeOf(await root("PUT", `/${bucket}?acl`))).toBe("MissingSecurityHeader");
});

test("ACLs of objects let in whom they name, whatever the bucket's says", async () => {
  const bucket = await makeBucket("ObjectWriter");
  await root("PUT", `/${bucket}/open`, { body: "x", ...acl("public-read") });
  await root("PUT", `/${bucket}/closed`, { body: "x" });
  expect((await nobody("GET", `/${bucket}/open`)).text).toBe("x");
  expect((await nobody("GET", `/${bucket}/closed`)).status).toBe(403);
  expect((await nobody("GET", `/${bucket}/missing`)).status).toBe(403);
  expect(grantsOf(await root("GET", `/${bucket}/open?acl`))).toEqual([
    "AllUsers READ",
    "main FULL_CONTROL",
  ]);
  expect((await root("PUT", `/${bucket}/open?acl`, acl("private"))).status).toBe(200);
  expect((await nobody("GET", `/${bucket}/open`)).status).toBe(403);
  const grant = {
    "x-amz-grant-read": `id="${idOf.other}"`,
    "x-amz-grant-read-acp": `id=${idOf.other}`,
  };
  await root("PUT", `/${bucket}/closed?acl`, { headers: grant });
  expect((await other("GET", `/${bucket}/closed`)).text).toBe("x");
  expect(grantsOf(await other("GET", `/${bucket}/closed?acl`))).toEqual([
    "other READ",
    "other READ_ACP",
  ]);
  expect((await other("PUT", `/${bucket}/closed?acl`, acl("public-read"))).status).toBe(403);
  expect(codeOf(await root("GET", `/${bucket}/none?acl`))).toBe("NoSuchKey");
  const created = await root("POST", `/${bucket}/parts?uploads`, acl("public-read"));
  const id = /<UploadId>([^<]*)/.exec(created.text)![1];
  const { headers } = await root("PUT", `/${bucket}/parts?partNumber=1&uploadId=${id}`, {
    body: "part",
  });
  await root("POST", `/${bucket}/parts?uploadId=${id}`, {
    body: `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${headers["etag"]}</ETag></Part></CompleteMultipartUpload>`,
  });
  expect((await nobody("GET", `/${bucket}/parts`)).text).toBe("part");
  await root("PUT", `/${bucket}/copy`, { headers: { "x-amz-copy-source": `/${bucket}/parts` } });
  expect((await nobody("GET", `/${bucket}/copy`)).status).toBe(403);
});

test("documents of ACLs are kept as they are, and refused when they name nobody", async () => {
  const bucket = await makeBucket("ObjectWriter");
  const put = (body: string) => root("PUT", `/${bucket}?acl`, { body });
  expect(
    (await put(document(toId(idOf.other, "WRITE_ACP") + toId(idOf.main, "FULL_CONTROL")))).status,
  ).toBe(200);
  expect(grantsOf(await root("GET", `/${bucket}?acl`))).toEqual([
    "other WRITE_ACP",
    "main FULL_CONTROL",
  ]);
  expect((await other("PUT", `/${bucket}?acl`, acl("public-read"))).status).toBe(200);
  expect((await other("GET", `/${bucket}?acl`)).status).toBe(403);
  expect((await put(document(""))).status).toBe(200);
  expect(grantsOf(await root("GET", `/${bucket}?acl`))).toEqual([]);
  expect(codeOf(await put(document(toId("0".repeat(64), "READ"))))).toBe("InvalidArgument");
  expect(codeOf(await put(document(toId("someone", "READ"))))).toBe("InvalidArgument");
  expect(codeOf(await put(document(toId(idOf.main, "EVERYTHING"))))).toBe("MalformedACLError");
  expect(codeOf(await put(document(toId(idOf.main, "READ"), idOf.other)))).toBe("AccessDenied");
  expect(codeOf(await put("<AccessControlPolicy/>"))).toBe("MalformedACLError");
  const mail = document(
    "<Grant><Grantee><EmailAddress>a@b.c</EmailAddress></Grantee><Permission>READ</Permission></Grant>",
  );
  expect(codeOf(await put(mail))).toBe("UnresolvableGrantByEmailAddress");
});

test("who owns what another tenant wrote follows the bucket's ownership", async () => {
  for (const [ownership, canned, owner] of [
    ["ObjectWriter", "private", "other"],
    ["ObjectWriter", "bucket-owner-full-control", "other"],
    ["BucketOwnerPreferred", "private", "other"],
    ["BucketOwnerPreferred", "bucket-owner-full-control", "main"],
  ] as const) {
    const bucket = await makeBucket(ownership, { "x-amz-acl": "public-read-write" });
    expect((await other("PUT", `/${bucket}/k`, { body: "theirs", ...acl(canned) })).status).toBe(
      200,
    );
    const shown = await (owner === "main" ? root : other)("GET", `/${bucket}/k?acl`);
    expect([ownership, canned, /<ID>([^<]*)/.exec(shown.text)![1]]).toEqual([
      ownership,
      canned,
      idOf[owner],
    ]);
    const begun = await other("POST", `/${bucket}/parts?uploads`, acl(canned));
    const id = /<UploadId>([^<]*)/.exec(begun.text)![1];
    const grant = {
      Effect: "Allow",
      Principal: "*",
      Action: "s3:ListMultipartUploadParts",
      Resource: `arn:aws:s3:::${bucket}/*`,
    };
    await root("PUT", `/${bucket}?policy`, { body: JSON.stringify({ Statement: [grant] }) });
    const parts = await other("GET", `/${bucket}/parts?uploadId=${id}`);
    expect(/<Owner><ID>([^<]*)/.exec(parts.text)![1]).toBe(idOf[owner]);
    await root("DELETE", `/${bucket}?policy`);
    const isReadable = owner === "main" || canned === "bucket-owner-full-control";
    expect((await root("GET", `/${bucket}/k`)).status).toBe(isReadable ? 200 : 403);
    expect((await root("DELETE", `/${bucket}/k`)).status).toBe(204);
  }
});

test("ownership controls: taken away they mean ObjectWriter, closed only over a private ACL", async () => {
  const bucket = await makeBucket("ObjectWriter", { "x-amz-acl": "public-read" });
  const rule = (name: string) =>
    root("PUT", `/${bucket}?ownershipControls`, {
      body: `<OwnershipControls><Rule><ObjectOwnership>${name}</ObjectOwnership></Rule></OwnershipControls>`,
    });
  await root("PUT", `/${bucket}/open`, { body: "x", ...acl("public-read") });
  expect(codeOf(await rule("BucketOwnerEnforced"))).toBe("InvalidBucketAclWithObjectOwnership");
  expect((await root("PUT", `/${bucket}?acl`, acl("private"))).status).toBe(200);
  expect((await nobody("GET", `/${bucket}/open`)).status).toBe(200);
  expect((await rule("BucketOwnerEnforced")).status).toBe(200);
  expect((await nobody("GET", `/${bucket}/open`)).status).toBe(403);
  expect(grantsOf(await root("GET", `/${bucket}/open?acl`))).toEqual(["main FULL_CONTROL"]);
  expect((await root("DELETE", `/${bucket}?ownershipControls`)).status).toBe(204);
  expect(codeOf(await root("GET", `/${bucket}?ownershipControls`))).toBe(
    "OwnershipControlsNotFoundError",
  );
  expect((await nobody("GET", `/${bucket}/open`)).status).toBe(200);
  expect(codeOf(await rule("Nobody"))).toBe("MalformedXML");
  expect((await rule("BucketOwnerPreferred")).status).toBe(200);
});

test("the public access block refuses public ACLs, or takes their effect", async () => {
  const bucket = await makeBucket("ObjectWriter", { "x-amz-acl": "public-read" });
  await root("PUT", `/${bucket}/open`, { body: "x", ...acl("public-read") });
  const block = (name: string) =>
    root("PUT", `/${bucket}?publicAccessBlock`, {
      body: `<PublicAccessBlockConfiguration><${name}>true</${name}></PublicAccessBlockConfiguration>`,
    });
  await block("IgnorePublicAcls");
  expect((await nobody("GET", `/${bucket}/open`)).status).toBe(403);
  expect((await other("GET", `/${bucket}`)).status).toBe(403);
  expect((await root("PUT", `/${bucket}/more`, { body: "x", ...acl("public-read") })).status).toBe(
    200,
  );
  await block("BlockPublicAcls");
  expect((await nobody("GET", `/${bucket}/open`)).status).toBe(200);
  for (const reply of [
    await root("PUT", `/${bucket}/more`, { body: "x", ...acl("public-read") }),
    await root("PUT", `/${bucket}/open?acl`, acl("authenticated-read")),
    await root("PUT", `/${bucket}?acl`, acl("public-read-write")),
  ]) {
    expect([reply.status, codeOf(reply)]).toEqual([403, "AccessDenied"]);
  }
  expect((await root("PUT", `/${bucket}/more`, { body: "x", ...acl("private") })).status).toBe(200);
});

test("policies see tags of objects and of requests", async () => {
  const bucket = await makeBucket();
  const allow = (Action: string, Condition: object) => ({
    Effect: "Allow",
    Principal: "*",
    Action,
    Resource: `arn:aws:s3:::${bucket}/*`,
    Condition,
  });
  const Statement = [
    allow("s3:GetObject", { StringEquals: { "s3:ExistingObjectTag/class": "public" } }),
    allow("s3:PutObject", { StringEquals: { "s3:RequestObjectTag/class": "public" } }),
    allow("s3:PutObjectTagging", {
      "ForAllValues:StringEquals": { "s3:RequestObjectTagKeys": ["class"] },
    }),
  ];
  const body = JSON.stringify({ Version: "2012-10-17", Statement });
  expect((await root("PUT", `/${bucket}?policy`, { body })).status).toBe(204);
  for (const name of ["public", "secret"]) {
    await root("PUT", `/${bucket}/${name}`, {
      body: name,
      headers: { "x-amz-tagging": `class=${name}` },
    });
  }
  expect((await nobody("GET", `/${bucket}/public`)).text).toBe("public");
  expect((await nobody("GET", `/${bucket}/secret`)).status).toBe(403);
  const put = async (tags?: string) =>
    (
      await nobody(
        "PUT",
        `/${bucket}/new`,
        "x",
        tags === undefined ? {} : { "x-amz-tagging": tags },
      )
    ).status;
  const tagging = "<Tagging><TagSet><Tag><Key>more</Key><Value>1</Value></Tag></TagSet></Tagging>";
  const md5 = new Bun.CryptoHasher("md5").update(tagging).digest("base64");
  const retag = { "content-md5": md5, "x-amz-tagging": "class=public" };
  // The header is not what would be kept.
  expect((await nobody("PUT", `/${bucket}/public?tagging`, tagging, retag)).status).toBe(403);
  expect(await put("class=public")).toBe(200);
  expect(await put("class=secret")).toBe(403);
  expect(await put("class=public&more=1")).toBe(403);
  expect(await put()).toBe(403);
});

test("an object's tags say nothing of who may delete it or write over it, as at AWS", async () => {
  const bucket = await makeBucket();
  const statement = (Effect: string, tag: string) => ({
    Effect,
    Principal: "*",
    Action: ["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObject"],
    Resource: `arn:aws:s3:::${bucket}/*`,
    Condition: { StringEquals: { [`s3:ExistingObjectTag/${tag}`]: "1" } },
  });
  const Statement = [statement("Allow", "open"), statement("Deny", "shut")];
  const body = JSON.stringify({ Version: "2012-10-17", Statement });
  expect((await root("PUT", `/${bucket}?policy`, { body })).status).toBe(204);
  for (const name of ["open", "shut"]) {
    await root("PUT", `/${bucket}/${name}`, {
      body: name,
      headers: { "x-amz-tagging": `${name}=1` },
    });
  }
  expect((await nobody("GET", `/${bucket}/open`)).text).toBe("open");
  for (const more of [{}, { "x-amz-tagging": "open=1" }]) {
    expect((await nobody("PUT", `/${bucket}/open`, "x", more)).status).toBe(403);
  }
  expect((await nobody("DELETE", `/${bucket}/open`)).status).toBe(403);
  expect((await root("GET", `/${bucket}/shut`)).status).toBe(403);
  expect((await root("PUT", `/${bucket}/shut`, { body: "x" })).status).toBe(200);
  await root("PUT", `/${bucket}/shut`, { body: "x", headers: { "x-amz-tagging": "shut=1" } });
  expect((await root("DELETE", `/${bucket}/shut`)).status).toBe(204);
});

test("a part goes by who may write into the bucket, not by who owns what stands under its key", async () => {
  const bucket = await makeBucket("ObjectWriter", { "x-amz-acl": "public-read-write" });
  expect((await other("PUT", `/${bucket}/key`, { body: "theirs" })).status).toBe(200);
  const begun = await other("POST", `/${bucket}/key?uploads`);
  const id = /<UploadId>([^<]*)</.exec(begun.text)![1]!;
  const part = () => other("PUT", `/${bucket}/key?partNumber=1&uploadId=${id}`, { body: "more" });
  expect((await part()).status).toBe(200);
  expect((await root("PUT", `/${bucket}?acl`, acl("private"))).status).toBe(200);
  expect([(await part()).status, (await other("GET", `/${bucket}/key`)).text]).toEqual([
    403,
    "theirs",
  ]);
});

test("whoever began an upload in another tenant's bucket may look at it and abort it, and nobody else's", async () => {
  const bucket = await makeBucket("ObjectWriter", { "x-amz-acl": "public-read-write" });
  const begin = async (who: typeof root, key: string): Promise<string> => {
    const { text } = await who("POST", `/${bucket}/${key}?uploads`);
    return /<UploadId>([^<]*)</.exec(text)![1]!;
  };
  const own = await begin(root, "one");
  const theirs = await begin(other, "two");
  for (const who of [root, other]) {
    const { text } = await who("GET", `/${bucket}?uploads`);
    const ids = [...text.matchAll(/<Initiator><ID>([^<]*)<.*?<Owner><ID>([^<]*)</g)];
    expect(ids.map(([, initiator, owner]) => [initiator, owner])).toEqual([
      [idOf.main, idOf.main],
      [idOf.other, idOf.other],
    ]);
  }
  expect((await other("GET", `/${bucket}/two?uploadId=${theirs}`)).status).toBe(200);
  expect((await root("GET", `/${bucket}/two?uploadId=${theirs}`)).status).toBe(200);
  for (const [target, method] of [
    [`/${bucket}/one?uploadId=${own}`, "GET"],
    [`/${bucket}/one?uploadId=${own}`, "DELETE"],
    [`/${bucket}/one?uploadId=${theirs}`, "DELETE"],
    [`/${bucket}/two?uploadId=${own}`, "DELETE"],
    [`/${bucket}/two?uploadId=none`, "DELETE"],
  ] as const) {
    const reply = await other(method, target);
    expect([target, reply.status, codeOf(reply)]).toEqual([target, 403, "AccessDenied"]);
  }
  expect((await nobody("DELETE", `/${bucket}/two?uploadId=${theirs}`)).status).toBe(403);
  expect((await other("DELETE", `/${bucket}/two?uploadId=${theirs}`)).status).toBe(204);
  expect((await root("DELETE", `/${bucket}/one?uploadId=${own}`)).status).toBe(204);
});
