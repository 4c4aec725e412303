/** Versions through the whole stack: switching, ids, markers, listings, copies, conditions. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bed, type Call, type Reply } from "./bed.test-helper.ts";

let bed: Bed;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
const idOf = (reply: Reply): string => reply.headers["x-amz-version-id"]!;

beforeAll(async () => {
  bed = await Bed.open();
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const configuration = (status: string): Call => ({
  body: `<VersioningConfiguration><Status>${status}</Status></VersioningConfiguration>`,
});
async function makeBucket(name: string, ...states: readonly string[]): Promise<void> {
  expect((await call("PUT", `/${name}`)).status).toBe(200);
  for (const state of states) {
    expect((await call("PUT", `/${name}?versioning`, configuration(state))).status).toBe(200);
  }
}
async function put(target: string, body: string): Promise<string> {
  const reply = await call("PUT", target, { body });
  expect(reply.status).toBe(200);
  return idOf(reply);
}
/** `key id latest` of each, a delete marker with a `-` before. */
async function versions(target: string): Promise<string[]> {
  const { text } = await call("GET", target);
  const found = text.matchAll(
    /<(Version|DeleteMarker)><Key>([^<]*)<\/Key><VersionId>([^<]*)<\/VersionId><IsLatest>(\w+)/g,
  );
  return [...found].map(
    ([, kind, key, id, latest]) =>
      `${kind === "Version" ? "" : "-"}${key} ${id}${latest === "true" ? " latest" : ""}`,
  );
}

test("versioning is switched on and suspended, never off, and MFA delete is refused by name", async () => {
  await makeBucket("switch");
  const state = async () => element((await call("GET", "/switch?versioning")).text, "Status");
  expect(await state()).toBeUndefined();
  for (const status of ["Suspended", "Enabled", "Enabled", "Suspended"]) {
    await call("PUT", "/switch?versioning", configuration(status));
    expect(await state()).toBe(status);
  }
  const refused = await call("PUT", "/switch?versioning", configuration("Off"));
  expect(element(refused.text, "Code")).toBe("MalformedXML");
  const mfa = {
    body: "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>",
  };
  expect((await call("PUT", "/switch?versioning", mfa)).text).toContain("MFA delete");
  expect(await state()).toBe("Suspended");
  expect((await call("PUT", "/nowhere?versioning", configuration("Enabled"))).status).toBe(404);
});

test("each write is a version of its own, read by its id, and ids show neither order nor count", async () => {
  await makeBucket("each", "Enabled");
  const ids = [await put("/each/k", "one"), await put("/each/k", "two"), await put("/each/k", "3")];
  expect(new Set(ids).size).toBe(3);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  for (const [at, body] of ["one", "two", "3"].entries()) {
    const got = await call("GET", `/each/k?versionId=${ids[at]}`);
    expect(got.text).toBe(body);
    expect(idOf(got)).toBe(ids[at]!);
  }
  const current = await call("HEAD", "/each/k");
  expect(idOf(current)).toBe(ids[2]!);
  const etag = current.headers["etag"]!;
  const same = await call("GET", "/each/k", { headers: { "if-none-match": etag } });
  expect(same).toMatchObject({ status: 304, headers: { "x-amz-version-id": ids[2]! } });
  expect(await versions("/each?versions")).toEqual([
    `k ${ids[2]} latest`,
    `k ${ids[1]}`,
    `k ${ids[0]}`,
  ]);
  const wanted = { headers: { "x-amz-object-attributes": "ObjectSize" } };
  const attributes = await call("GET", `/each/k?attributes&versionId=${ids[0]}`, wanted);
  expect(element(attributes.text, "ObjectSize")).toBe("3");
  expect(idOf(attributes)).toBe(ids[0]!);
  expect(idOf(await call("GET", `/each/k?tagging&versionId=${ids[0]}`))).toBe(ids[0]!);
});

