import { tenantOfCertificate } from "@kiseki/auth";
import { fromUuid, type TenantId, tenantId } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import type { Peer } from "@kiseki/rpc";
import { NativeRefusal } from "./failure.ts";

const uuid = /^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** A tenant by its name or id. */
export function findTenant(catalog: Pick<Catalog, "tenants">, name: string): TenantId | undefined {
  const id = uuid.test(name) ? tenantId(fromUuid(name)) : undefined;
  const isMeant = (tenant: { readonly id: TenantId; readonly name: string }): boolean =>
    tenant.name === name || (id !== undefined && id.every((byte, at) => byte === tenant.id[at]));
  return catalog.tenants().find(isMeant)?.id;
}

/** Says that a session is used by whom it was opened. */
export const identityOf = (peer: Peer): string =>
  peer.kind === "certificate" ? `tenant ${tenantOfCertificate(peer) ?? ""}` : peer.kind;

/**
 * Whose files a caller may reach: those of the tenant that its certificate names; with the node's token or socket, those of
 * the tenant that it asks for, or the default one. @throws {NativeRefusal} `forbidden`
 */
export function tenantOfPeer(
  catalog: Pick<Catalog, "tenants">,
  defaultTenant: TenantId,
  peer: Peer,
  asked: string,
): TenantId {
  const named = asked === "" ? undefined : findTenant(catalog, asked);
  if (asked !== "" && named === undefined) throw new NativeRefusal("forbidden");
  if (peer.kind !== "certificate") return named ?? defaultTenant;
  const certified = tenantOfCertificate(peer);
  const own = certified === undefined ? undefined : findTenant(catalog, certified);
  if (own === undefined) throw new NativeRefusal("forbidden");
  const isOwn = named === undefined || named.every((byte, at) => byte === own[at]);
  if (!isOwn) throw new NativeRefusal("forbidden");
  return own;
}
