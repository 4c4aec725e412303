import { assert, failpoint, fromHex, sameBytes, type TenantId, tenantId } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import type { ChunkPools } from "@kiseki/chunk-store";
import type { ShredReport, TenantKeys } from "@kiseki/kms";
import type { Metrics } from "@kiseki/ports";
import { type MemberSet, parseFileName } from "@kiseki/sealed-sqlite";
import { filesNamed } from "../node/sealed-files.ts";
import { shardFileName } from "../node/sealed-shards.ts";
import { firstShardOf, type Tenants } from "../node/tenants.ts";

export interface ShredParts {
  readonly tenantKeys: Pick<TenantKeys, "shred" | "isShredded" | "unfinishedShreds">;
  readonly catalog: Pick<Catalog, "deleteTenant">;
  readonly chunkStore: Pick<ChunkPools, "matchCandidates" | "checkpoint">;
  readonly members: Pick<MemberSet, "listFiles" | "deleteFile" | "deleteUnfinished">;
  readonly metrics: Pick<Metrics, "add">;
  /** Closes the tenant's shard if it is open. */
  readonly tenants: Pick<Tenants, "close">;
}

/**
 * Destroys a tenant's KEK, its wrapped shares and its catalog rows, then frees what it stored (KEYS §5). From the
 * begin on every request of the tenant is refused; nobody else waits. May be repeated. `onDestroyed`: nothing of it
 * opens any more; what it stored is freed after that.
 * @throws {TenantKeysError} when the KMS does not answer: the tenant stays closed, and the next start repeats it.
 */
export async function shredTenant(
  parts: ShredParts,
  tenant: TenantId,
  signal: AbortSignal,
  onDestroyed: (report: ShredReport) => void = () => undefined,
): Promise<ShredReport> {
  const isRepeated = parts.tenantKeys.isShredded(tenant);
  const report = await parts.tenantKeys.shred(tenant, signal);
  if (!isRepeated) parts.metrics.add("kiseki_crypto_shred_total", 1);
  onDestroyed(report);
  failpoint("shred-keys");
  parts.catalog.deleteTenant(tenant);
  await parts.tenants.close(tenant);
  await sweepTenant(parts, tenant, signal);
  return report;
}

/** Shreds that did not end, and shredded tenants whose fragments were not all swept: their shard file is there. */
export function unsweptTenants({
  tenantKeys,
  members,
}: Pick<ShredParts, "tenantKeys" | "members">): readonly TenantId[] {
  return members.listFiles().flatMap((file) => {
    const shard = /^shard-([0-9a-f]{32})$/.exec(parseFileName(file)?.name ?? "")?.[1];
    if (shard === undefined) return [];
    const tenant = tenantId(fromHex(shard)); // a tenant's first shard is named like it
    return tenantKeys.isShredded(tenant) ? [tenant] : [];
  });
}

/** Frees by the tenant's id alone, since no manifest can be opened any more. The shard file goes last: it says that this is to do. */
async function sweepTenant(
  { chunkStore, members, tenantKeys }: ShredParts,
  tenant: TenantId,
  signal: AbortSignal,
): Promise<void> {
  assert(tenantKeys.isShredded(tenant), "only what nobody can open is swept");
  await chunkStore.matchCandidates(
    ({ inspection }) => (sameBytes(inspection.tenant, tenant) ? false : undefined),
    { all: true, signal },
  );
  chunkStore.checkpoint();
  failpoint("shred-swept");
  const name = shardFileName(firstShardOf(tenant));
  members.deleteUnfinished(name);
  for (const { file } of filesNamed(members, name)) members.deleteFile(file);
}