test("ids that were never given are InvalidArgument, those of another key NoSuchVersion", async () => {
  await makeBucket("ids", "Enabled");
  const id = await put("/ids/k", "x");
  const other = await put("/ids/other", "x");
  const forged = `${id.slice(0, -1)}${id.endsWith("0") ? "1" : "0"}`;
  for (const bad of [forged, "abc", "1", `${id}0`, "NULL", "x".repeat(1000), id.toUpperCase()]) {
    if (bad === id) continue;
    const got = await call("GET", `/ids/k?versionId=${bad}`);
    expect(got.status).toBe(400);
    expect(element(got.text, "Message")).toBe("Invalid version id specified");
    expect((await call("DELETE", `/ids/k?versionId=${bad}`)).status).toBe(400);
    expect((await call("GET", `/ids?versions&key-marker=k&version-id-marker=${bad}`)).status).toBe(
      400,
    );
  }
  const missing = await call("GET", `/ids/k?versionId=${other}`);
  expect(missing.status).toBe(404);
  expect(element(missing.text, "Code")).toBe("NoSuchVersion");
  expect(element(missing.text, "VersionId")).toBe(other);
  expect((await call("GET", "/ids/k?versionId=null")).text).toContain("NoSuchVersion");
  const gone = await call("DELETE", `/ids/k?versionId=${other}`);
  expect(gone).toMatchObject({ status: 204, headers: { "x-amz-version-id": other } });
  expect((await call("GET", "/ids/k")).text).toBe("x");
});

test("a delete makes a marker, which hides the object until it is deleted itself", async () => {
  await makeBucket("markers", "Enabled");
  const id = await put("/markers/k", "content");
  const deleted = await call("DELETE", "/markers/k");
  expect(deleted).toMatchObject({ status: 204, headers: { "x-amz-delete-marker": "true" } });
  const marker = idOf(deleted);
  for (const method of ["GET", "HEAD"]) {
    const hidden = await call(method, "/markers/k");
    expect(hidden.status).toBe(404);
    expect(hidden.headers).toMatchObject({
      "x-amz-delete-marker": "true",
      "x-amz-version-id": marker,
    });
    const named = await call(method, `/markers/k?versionId=${marker}`);
    expect(named.status).toBe(405);
    expect(named.headers).toMatchObject({
      "x-amz-delete-marker": "true",
      "x-amz-version-id": marker,
      allow: "DELETE",
    });
    expect(named.headers["last-modified"]).toMatch(/GMT$/);
  }
  expect((await call("GET", `/markers/k?tagging&versionId=${marker}`)).status).toBe(405);
  expect((await call("GET", "/markers/k?tagging")).status).toBe(404);
  expect((await call("GET", `/markers/k?versionId=${id}`)).text).toBe("content");
  expect((await call("GET", "/markers")).text).not.toContain("<Key>");
  expect(await versions("/markers?versions")).toEqual([`-k ${marker} latest`, `k ${id}`]);
  expect((await call("DELETE", "/markers")).text).toContain("BucketNotEmpty");
  const restored = await call("DELETE", `/markers/k?versionId=${marker}`);
  expect(restored.headers).toMatchObject({
    "x-amz-delete-marker": "true",
    "x-amz-version-id": marker,
  });
  expect((await call("GET", "/markers/k")).text).toBe("content");
  const last = await call("DELETE", `/markers/k?versionId=${id}`);
  expect(last.headers["x-amz-delete-marker"]).toBeUndefined();
  expect((await call("GET", "/markers/k")).headers["x-amz-delete-marker"]).toBeUndefined();
  expect((await call("DELETE", "/markers")).status).toBe(204);
});

test("a suspended bucket writes over the version called null and keeps all others", async () => {
  await makeBucket("suspended");
  expect((await call("PUT", "/suspended/k", { body: "before" })).headers).not.toHaveProperty(
    "x-amz-version-id",
  );
  expect((await call("GET", "/suspended/k")).headers).not.toHaveProperty("x-amz-version-id");
  await call("PUT", "/suspended?versioning", configuration("Enabled"));
  expect(idOf(await call("GET", "/suspended/k"))).toBe("null");
  const kept = await put("/suspended/k", "kept");
  expect(await versions("/suspended?versions")).toEqual([`k ${kept} latest`, "k null"]);
  await call("PUT", "/suspended?versioning", configuration("Suspended"));
  const over = await call("PUT", "/suspended/k", { body: "over" });
  expect(over.headers).not.toHaveProperty("x-amz-version-id");
  expect(idOf(await call("GET", "/suspended/k"))).toBe("null");
  expect(await versions("/suspended?versions")).toEqual(["k null latest", `k ${kept}`]);
  const deleted = await call("DELETE", "/suspended/k");
  expect(deleted.headers).toMatchObject({
    "x-amz-delete-marker": "true",
    "x-amz-version-id": "null",
  });
  expect(await versions("/suspended?versions")).toEqual(["-k null latest", `k ${kept}`]);
  expect((await call("GET", "/suspended/k?versionId=null")).status).toBe(405);
  await call("DELETE", "/suspended/k?versionId=null");
  expect((await call("GET", "/suspended/k")).text).toBe("kept");
});

