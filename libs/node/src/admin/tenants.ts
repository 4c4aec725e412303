import { millis, type TenantId, toHex, toUuid } from "@kiseki/base";
import { type Catalog, CatalogError } from "@kiseki/catalog";
import { RpcError } from "@kiseki/rpc";
import type { AdminParts } from "./types.ts";

type Tenant = ReturnType<Catalog["tenants"]>[number];

/** The tenant by name or id; the default one for an empty word. @throws {RpcError} `not_found`. */
export function findTenant({ node }: AdminParts, word: string): TenantId {
  if (word === "") return node.defaultTenant;
  const found = node.storage.catalog
    .tenants()
    .find(({ id, name }) => name === word || toUuid(id) === word || toHex(id) === word);
  if (found === undefined) throw new RpcError("not_found", "There is no tenant of this name or id");
  return found.id;
}

const viewOf = ({ node }: AdminParts, { id, name, isDefault, created }: Tenant) => ({
  id: toUuid(id),
  name,
  account: node.storage.catalog.account(id),
  isDefault,
  createdUnixMs: BigInt(created),
});

export const listTenants = (parts: AdminParts) => ({
  tenants: parts.node.storage.catalog.tenants().map((tenant) => viewOf(parts, tenant)),
});

/**
 * A tenant with keys, and an access key of its root. One that a crash left without keys is gone on with.
 * @throws {CatalogError} `exists`, `invalid`.
 */
export async function createTenant(parts: AdminParts, name: string, signal: AbortSignal) {
  const { catalog, tenantKeys } = parts.node.storage;
  const known = catalog.tenants().find((tenant) => tenant.name === name);
  if (known !== undefined && tenantKeys.has(known.id)) {
    throw new CatalogError("exists", `A tenant of the name ${name} exists`);
  }
  const tenant = known ?? catalog.createTenant(name).tenant;
  await tenantKeys.provision(tenant.id, { ttl: millis(parts.settings.kekSeconds * 1000) }, signal);
  const root = catalog.users(tenant.id).find(({ isRoot }) => isRoot)!;
  const { id, secret } = catalog.createAccessKey(root.id);
  return { tenant: viewOf(parts, tenant), accessKeyId: id, secretAccessKey: secret };
}
