import type { TenantId } from "@kiseki/base";
import { type NodeAdminBackend, fromRulesMessage, RpcError, toRulesMessage } from "@kiseki/rpc";
import { cachePolicyOf } from "../native/cache-policy.ts";
import { findTenant } from "../native/identity.ts";
import type { AdminParts } from "./types.ts";

type Rules = Parameters<NodeAdminBackend["setCacheRules"]>[0];

/** @throws {RpcError} `not_found`. */
export function getCacheRules({ node }: AdminParts, tenant: string) {
  const { catalog } = node.storage;
  const id = tenantNamed(catalog, tenant);
  return {
    rules: toRulesMessage(catalog.cacheRules.get(id)),
    policy: toRulesMessage(cachePolicyOf(catalog, id)),
  };
}
/** @throws {RpcError} `not_found`, `invalid`; {CatalogError}. */
export function setCacheRules(parts: AdminParts, { tenant, rules: message }: Rules) {
  const { catalog } = parts.node.storage;
  const rules = fromRulesMessage(message);
  if (rules === undefined)
    throw new RpcError("invalid", "Cannot set these rules: one is out of its range");
  catalog.cacheRules.set(rules, tenantNamed(catalog, tenant));
  return getCacheRules(parts, tenant);
}

function tenantNamed(
  catalog: AdminParts["node"]["storage"]["catalog"],
  name: string,
): TenantId | undefined {
  if (name === "") return undefined;
  const id = findTenant(catalog, name);
  if (id === undefined) throw new RpcError("not_found", `There is no tenant ${name}`);
  return id;
}
