import { fromUuid, type TenantId, tenantId, toUuid } from "@kiseki/base";
import { listNamespaces, lookupHolds } from "@kiseki/composition";
import type { Hold } from "@kiseki/format";
import type { ShredReport } from "@kiseki/kms";
import { RpcError } from "@kiseki/rpc";
import type { OpenTenant } from "../object/types.ts";
import { following } from "./following.ts";
import { findTenant } from "./tenants.ts";
import type { AdminParts } from "./types.ts";

interface ShredRequest {
  readonly tenant: string;
  readonly confirmation: string;
  readonly isForced: boolean;
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const pageMax = 1000;

/** Also one whose catalog rows went with its key. @throws {RpcError} `invalid`, `not_found`. */
function findShreddable(parts: AdminParts, { tenant: word, confirmation }: ShredRequest): TenantId {
  const { defaultTenant, storage } = parts.node;
  const given = uuid.test(word) ? tenantId(fromUuid(word)) : undefined;
  const isGone = given !== undefined && storage.tenantKeys.isShredded(given);
  if (word === "") throw new RpcError("invalid", "Cannot shred: no tenant is named");
  const tenant = isGone ? given : findTenant(parts, word);
  if (confirmation !== word)
    throw new RpcError("invalid", "Cannot shred: the confirmation is not the tenant that is named");
  if (toUuid(tenant) === toUuid(defaultTenant)) {
    const why = "Cannot shred the default tenant: the node itself works with it";
    throw new RpcError(
      "not_empty",
      `${why}; stop the node and destroy its config directory instead`,
    );
  }
  return tenant;
}

/** Buckets from which nothing may be removed, by what keeps it: Object Lock, or a hold that `isActive`. */
function keptBuckets({ store }: OpenTenant, isActive: (hold: Hold) => boolean): readonly string[] {
  const kept: string[] = [];
  store.view((map) => {
    for (let after: string | undefined; ;) {
      const { namespaces, next } = listNamespaces(map, after, pageMax);
      for (const { id, name, isLockEnabled } of namespaces) {
        if (isLockEnabled) kept.push(`${name} (Object Lock)`);
        else if (lookupHolds(map, id).some(isActive)) kept.push(`${name} (hold)`);
      }
      if (next === undefined) return;
      after = next;
    }
  });
  return kept;
}

/**
 * What somebody has to keep is kept (decision 0009); force overrules holds, and nobody Object Lock.
 * @throws {RpcError} `not_empty`; what opening throws.
 */
async function checkNothingKept(
  parts: AdminParts,
  tenant: TenantId,
  isForced: boolean,
  signal: AbortSignal,
) {
  const { tenants, storage } = parts.node;
  if (storage.tenantKeys.isShredded(tenant)) return;
  const now = parts.clock.realtime();
  const isActive = ({ until }: Hold): boolean => !isForced && (until === undefined || until > now);
  const kept = keptBuckets(await tenants.open(tenant, "read", signal), isActive);
  if (kept.length === 0) return;
  const names =
    kept.slice(0, 5).join(", ") + (kept.length > 5 ? ` and ${kept.length - 5} more` : "");
  throw new RpcError("not_empty", `Cannot shred: something has to be kept: ${names}`);
}

/** Destroys the tenant's key and frees what it stored, for who looks on: the work goes on without. */
export async function* shred(parts: AdminParts, request: ShredRequest, signal: AbortSignal) {
  const { node, clock } = parts;
  const tenant = findShreddable(parts, request);
  await checkNothingKept(parts, tenant, request.isForced, signal);
  let report: ShredReport | undefined;
  const work = async (looking: AbortSignal): Promise<void> => {
    const { promise, reject } = Promise.withResolvers<never>();
    looking.addEventListener("abort", () => reject(looking.reason), { once: true });
    promise.catch(() => undefined);
    await Promise.race([node.shred(tenant, (destroyed) => (report = destroyed)), promise]);
  };
  const snapshot = (isDone: boolean) => ({
    id: toUuid(tenant),
    isDestroyed: report !== undefined,
    effectiveAtUnixMs: BigInt(report?.effectiveAt ?? 0),
    provider: report?.provider ?? "",
    absentMembers: [...(report?.absentMembers ?? [])],
    isDone,
  });
  yield* following(clock, work, snapshot, signal);
}
