import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { armFailpoints, millis, newBytes, prngFromSeed, type TenantId, toHex } from "@kiseki/base";
import { s3Fault } from "@kiseki/s3";
import { toFault } from "../gateway/failure.ts";
import type { StorageNode } from "../node/open-node.ts";
import {
  get,
  makeBucket,
  never,
  openAt,
  openReader,
  put,
  temporaryFolder,
} from "./bed.test-helper.ts";

const content = prngFromSeed(21).fill(newBytes(700_000));

/** A second tenant with an access key, a bucket, a chunk and small content. */
async function addTenant(node: StorageNode): Promise<{ tenant: TenantId; accessKey: string }> {
  const { tenant, root } = node.storage.catalog.createTenant("guest");
  await node.storage.tenantKeys.provision(tenant.id, { ttl: millis(60_000) }, never);
  await makeBucket(node, tenant.id);
  await put(node, "large", content, tenant.id);
  await put(node, "small", content.subarray(0, 100), tenant.id);
  return { tenant: tenant.id, accessKey: node.storage.catalog.createAccessKey(root.id).id };
}

function filesOf(path: string, tenant: TenantId): readonly string[] {
  return ["data", "mirror"].flatMap((member) =>
    readdirSync(`${path}/${member}`).filter((file) => file.includes(toHex(tenant))),
  );
}

async function expectGone(node: StorageNode, path: string, tenant: TenantId, accessKey: string) {
  for (const work of [() => get(node, "large", tenant), () => put(node, "new", content, tenant)]) {
    const reason: unknown = await work().catch((thrown: unknown) => thrown);
    expect(toFault(reason)).toMatchObject({ code: s3Fault("AccessDenied").code });
  }
  expect(node.storage.catalog.tenant(tenant)).toBeUndefined();
  expect(node.storage.catalog.lookUpAccessKey(accessKey)).toBeUndefined();
  let found = 0;
  await node.ports.chunkStore.matchCandidates(
    ({ inspection }) => {
      if (toHex(inspection.tenant) === toHex(tenant)) found += 1;
      return undefined;
    },
    { all: true },
  );
  expect(found).toBe(0);
  expect(filesOf(path, tenant)).toEqual([]);
}

test("shred() of a tenant refuses its requests, frees what it stored, and leaves others alone", async () => {
  await using folder = await temporaryFolder();
  {
    await using node = await openAt(folder.path);
    await makeBucket(node);
    await put(node, "ours", content);
    const { chunks } = node.ports.chunkStore.status();
    const { tenant, accessKey } = await addTenant(node);
    expect(filesOf(folder.path, tenant).length).toBeGreaterThan(0);
    const reader = await openReader(node, "large", tenant);
    const report = await node.shred(tenant);
    expect(report).toMatchObject({ provider: "internal", absentMembers: [] });
    reader[Symbol.dispose]();
    await expectGone(node, folder.path, tenant, accessKey);
    expect(node.ports.chunkStore.status().chunks).toBe(chunks);
    expect(await get(node, "ours")).toEqual(Buffer.from(content));
    expect((await node.shred(tenant)).effectiveAt).toBe(report.effectiveAt); // may be repeated
    await put(node, "more", content);
  }
  await using node = await openAt(folder.path);
  expect(await get(node, "more")).toEqual(Buffer.from(content));
}, 20_000);

test("a shred that is cut short is ended by the next start", async () => {
  for (const point of ["shred-keys", "shred-swept"]) {
    await using folder = await temporaryFolder();
    let made: Awaited<ReturnType<typeof addTenant>>;
    {
      await using node = await openAt(folder.path);
      made = await addTenant(node);
      armFailpoints((name) => {
        if (name === point) throw new Error(`cut at ${point}`);
      });
      try {
        const shredding = node.shred(made.tenant);
        expect(shredding).rejects.toThrow(`cut at ${point}`);
        await shredding.catch(() => undefined);
      } finally {
        armFailpoints(undefined);
      }
      expect(filesOf(folder.path, made.tenant).length).toBeGreaterThan(0);
    }
    await using node = await openAt(folder.path);
    await expectGone(node, folder.path, made.tenant, made.accessKey);
  }
}, 20_000);
