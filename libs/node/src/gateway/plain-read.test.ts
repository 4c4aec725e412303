import { expect, test } from "bun:test";
import { Bed } from "./bed.test-helper.ts";

const path = "/bucket/key";
const tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
const rules =
  "<LifecycleConfiguration><Rule><ID>r</ID><Filter/><Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule></LifecycleConfiguration>";
const versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

test("a plain read that is remembered says at once what has changed since", async () => {
  await using bed = await Bed.open();
  const call = (method: string, target: string, body?: string) =>
    bed.call(bed.main, method, target, body === undefined ? {} : { body });
  /** Twice: found, then remembered. */
  const read = async () => {
    const [first, again, head] = [
      await call("GET", path),
      await call("GET", path),
      await call("HEAD", path),
    ];
    for (const reply of [again, head]) {
      expect(reply.status).toBe(first.status);
      expect(reply.headers["etag"]).toBe(first.headers["etag"]!);
    }
    expect(again.text).toBe(first.text);
    return again;
  };
  await call("PUT", "/bucket");
  await call("PUT", path, "one");
  const one = await read();
  expect(one).toMatchObject({ status: 200, text: "one" });
  expect(one.headers).toMatchObject({ "content-length": "3", "accept-ranges": "bytes" });
  await call("PUT", path, "two!");
  const two = await read();
  expect(two.text).toBe("two!");
  expect(two.headers["etag"]).not.toBe(one.headers["etag"]!);
  expect((await call("PUT", `${path}?tagging`, tagging)).status).toBe(200);
  expect((await read()).headers["x-amz-tagging-count"]).toBe("1");
  expect((await call("DELETE", `${path}?tagging`)).status).toBe(204);
  expect((await read()).headers["x-amz-tagging-count"]).toBeUndefined();
  expect((await call("PUT", "/bucket?lifecycle", rules)).status).toBe(200);
  expect((await read()).headers["x-amz-expiration"]).toContain('rule-id="r"');
  expect((await call("DELETE", "/bucket?lifecycle")).status).toBe(204);
  expect((await read()).headers["x-amz-expiration"]).toBeUndefined();
  expect((await call("PUT", "/bucket?versioning", versioning)).status).toBe(200);
  expect((await read()).headers["x-amz-version-id"]).toBe("null");
  const made = await call("PUT", path, "three");
  const three = await read();
  expect(three.text).toBe("three");
  expect(three.headers["x-amz-version-id"]).toBe(made.headers["x-amz-version-id"]!);
  expect(
    (await call("DELETE", `${path}?versionId=${made.headers["x-amz-version-id"]}`)).status,
  ).toBe(204);
  expect(await read()).toMatchObject({ text: "two!", headers: { "x-amz-version-id": "null" } });
  const suspended = versioning.replace("Enabled", "Suspended");
  const last = await call("PUT", path, "four");
  expect((await call("PUT", "/bucket?versioning", suspended)).status).toBe(200);
  expect((await read()).headers["x-amz-version-id"]).toBe(last.headers["x-amz-version-id"]!);
  await call("DELETE", path);
  expect((await call("GET", path)).headers["x-amz-delete-marker"]).toBe("true");
});
