import type { Keyset, TenantId } from "@kiseki/base";
import type { TenantKeys } from "@kiseki/kms";
import type { Tenants } from "../node/tenants.ts";

export interface RekeyParts {
  readonly tenantKeys: Pick<TenantKeys, "addKeyset">;
  readonly tenants: Tenants;
}

/**
 * A new keyset for new writes of the tenant. Its shard is rewritten under it; meanwhile what reads goes on, what
 * writes waits. Requests under way when the tenant changes over, before and after, may be refused and be
 * tried again. What is stored follows in the background.
 * @throws {TenantKeysError} when the KMS does not answer; then the keyset may be there, and the next request opens it.
 */
export async function rekeyTenant(
  { tenantKeys, tenants }: RekeyParts,
  tenant: TenantId,
  signal: AbortSignal,
): Promise<Keyset> {
  const made = await tenantKeys.addKeyset(tenant, signal);
  await tenants.open(tenant, "write", signal);
  return made;
}