test("ListObjectVersions pages through keys, versions and prefixes in order", async () => {
  await makeBucket("pages", "Enabled");
  const wanted: string[] = [];
  for (const key of ["a", "b/1", "b/2", "c%20d"]) {
    const ids = [await put(`/pages/${key}`, "1"), await put(`/pages/${key}`, "2")];
    const marker = idOf(await call("DELETE", `/pages/${key}`));
    wanted.push(`-${key} ${marker} latest`, `${key} ${ids[1]}`, `${key} ${ids[0]}`);
  }
  const base = "/pages?versions&encoding-type=url";
  expect(await versions(base)).toEqual(wanted);
  for (const size of [1, 2, 5, 12]) {
    const seen: string[] = [];
    let more = "";
    for (let pages = 0; pages <= 12; pages++) {
      const target = `${base}&max-keys=${size}${more}`;
      const { text } = await call("GET", target);
      seen.push(...(await versions(target)));
      if (element(text, "IsTruncated") === "false") break;
      const key = element(text, "NextKeyMarker")!.replaceAll("/", "%2F");
      more = `&key-marker=${key}&version-id-marker=${element(text, "NextVersionIdMarker")}`;
    }
    expect(seen).toEqual(wanted);
  }
  const rolled = await call("GET", `${base}&delimiter=%2F`);
  expect(rolled.text).toContain("<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>");
  expect(await versions(`${base}&delimiter=%2F`)).toEqual([
    ...wanted.slice(0, 3),
    ...wanted.slice(9),
  ]);
  expect(await versions(`${base}&prefix=b%2F2`)).toEqual(wanted.slice(6, 9));
  const behind = wanted[4]!.split(" ")[1];
  expect(await versions(`${base}&key-marker=b%2F1&version-id-marker=${behind}`)).toEqual(
    wanted.slice(5),
  );
  await makeBucket("unversioned");
  await call("PUT", "/unversioned/k", { body: "x" });
  expect(await versions("/unversioned?versions")).toEqual(["k null latest"]);
});

test("copies read the version they name, into a version of their own", async () => {
  await makeBucket("copies", "Enabled");
  const small = await put("/copies/k", "old");
  const current = await put("/copies/k", "new");
  const from = (source: string): Call => ({ headers: { "x-amz-copy-source": source } });
  const copied = await call("PUT", "/copies/to", from(`/copies/k?versionId=${small}`));
  expect(copied.headers["x-amz-copy-source-version-id"]).toBe(small);
  expect((await call("GET", `/copies/to?versionId=${idOf(copied)}`)).text).toBe("old");
  const newest = await call("PUT", "/copies/to", from("/copies/k"));
  expect(newest.headers["x-amz-copy-source-version-id"]).toBe(current);
  const restored = await call("PUT", "/copies/k", from(`/copies/k?versionId=${small}`));
  expect(restored.status).toBe(200);
  expect((await call("GET", "/copies/k")).text).toBe("old");
  const marker = idOf(await call("DELETE", "/copies/k"));
  expect((await call("PUT", "/copies/to", from("/copies/k"))).text).toContain("NoSuchKey");
  const named = await call("PUT", "/copies/to", from(`/copies/k?versionId=${marker}`));
  expect(element(named.text, "Code")).toBe("InvalidRequest");
  expect((await call("PUT", "/copies/to", from("/copies/k?versionId=x"))).status).toBe(400);
  await makeBucket("plain");
  const plain = await call("PUT", "/plain/k", from(`/copies/k?versionId=${current}`));
  expect(plain.headers).not.toHaveProperty("x-amz-version-id");
  const back = await call("PUT", "/copies/back", from("/plain/k"));
  expect(back.headers).not.toHaveProperty("x-amz-copy-source-version-id");
});

