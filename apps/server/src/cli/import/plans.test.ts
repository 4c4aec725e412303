/** Plans over files that a real MinIO exported (tests/fixtures/minio), and over what other exports may hold. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { strToU8, zipSync } from "fflate";
import { CommandError } from "@kiseki/cli";
import { readExport } from "./export-files.ts";
import { planBuckets } from "./plan-buckets.ts";
import { planIdentities } from "./plan-identities.ts";
import { ImportState } from "./state.ts";

const fixtures = join(import.meta.dir, "../../../../../tests/fixtures/minio");

test("planIdentities() makes users with their keys and the policies of their groups", async () => {
  const plan = planIdentities(await readExport(join(fixtures, "iam-info.zip")), "rootuser");
  expect(plan.policies.map(({ name }) => name)).toEqual(["readplain"]); // the others are built in
  expect(plan.notCarried.map(({ kind, name }) => [kind, name])).toEqual([["group", "readers"]]);
  const users = plan.users.map(({ name, isDisabled, policies }) => [name, isDisabled, policies]);
  expect(users).toEqual([
    ["alice", false, ["readplain"]],
    ["bob", true, ["readwrite", "readplain"]],
    ["", false, []],
  ]);
  const [alice, , root] = plan.users;
  expect(alice!.keys[0]).toMatchObject({ id: "alice", secret: "alicesecret", policy: "" });
  expect(alice!.keys[1]).toMatchObject({ id: "ALICESVC0001", description: "svc: of alice" });
  expect(JSON.parse(alice!.keys[1]!.policy)).toMatchObject({ Version: "2012-10-17" });
  expect(alice!.keys[1]!.expires).toBe(0); // MinIO writes 1970 for never
  expect(root!.keys.map(({ id }) => id)).toEqual(["ROOTSVC00001"]);
});

test("planIdentities() names the service accounts of whom it does not know", async () => {
  const plan = planIdentities(await readExport(join(fixtures, "iam-info.zip")), undefined);
  expect(plan.notCarried).toContainEqual({
    kind: "service account",
    name: "ROOTSVC00001",
    reason: expect.stringContaining("--root-user") as string,
  });
});

test("planIdentities() gives nothing of a disabled group, and names mappings of LDAP and broken files", () => {
  const plan = planIdentities(
    new Map([
      ["iam-assets/users.json", '{"eve":{"secretKey":"evesecret","status":"enabled"}}'],
      ["iam-assets/groups.json", '{"off":{"status":"disabled","members":["eve"]}}'],
      ["iam-assets/group_mappings.json", '{"off":{"policy":"readwrite"}}'],
      ["iam-assets/stsuser_mappings.json", '{"uid=max,dc=org":{"policy":"readonly"}}'],
      ["iam-assets/policies.json", "[]"],
    ]),
    undefined,
  );
  expect(plan.users).toMatchObject([{ name: "eve", policies: [] }]);
  expect(plan.notCarried.map(({ name }) => name)).toEqual([
    "policies.json",
    "off",
    "uid=max,dc=org",
  ]);
});

test("planBuckets() puts versioning before the objects, and what acts on objects after them", async () => {
  const plan = planBuckets(await readExport(join(fixtures, "cluster-metadata.zip")));
  expect(plan.notCarried).toEqual([]);
  const kinds = plan.buckets.map(({ name, isLockable, before, after, quota }) => [
    name,
    isLockable,
    before.map((setting) => setting.name),
    after.map((setting) => setting.name).toSorted(),
    quota,
  ]);
  expect(kinds).toEqual([
    ["full", false, ["versioning"], ["encryption", "lifecycle", "tagging"], 1_073_741_824],
    ["locked", true, ["versioning"], ["object-lock"], 0],
    ["plain", false, [], ["policy"], 0],
  ]);
  const rules = plan.buckets[0]!.after.find(({ name }) => name === "lifecycle")!.body;
  expect(rules).toContain("<NoncurrentDays>7</NoncurrentDays>");
  expect(rules).not.toContain("ExpiryUpdatedAt");
});

test("planBuckets() leaves what S3 does not have, by name", () => {
  const rule =
    "<LifecycleConfiguration><Rule><DelMarkerExpiration><Days>1</Days></DelMarkerExpiration></Rule></LifecycleConfiguration>";
  const sealed = "<X><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID></X>";
  const suspended = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
  const plan = planBuckets(
    new Map([
      ["b/bucket-encryption.xml", sealed],
      ["b/lifecycle.xml", rule],
      ["b/replication.xml", "<ReplicationConfiguration><Role>r</Role></ReplicationConfiguration>"],
      ["b/quota.json", '{"quota":5,"rate":7}'],
      ["b/strange.xml", "<Strange>1</Strange>"],
      ["b/versioning.xml", suspended],
    ]),
  );
  expect(plan.notCarried.map(({ name }) => name)).toEqual([
    "b/bucket-encryption.xml",
    "b/lifecycle.xml",
    "b/replication.xml",
    "b/quota.json: rate",
    "b/strange.xml",
  ]);
  const [bucket] = plan.buckets;
  expect(bucket!.quota).toBe(5);
  expect(bucket!.before[0]!.body).toContain("<Status>Enabled</Status>");
  expect(bucket!.after).toEqual([
    { name: "encryption", body: "<X><SSEAlgorithm>aws:kms</SSEAlgorithm></X>" },
    { name: "versioning", body: suspended },
  ]);
});

test("readExport() refuses what is no zip, is cut short, or would be too large unpacked", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-import-"));
  const path = join(folder, "x.zip");
  const good = zipSync({ "iam-assets/users.json": strToU8("{}") });
  try {
    const huge = good.slice();
    const at = Buffer.from(huge).indexOf("PK\u0001\u0002", 0, "latin1"); // its entry in the directory
    new DataView(huge.buffer).setUint32(at + 24, 65 * 1024 * 1024, true);
    for (const bytes of [new Uint8Array(0), strToU8("no zip"), good.slice(0, -9), huge]) {
      await Bun.write(path, bytes);
      await expect(readExport(path)).rejects.toBeInstanceOf(CommandError);
    }
    await expect(readExport(join(folder, "nobody"))).rejects.toBeInstanceOf(CommandError);
    await Bun.write(path, good);
    expect([...(await readExport(path))]).toEqual([["iam-assets/users.json", "{}"]]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("ImportState keeps how far each bucket is, and refuses the file of another import", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-import-"));
  const path = join(folder, "state.json");
  try {
    const state = await ImportState.open(path, "http://a");
    await state.set("one", { after: "key/ü", isDone: false });
    await state.set("two", { after: "", isDone: true });
    const again = await ImportState.open(path, "http://a");
    expect(again.bucket("one")).toEqual({ after: "key/ü", isDone: false });
    expect(again.bucket("two").isDone).toBe(true);
    expect(again.bucket("three")).toEqual({ after: "", isDone: false });
    await expect(ImportState.open(path, "http://b")).rejects.toBeInstanceOf(CommandError);
    await Bun.write(path, "{");
    await expect(ImportState.open(path, "http://a")).rejects.toBeInstanceOf(CommandError);
  } finally {
    await rm(folder, { recursive: true });
  }
});
