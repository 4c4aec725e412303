import { type CachePolicy, clusterPolicy, narrowPolicy } from "@kiseki/cache";
import type { TenantId } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import { type TenantKeys, TenantKeysError } from "@kiseki/kms";
import { isKeyGone } from "./failure.ts";

/** What a tenant's clients may keep: the cluster's rules, narrowed by its own. */
export function cachePolicyOf(
  { cacheRules }: Pick<Catalog, "cacheRules">,
  tenant?: TenantId,
): CachePolicy {
  const cluster = clusterPolicy(cacheRules.get());
  return tenant === undefined ? cluster : narrowPolicy(cluster, cacheRules.get(tenant));
}

export type KeyHealth = "healthy" | "destroyed" | "unreachable";

/** Asks the tenant's key manager, unless it has answered in the last half minute. */
export async function keyHealthOf(
  tenantKeys: Pick<TenantKeys, "isShredded" | "open">,
  tenant: TenantId,
  signal: AbortSignal,
): Promise<KeyHealth> {
  if (tenantKeys.isShredded(tenant)) return "destroyed";
  try {
    await tenantKeys.open(tenant, "write", signal);
    return "healthy";
  } catch (reason) {
    if (!(reason instanceof TenantKeysError)) throw reason;
    const isGone = tenantKeys.isShredded(tenant) || isKeyGone(reason);
    return isGone ? "destroyed" : "unreachable";
  }
}