test("a multipart upload and a part copied from an old version make one version", async () => {
  await makeBucket("multi", "Enabled");
  const source = await put("/multi/source", "old part");
  await put("/multi/source", "new part");
  const before = await put("/multi/k", "before");
  const upload = element((await call("POST", "/multi/k?uploads")).text, "UploadId");
  const part = await call("PUT", `/multi/k?partNumber=1&uploadId=${upload}`, {
    headers: { "x-amz-copy-source": `/multi/source?versionId=${source}` },
  });
  expect(part.headers["x-amz-copy-source-version-id"]).toBe(source);
  const etag = element(part.text, "ETag");
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${etag}</ETag></Part></CompleteMultipartUpload>`;
  const done = await call("POST", `/multi/k?uploadId=${upload}`, { body });
  expect(done.status).toBe(200);
  expect((await call("GET", "/multi/k")).text).toBe("old part");
  const again = await call("POST", `/multi/k?uploadId=${upload}`, { body });
  expect(idOf(again)).toBe(idOf(done));
  expect(await versions("/multi?versions&prefix=k")).toEqual([
    `k ${idOf(done)} latest`,
    `k ${before}`,
  ]);
});

async function deleteMany(bucket: string, objects: string): Promise<string> {
  const body = `<Delete>${objects}</Delete>`;
  const { createHash } = await import("node:crypto");
  const digest = createHash("md5").update(body).digest("base64");
  return (await call("POST", `/${bucket}?delete`, { body, headers: { "content-md5": digest } }))
    .text;
}

test("DeleteObjects makes markers, removes versions and says which", async () => {
  await makeBucket("many", "Enabled");
  const id = await put("/many/a", "1");
  const made = await deleteMany("many", "<Object><Key>a</Key></Object>");
  const marker = element(made, "DeleteMarkerVersionId")!;
  expect(element(made, "DeleteMarker")).toBe("true");
  expect(made).not.toContain("<VersionId>");
  const removed = await deleteMany(
    "many",
    [marker, id, "abc"]
      .map((version) => `<Object><Key>a</Key><VersionId>${version}</VersionId></Object>`)
      .join(""),
  );
  expect(removed).toContain(
    `<Deleted><Key>a</Key><VersionId>${marker}</VersionId><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>${marker}</DeleteMarkerVersionId></Deleted>`,
  );
  expect(removed).toContain(`<Deleted><Key>a</Key><VersionId>${id}</VersionId></Deleted>`);
  expect(removed).toContain("<VersionId>abc</VersionId><Code>InvalidArgument</Code>");
  expect(await versions("/many?versions")).toEqual([]);
  await makeBucket("many-plain");
  await call("PUT", "/many-plain/a", { body: "1" });
  const plain = await deleteMany("many-plain", "<Object><Key>a</Key></Object>");
  expect(plain).toContain("<Deleted><Key>a</Key></Deleted>");
});

test("conditional deletes look at the version named, or at what is current", async () => {
  await makeBucket("conditional", "Enabled");
  const put1 = await call("PUT", "/conditional/k", { body: "1" });
  const etag = put1.headers["etag"]!;
  const version = `/conditional/k?versionId=${idOf(put1)}`;
  await put("/conditional/k", "2");
  expect((await call("DELETE", "/conditional/k", { headers: { "if-match": etag } })).status).toBe(
    412,
  );
  const bad = { headers: { "if-match": '"bad"' } };
  expect((await call("DELETE", version, bad)).status).toBe(412);
  expect((await call("DELETE", version, { headers: { "if-match": etag } })).status).toBe(204);
  expect((await call("DELETE", version, bad)).status).toBe(204); // it is gone
  expect(
    (await call("PUT", "/conditional/k", { body: "3", headers: { "if-none-match": "*" } })).status,
  ).toBe(412);
  await call("DELETE", "/conditional/k");
  const anew = { body: "3", headers: { "if-none-match": "*" } };
  expect((await call("PUT", "/conditional/k", anew)).status).toBe(200);
});
