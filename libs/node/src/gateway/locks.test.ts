/** Object lock through the whole stack: what may be asked, what is answered, and that nothing gets around it. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply, type User } from "./bed.test-helper.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const code = (reply: Reply): string | undefined => /<Code>([^<]*)</.exec(reply.text)?.[1];
const idOf = (reply: Reply): string => reply.headers["x-amz-version-id"]!;
const md5 = (body: string): string => createHash("md5").update(body).digest("base64");

beforeAll(async () => {
  bed = await Bed.open();
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const locked = { headers: { "x-amz-bucket-object-lock-enabled": "true" } };
const bypass = { headers: { "x-amz-bypass-governance-retention": "true" } };
const isoIn = (ms: number): string => new Date(Date.now() + ms).toISOString();
const day = 24 * 3600 * 1000;
const configure = (inner: string): Call => ({
  body: `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>${inner}</ObjectLockConfiguration>`,
});
const rule = (mode: string, period: string): Call =>
  configure(`<Rule><DefaultRetention><Mode>${mode}</Mode>${period}</DefaultRetention></Rule>`);
const retain = (mode: string, until: string, headers: Record<string, string> = {}): Call => ({
  body: `<Retention><Mode>${mode}</Mode><RetainUntilDate>${until}</RetainUntilDate></Retention>`,
  headers,
});
const holdOf = (status: string): Call => ({
  body: `<LegalHold><Status>${status}</Status></LegalHold>`,
});
async function put(target: string, body: string, headers: Record<string, string> = {}) {
  return await call("PUT", target, { body, headers: { "content-md5": md5(body), ...headers } });
}

test("a bucket has locks from its creation, or from a configuration where versions are kept", async () => {
  await call("PUT", "/plain");
  const configuration = rule("GOVERNANCE", "<Days>1</Days>");
  expect(code(await call("GET", "/plain?object-lock"))).toBe(
    "ObjectLockConfigurationNotFoundError",
  );
  expect(code(await call("PUT", "/plain?object-lock", configuration))).toBe("InvalidBucketState");
  await call("PUT", "/plain/k", { body: "x" });
  for (const name of ["retention", "legal-hold"]) {
    expect(code(await call("GET", `/plain/k?${name}`))).toBe("InvalidRequest");
  }
  expect(code(await call("PUT", "/plain/k?retention", retain("GOVERNANCE", isoIn(day))))).toBe(
    "InvalidRequest",
  );
  expect(code(await put("/plain/l", "x", { "x-amz-object-lock-legal-hold": "ON" }))).toBe(
    "InvalidRequest",
  );
  const versioning = (status: string): Call => ({
    body: `<VersioningConfiguration><Status>${status}</Status></VersioningConfiguration>`,
  });
  await call("PUT", "/plain?versioning", versioning("Enabled"));
  expect((await call("PUT", "/plain?object-lock", configuration)).status).toBe(200);
  expect((await call("GET", "/plain?object-lock")).text).toContain(
    "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule>",
  );
  expect(code(await call("PUT", "/plain?versioning", versioning("Suspended")))).toBe(
    "InvalidBucketState",
  );

  expect((await call("PUT", "/made", locked)).status).toBe(200);
  expect((await call("GET", "/made?versioning")).text).toContain("<Status>Enabled</Status>");
  const made = await call("GET", "/made?object-lock");
  expect(made.text).toContain("<ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLock");
  expect(code(await call("PUT", "/made?object-lock", rule("GOVERNANCE", "<Days>0</Days>")))).toBe(
    "InvalidRetentionPeriod",
  );
  const unsure = { headers: { "x-amz-bucket-object-lock-enabled": "perhaps" } };
  expect(code(await call("PUT", "/unsure", unsure))).toBe("InvalidArgument");
});

test("locks come with a put, a copy or an upload, and are said back", async () => {
  await call("PUT", "/headers", locked);
  const until = isoIn(day);
  const lock = {
    "x-amz-object-lock-mode": "GOVERNANCE",
    "x-amz-object-lock-retain-until-date": until,
    "x-amz-object-lock-legal-hold": "ON",
  };
  expect((await put("/headers/put", "body", lock)).status).toBe(200);
  for (const method of ["GET", "HEAD"]) {
    expect((await call(method, "/headers/put")).headers).toMatchObject(lock);
  }
  const copy = await call("PUT", "/headers/copy", {
    headers: { "x-amz-copy-source": "/headers/put", "x-amz-object-lock-legal-hold": "OFF" },
  });
  expect(copy.status).toBe(200);
  const copied = await call("HEAD", "/headers/copy");
  expect(copied.headers["x-amz-object-lock-legal-hold"]).toBe("OFF");
  expect(copied.headers["x-amz-object-lock-mode"]).toBeUndefined();
  const created = await call("POST", "/headers/multi?uploads", { headers: lock });
  const upload = /<UploadId>([^<]*)</.exec(created.text)![1];
  const part = await call("PUT", `/headers/multi?partNumber=1&uploadId=${upload}`, { body: "p" });
  const done = await call("POST", `/headers/multi?uploadId=${upload}`, {
    body: `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers["etag"]}</ETag></Part></CompleteMultipartUpload>`,
  });
  expect(done.status).toBe(200);
  expect((await call("HEAD", "/headers/multi")).headers).toMatchObject(lock);
  expect((await call("DELETE", `/headers/multi?versionId=${idOf(done)}`, bypass)).status).toBe(403);
  const past = { ...lock, "x-amz-object-lock-retain-until-date": isoIn(-day) };
  expect(code(await put("/headers/past", "body", past))).toBe("InvalidArgument");
  expect((await call("HEAD", "/headers/past")).status).toBe(404);
  const unclaimed = await call("PUT", "/headers/unclaimed", { body: "b", headers: lock });
  expect(code(unclaimed)).toBe("InvalidRequest");
  expect(unclaimed.text).toContain("Content-MD5 OR x-amz-checksum-");
});

test("default retention is given to what asks for none, claimed bodies only", async () => {
  await call("PUT", "/default", locked);
  await call("PUT", "/default?object-lock", rule("COMPLIANCE", "<Years>1</Years>"));
  expect(code(await call("PUT", "/default/k", { body: "x" }))).toBe("InvalidRequest");
  const made = await put("/default/k", "x");
  expect(made.status).toBe(200);
  const { headers } = await call("HEAD", "/default/k");
  expect(headers["x-amz-object-lock-mode"]).toBe("COMPLIANCE");
  const until = Date.parse(headers["x-amz-object-lock-retain-until-date"]!);
  expect(Math.abs(until - Date.now() - 366 * day)).toBeLessThan(60_000);
  const version = `/default/k?versionId=${idOf(made)}`;
  for (const options of [undefined, bypass]) {
    expect(code(await call("DELETE", version, options))).toBe("AccessDenied");
  }
});

test("governance is shortened and removed by a bypass alone; compliance is only extended", async () => {
  await call("PUT", "/modes", locked);
  const made = await put("/modes/k", "x");
  const target = `/modes/k?retention&versionId=${idOf(made)}`;
  expect(code(await call("GET", target))).toBe("NoSuchObjectLockConfiguration");
  const far = isoIn(3 * day);
  const set = await call("PUT", target, retain("GOVERNANCE", far));
  expect(set).toMatchObject({ status: 200, headers: { "x-amz-version-id": idOf(made) } });
  const shown = await call("GET", "/modes/k?retention");
  expect(shown.text).toContain(`<Mode>GOVERNANCE</Mode><RetainUntilDate>${far}</RetainUntilDate>`);
  const near = isoIn(day);
  expect(code(await call("PUT", target, retain("GOVERNANCE", near)))).toBe("AccessDenied");
  expect(code(await call("PUT", target, retain("COMPLIANCE", far)))).toBe("AccessDenied");
  expect((await call("PUT", target, retain("GOVERNANCE", near, bypass.headers))).status).toBe(200);
  expect((await call("PUT", target, retain("COMPLIANCE", near, bypass.headers))).status).toBe(200);
  for (const attempt of [
    retain("GOVERNANCE", far, bypass.headers),
    retain("COMPLIANCE", isoIn(day / 2), bypass.headers),
    { body: "<Retention/>", ...bypass },
  ]) {
    expect(code(await call("PUT", target, attempt))).toBe("AccessDenied");
  }
  expect((await call("PUT", target, retain("COMPLIANCE", far))).status).toBe(200);
  expect(code(await call("PUT", target, retain("abc", far)))).toBe("MalformedXML");
  const marker = idOf(await call("DELETE", "/modes/k"));
  expect((await call("GET", `/modes/k?retention&versionId=${marker}`)).status).toBe(405);
  expect((await call("PUT", "/modes/k?retention", retain("GOVERNANCE", far))).status).toBe(404);
});

test("a legal hold is switched on and off, and no bypass lifts it", async () => {
  await call("PUT", "/holds", locked);
  const made = await put("/holds/k", "x");
  const version = `/holds/k?versionId=${idOf(made)}`;
  expect(code(await call("GET", "/holds/k?legal-hold"))).toBe("NoSuchObjectLockConfiguration");
  expect((await call("PUT", "/holds/k?legal-hold", holdOf("ON"))).status).toBe(200);
  expect((await call("GET", "/holds/k?legal-hold")).text).toContain("<Status>ON</Status>");
  expect(code(await call("DELETE", version, bypass))).toBe("AccessDenied");
  expect(code(await call("PUT", "/holds/k?legal-hold", holdOf("abc")))).toBe("MalformedXML");
  await call("PUT", "/holds/k?legal-hold", holdOf("OFF"));
  expect((await call("GET", "/holds/k?legal-hold")).text).toContain("<Status>OFF</Status>");
  expect((await call("DELETE", version)).status).toBe(204);
});

test("nothing that S3 can ask removes a version in compliance mode before its time", async () => {
  await call("PUT", "/vault", locked);
  const until = isoIn(day);
  const made = await put("/vault/k", "kept", {
    "x-amz-object-lock-mode": "COMPLIANCE",
    "x-amz-object-lock-retain-until-date": until,
  });
  const id = idOf(made);
  const version = `/vault/k?versionId=${id}`;
  const deletes = `<Delete><Object><Key>k</Key><VersionId>${id}</VersionId></Object></Delete>`;
  const many: Call = { body: deletes, headers: { "content-md5": md5(deletes), ...bypass.headers } };
  const attempts: readonly (() => Promise<Reply>)[] = [
    () => call("DELETE", version),
    () => call("DELETE", version, bypass),
    () => call("DELETE", version, { headers: { "if-match": made.headers["etag"]! } }),
    () => call("POST", "/vault?delete", many),
    () => put("/vault/k", "over"),
    () => call("PUT", "/vault/k", { headers: { "x-amz-copy-source": `/vault/k?versionId=${id}` } }),
    () => call("DELETE", "/vault/k", bypass),
    () => call("DELETE", "/vault", bypass),
    () =>
      call("PUT", "/vault?versioning", {
        body: "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
      }),
    () => call("PUT", "/vault?object-lock", configure("")),
    () =>
      call(
        "PUT",
        `/vault/k?retention&versionId=${id}`,
        retain("GOVERNANCE", isoIn(2 * day), bypass.headers),
      ),
    () => call("PUT", `/vault/k?legal-hold&versionId=${id}`, holdOf("OFF")),
  ];
  for (const attempt of attempts) {
    await attempt();
    const got = await call("GET", version);
    expect(got).toMatchObject({ status: 200, text: "kept" });
    expect(got.headers["x-amz-object-lock-mode"]).toBe("COMPLIANCE");
    expect(got.headers["x-amz-object-lock-retain-until-date"]).toBe(until);
  }
  const refused = await call("POST", "/vault?delete", many);
  expect(refused.text).toContain(`<VersionId>${id}</VersionId><Code>AccessDenied</Code>`);
});

test("what was in compliance mode can be removed when its time is over", async () => {
  await call("PUT", "/vault-over", locked);
  const { headers } = await put("/vault-over/k", "kept");
  const version = `/vault-over/k?versionId=${headers["x-amz-version-id"]}`;
  const lock = version.replace("?", "?retention&");
  let until: string;
  let ms = 500;
  do until = isoIn((ms *= 2));
  while ((await call("PUT", lock, retain("COMPLIANCE", until))).status !== 200); // over when it came
  await Bun.sleep(Math.max(0, Date.parse(until) - Date.now()) + 5);
  expect((await call("DELETE", version)).status).toBe(204);
  expect((await call("GET", version)).status).toBe(404);
}, 20_000);

let users = 0;
/** A user of the first tenant who may do these things in `bucket`. */
function userWho(bucket: string, ...actions: readonly string[]): User {
  const { catalog } = bed.node.storage;
  const name = `locks-${(users += 1)}`;
  const user = catalog.createUser(bed.node.defaultTenant, name);
  const policy = {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: actions,
        Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`],
      },
    ],
  };
  catalog.putPolicy(bed.node.defaultTenant, name, JSON.stringify(policy));
  catalog.attachPolicy(user.id, name);
  return catalog.createAccessKey(user.id);
}

test("a bypass needs its right beside the header, and locks are shown to who may read them", async () => {
  await call("PUT", "/rights", locked);
  const lock = {
    "x-amz-object-lock-mode": "GOVERNANCE",
    "x-amz-object-lock-retain-until-date": isoIn(day),
    "x-amz-object-lock-legal-hold": "OFF",
  };
  const made = await put("/rights/k", "x", lock);
  const version = `/rights/k?versionId=${idOf(made)}`;
  const deletes = ["s3:DeleteObject", "s3:DeleteObjectVersion"];
  const plain = userWho("rights", ...deletes, "s3:GetObject");
  const reader = userWho("rights", "s3:GetObject", "s3:GetObjectRetention");
  const seen = async (user: User) =>
    Object.keys((await bed.call(user, "HEAD", "/rights/k")).headers)
      .filter((name) => name.startsWith("x-amz-object-lock"))
      .toSorted();
  expect(await seen(plain)).toEqual([]);
  expect(await seen(reader)).toEqual([
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
  ]);
  expect((await bed.call(plain, "DELETE", version)).status).toBe(403);
  expect((await bed.call(plain, "DELETE", version, bypass)).status).toBe(403);
  const query = `${version}&x-amz-bypass-governance-retention=true`;
  expect((await bed.call(plain, "DELETE", query)).status).toBe(403);
  expect((await call("HEAD", version)).status).toBe(200);
  const mighty = userWho("rights", ...deletes, "s3:BypassGovernanceRetention");
  expect((await bed.call(mighty, "DELETE", version)).status).toBe(403);
  expect((await bed.call(mighty, "DELETE", version, bypass)).status).toBe(204);
});

test("making a bucket again does not claim locks that it lacks", async () => {
  expect((await call("PUT", "/again")).status).toBe(200);
  expect((await call("PUT", "/again")).status).toBe(200); // us-east-1
  expect(code(await call("PUT", "/again", locked))).toBe("BucketAlreadyOwnedByYou");
  await call("PUT", "/again-locked", locked);
  expect((await call("PUT", "/again-locked", locked)).status).toBe(200);
});

test("policies are asked about the lock that is set, not about a header beside it", async () => {
  await call("PUT", "/asked", locked);
  await put("/asked/k", "x");
  const allow = (action: string, condition: object) => ({
    ...{ Effect: "Allow", Principal: "*", Resource: "arn:aws:s3:::asked/*" },
    Action: action,
    Condition: condition,
  });
  const days = { NumericLessThanEquals: { "s3:object-lock-remaining-retention-days": "10" } };
  const on = { StringEquals: { "s3:object-lock-legal-hold": "ON" } };
  const body = JSON.stringify({
    Version: "2012-10-17",
    Statement: [allow("s3:PutObjectRetention", days), allow("s3:PutObjectLegalHold", on)],
  });
  expect((await call("PUT", "/asked?policy", { body })).status).toBe(204);
  const ask = async (target: string, options: Call) =>
    (await bed.call(bed.other, "PUT", target, options)).status;
  const near = { "x-amz-object-lock-retain-until-date": isoIn(day) };
  const long = isoIn(100 * day);
  expect(await ask("/asked/k?retention", retain("GOVERNANCE", long))).toBe(403);
  expect(await ask("/asked/k?retention", retain("GOVERNANCE", long, near))).toBe(403);
  expect(await ask("/asked/k?retention", retain("GOVERNANCE", isoIn(day)))).toBe(200);
  const headers = { "x-amz-object-lock-legal-hold": "ON" };
  expect(await ask("/asked/k?legal-hold", { ...holdOf("OFF"), headers })).toBe(403);
  expect(await ask("/asked/k?legal-hold", holdOf("ON"))).toBe(200);
});
