import { namespaceId, newBytes } from "@kiseki/base";
import type { AliasedBucket } from "@kiseki/catalog";
import { listNamespaces, lookupNamespace, lookupUsage } from "@kiseki/composition";
import type { NamespaceRow } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { RpcError } from "@kiseki/rpc";
import { isBucketName } from "@kiseki/s3";
import type { OpenTenant } from "../object/types.ts";
import { refusalError } from "./failure.ts";
import { quotaField, type QuotaView } from "./quotas.ts";
import { submitAdmin } from "./submit.ts";
import type { AdminParts } from "./types.ts";

const pageMax = 1000;

interface BucketView {
  readonly name: string;
  readonly createdUnixMs: bigint;
  readonly objectCount: bigint;
  readonly objectBytes: bigint;
  readonly quota?: QuotaView;
}

function toBucket(map: MapReader, row: NamespaceRow): BucketView {
  const usage = lookupUsage(map, row.id);
  return {
    name: row.name,
    createdUnixMs: BigInt(row.created),
    objectCount: BigInt(usage.objects),
    objectBytes: BigInt(usage.bytes),
    ...quotaField(map, row.id),
  };
}

/** One page of buckets in order of their names; `next` is empty at the end. */
export function listBuckets(
  tenant: OpenTenant,
  after: string,
  countMax: number,
): { readonly buckets: readonly BucketView[]; readonly next: string } {
  const count = countMax === 0 ? pageMax : Math.min(countMax, pageMax);
  return tenant.store.view((map) => {
    const page = listNamespaces(map, after === "" ? undefined : after, count);
    return { buckets: page.namespaces.map((row) => toBucket(map, row)), next: page.next ?? "" };
  });
}

/** Sums of all buckets, page by page; requests go on between pages. */
export async function countUsage(
  tenant: OpenTenant,
): Promise<{ readonly buckets: number; readonly objects: bigint; readonly bytes: bigint }> {
  let buckets = 0;
  let objects = 0n;
  let bytes = 0n;
  for (let after = ""; ;) {
    const page = listBuckets(tenant, after, pageMax);
    for (const bucket of page.buckets) {
      buckets += 1;
      objects += bucket.objectCount;
      bytes += bucket.objectBytes;
    }
    if (page.next === "") return { buckets, objects, bytes };
    after = page.next;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const aliasedBucket = ({ id, store }: OpenTenant, name: string): AliasedBucket => ({
  ...{ tenant: id, name },
  exists: () => store.view((map) => lookupNamespace(map, name)) !== undefined,
});

/** @throws {RpcError} `invalid`, `exists`. */
export async function createBucket(
  parts: AdminParts,
  tenant: OpenTenant,
  name: string,
): Promise<BucketView> {
  if (!isBucketName(name)) {
    throw new RpcError(
      "invalid",
      `Cannot make a bucket of the name ${JSON.stringify(name)}: it has 3 to 63 of a-z, 0-9, '.' and '-', and begins and ends with a letter or digit`,
    );
  }
  const bucket = aliasedBucket(tenant, name);
  if (bucket.exists()) throw refusalError("namespace_exists");
  try {
    await parts.node.aliases.make(bucket, async () => {
      const id = namespaceId(parts.prng.fill(newBytes(16)));
      await submitAdmin(parts, tenant, { kind: "create_namespace", id, name });
    });
  } finally {
    parts.node.gateway.forgetBucket(name);
  }
  return tenant.store.view((map) => {
    const row = lookupNamespace(map, name);
    if (row === undefined) throw refusalError("no_such_namespace"); // somebody deleted it since
    return toBucket(map, row);
  });
}

/** @throws {RpcError} `not_found`, `not_empty`. */
export async function deleteBucket(
  parts: AdminParts,
  tenant: OpenTenant,
  name: string,
): Promise<void> {
  const row = tenant.store.view((map) => lookupNamespace(map, name));
  if (row === undefined) throw refusalError("no_such_namespace");
  await submitAdmin(parts, tenant, { kind: "delete_namespace", namespace: row.id });
  parts.node.gateway.forgetBucket(name);
  await parts.node.aliases.release(aliasedBucket(tenant, name));
}
