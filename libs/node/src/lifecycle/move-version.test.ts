/** Transitions on a node with an archive: the worker's clock is days ahead, content and what is shown are real. */
import { createHash } from "node:crypto";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { wallTime } from "@kiseki/base";
import { listReferences } from "@kiseki/composition";
import { systemClock } from "@kiseki/host";
import { calendarDay } from "@kiseki/s3";
import { Bed, type Call, type Reply } from "../gateway/bed.test-helper.ts";
import { collectGarbage } from "../node/collector.ts";
import type { OpenTenant } from "../object/types.ts";
import { LifecycleWorker } from "./lifecycle-worker.ts";

let bed: Bed;
let tenant: OpenTenant;
let folder: string;
const never = new AbortController().signal;
const call = (method: string, target: string, options?: Call): Promise<Reply> =>
  bed.call(bed.main, method, target, options);
const element = (text: string, name: string): string | undefined =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];

beforeAll(async () => {
  folder = await mkdtemp(`${tmpdir()}/kiseki-moves-`);
  const path = `${folder}/archive`;
  await writeFile(path, "");
  await truncate(path, 256 * 1024 * 1024);
  bed = await Bed.open("256MiB", [
    ...["--pools", `archive=${path}`],
    ...["--storage-classes", "STANDARD_IA=archive,GLACIER_IR=archive"],
  ]);
  tenant = await bed.node.openDefaultTenant(never);
}, 20_000);
afterAll(async () => {
  await bed[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** A round `days` from now; one in the past of another is due too. */
async function runAt(days: number): Promise<void> {
  const by = days * calendarDay.ms;
  const faults: unknown[] = [];
  const worker = new LifecycleWorker({
    ports: {
      ...bed.node.ports,
      clock: {
        monotonic: () => systemClock.monotonic(),
        realtime: () => wallTime(systemClock.realtime() + by),
        sleep: (duration, signal) => systemClock.sleep(duration, signal),
      },
    },
    tenants: bed.node.tenants,
    tenantIds: () => [bed.node.defaultTenant],
    log: { info() {}, warn: (fields: unknown) => void faults.push(fields) },
    day: calendarDay,
    ratePerSecond: 1e6,
  });
  await worker.run(never);
  expect(faults).toEqual([]);
}
const setRules = (bucket: string, rule: string): Promise<Reply> => {
  const body = `<LifecycleConfiguration><Rule><Status>Enabled</Status>${rule}</Rule></LifecycleConfiguration>`;
  return call("PUT", `/${bucket}?lifecycle`, { body });
};
const anySize = "<Filter><ObjectSizeGreaterThan>0</ObjectSizeGreaterThan></Filter>";
const transition = (days: number, name = "GLACIER_IR"): string =>
  `<Transition><Days>${days}</Days><StorageClass>${name}</StorageClass></Transition>`;
const bytesOf = (seed: string, size: number): Buffer =>
  Buffer.concat(
    Array.from({ length: Math.ceil(size / 32) }, (_, i) =>
      createHash("sha256")
        .update(`${seed} ${i >> 7}`)
        .digest(),
    ),
  ).subarray(0, size);
/** Seals that objects name, by pool, once garbage is gone. */
async function seals(): Promise<readonly number[]> {
  while ((await collectGarbage(bed.node.ports, tenant)) > 0);
  const { references } = tenant.store.view((map) => listReferences(map, undefined, 100_000));
  const counts = [0, 0];
  for (const { pool } of references) counts[pool]! += 1;
  const stored = bed.node.ports.chunkStore.pools().map(({ status }) => status!.chunks);
  expect(stored).toEqual(counts); // nothing is left behind in the pool that it was in
  return counts;
}
/** What HEAD says, without what differs by request. */
async function headOf(target: string): Promise<Record<string, string>> {
  const { headers } = await call("HEAD", target);
  const { date: _, "x-amz-request-id": _id, "x-amz-storage-class": _class, ...rest } = headers;
  return rest;
}

test("a transition moves content of every size, and nothing else of the object changes", async () => {
  await call("PUT", "/sizes");
  const sizes = [0, 1, 4096, 100_000, 9_000_000];
  const headers = { "x-amz-meta-a": "b", "x-amz-tagging": "k=v", "content-type": "text/plain" };
  for (const size of sizes)
    await call("PUT", `/sizes/${size}`, { body: bytesOf(`${size}`, size), headers });
  await call("PUT", "/sizes/other/x", { body: bytesOf("other", 200_000) });
  const heads = await Promise.all(sizes.map((size) => headOf(`/sizes/${size}`)));
  const archived = (await seals())[1]!;
  const rule = `<Filter><And><Prefix></Prefix><Tag><Key>k</Key><Value>v</Value></Tag><ObjectSizeLessThan>10000000</ObjectSizeLessThan></And></Filter>`;
  expect((await setRules("sizes", rule + transition(3))).status).toBe(200);
  await runAt(2);
  expect((await seals())[1]).toBe(archived);
  await runAt(4);
  expect((await seals())[1]).toBe(archived + 6); // 1 + 1 + 1 + 3
  for (const [i, size] of sizes.entries()) {
    const got = await call("GET", `/sizes/${size}`);
    expect(got.headers["x-amz-storage-class"]).toBe("GLACIER_IR");
    expect(got.body.equals(bytesOf(`${size}`, size))).toBe(true);
    expect(await headOf(`/sizes/${size}`)).toEqual(heads[i]!);
  }
  expect((await call("HEAD", "/sizes/other/x")).headers["x-amz-storage-class"]).toBeUndefined();
  const listed = await call("GET", "/sizes?prefix=100000");
  expect(element(listed.text, "StorageClass")).toBe("GLACIER_IR");
  const before = await seals();
  await runAt(5);
  expect(await seals()).toEqual(before); // once
});

test("objects in parts stay in parts", async () => {
  await call("PUT", "/parts");
  const bodies = [1, 2, 3].map((part) => bytesOf(`part ${part}`, part < 3 ? 5 * 1024 * 1024 : 100));
  const created = await call("POST", "/parts/k?uploads");
  const id = element(created.text, "UploadId")!;
  let named = "";
  for (const [i, body] of bodies.entries()) {
    const { headers } = await call("PUT", `/parts/k?partNumber=${2 * i + 1}&uploadId=${id}`, {
      body,
    });
    named += `<Part><PartNumber>${2 * i + 1}</PartNumber><ETag>${headers["etag"]}</ETag></Part>`;
  }
  const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
  expect((await call("POST", `/parts/k?uploadId=${id}`, { body })).status).toBe(200);
  const before = await headOf("/parts/k");
  const archived = (await seals())[1]!;
  await setRules("parts", `<Filter/>${transition(1)}`);
  await runAt(2);
  expect((await seals())[1]).toBe(archived + 5);
  expect(await headOf("/parts/k")).toEqual(before);
  const got = await call("GET", "/parts/k");
  expect(got.headers["x-amz-storage-class"]).toBe("GLACIER_IR");
  expect(got.body.equals(Buffer.concat(bodies))).toBe(true);
  const part = await call("GET", "/parts/k?partNumber=5");
  expect([part.body.equals(bodies[2]!), part.headers["x-amz-mp-parts-count"]]).toEqual([true, "3"]);
});

test("noncurrent versions move by their own rule, locked ones too; the current one stays", async () => {
  await call("PUT", "/old", { headers: { "x-amz-bucket-object-lock-enabled": "true" } });
  const until = new Date(Date.now() + 4000 * calendarDay.ms).toISOString();
  const locked = {
    "x-amz-object-lock-mode": "COMPLIANCE",
    "x-amz-object-lock-retain-until-date": until,
  };
  const body = bytesOf("first", 200_000);
  const sum = createHash("md5").update(body).digest("base64");
  const first = await call("PUT", "/old/k", { body, headers: { ...locked, "content-md5": sum } });
  expect(first.status).toBe(200);
  await call("PUT", "/old/k", { body: bytesOf("second", 200_000) });
  const version = `/old/k?versionId=${first.headers["x-amz-version-id"]}`;
  const before = await headOf(version);
  const rule = `<Filter/><NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>GLACIER_IR</StorageClass></NoncurrentVersionTransition>`;
  expect((await setRules("old", rule)).status).toBe(200);
  await runAt(2);
  const got = await call("GET", version);
  expect(got.headers["x-amz-storage-class"]).toBe("GLACIER_IR");
  expect(got.body.equals(bytesOf("first", 200_000))).toBe(true);
  expect(await headOf(version)).toEqual(before);
  expect(before["x-amz-object-lock-mode"]).toBe("COMPLIANCE");
  expect((await call("HEAD", "/old/k")).headers["x-amz-storage-class"]).toBeUndefined();
});

test("content under a customer's key stays where it is, and is counted", async () => {
  await call("PUT", "/sealed");
  const key = Buffer.alloc(32, 7);
  const headers = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": key.toString("base64"),
    "x-amz-server-side-encryption-customer-key-md5": createHash("md5").update(key).digest("base64"),
  };
  await call("PUT", "/sealed/k", { body: bytesOf("own", 200_000), headers });
  await call("PUT", "/sealed/plain", { body: bytesOf("plain", 200_000) });
  await setRules("sealed", `<Filter/>${transition(1)}`);
  await runAt(2);
  const got = await call("GET", "/sealed/k", { headers });
  expect(got.headers["x-amz-storage-class"]).toBeUndefined();
  expect(got.body.equals(bytesOf("own", 200_000))).toBe(true);
  const standings = await bed.node.lifecycle.standings(tenant, never);
  const { progress } = standings.find(({ bucket }) => bucket === "sealed")!;
  expect(progress?.counts).toMatchObject({ looked: 2, moved: 1, skipped: 1 });
});

test("a class that no pool has is refused in a rule, and small objects need a rule about sizes", async () => {
  await call("PUT", "/rules");
  for (const name of ["ONEZONE_IA", "GLACIER", "DEEP_ARCHIVE", "INTELLIGENT_TIERING"]) {
    const reply = await setRules("rules", `<Filter/>${transition(90, name)}`);
    expect([reply.status, element(reply.text, "Code")]).toEqual([400, "InvalidStorageClass"]);
    expect(element(reply.text, "StorageClassRequested")).toBe(name);
  }
  await call("PUT", "/rules/small", { body: "x" });
  await setRules("rules", `<Filter/>${transition(1)}`);
  await runAt(2);
  expect((await call("HEAD", "/rules/small")).headers["x-amz-storage-class"]).toBeUndefined();
  await setRules("rules", anySize + transition(1));
  await runAt(3);
  expect((await call("HEAD", "/rules/small")).headers["x-amz-storage-class"]).toBe("GLACIER_IR");
});
