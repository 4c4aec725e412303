import { wallTime } from "@kiseki/base";
import { lookupHolds, lookupNamespace } from "@kiseki/composition";
import type { NamespaceRow } from "@kiseki/format";
import type { OpenTenant } from "../object/types.ts";
import { refusalError } from "./failure.ts";
import { submitAdmin } from "./submit.ts";
import type { AdminParts } from "./types.ts";

function idOf(tenant: OpenTenant, bucket: string): NamespaceRow["id"] {
  const row = tenant.store.view((map) => lookupNamespace(map, bucket));
  if (row === undefined) throw refusalError("no_such_namespace");
  return row.id;
}

/** @throws {RpcError} `not_found`. */
export function listHolds(tenant: OpenTenant, bucket: string) {
  const namespace = idOf(tenant, bucket);
  const holds = tenant.store.view((map) => lookupHolds(map, namespace));
  return {
    holds: holds.map(({ id, until }) => ({
      id,
      ...(until === undefined ? {} : { untilUnixMs: BigInt(until) }),
    })),
  };
}

/** @throws {RpcError} `not_found`, `invalid`. */
export async function setHold(
  parts: AdminParts,
  tenant: OpenTenant,
  request: {
    readonly bucket: string;
    readonly id: string;
    readonly untilUnixMs?: bigint | undefined;
  },
) {
  const namespace = idOf(tenant, request.bucket);
  const { id, untilUnixMs: until } = request;
  const hold = until === undefined ? { id } : { id, until: wallTime(Number(until)) };
  await submitAdmin(parts, tenant, { kind: "set_hold", namespace, hold });
  return listHolds(tenant, request.bucket);
}

/** @throws {RpcError} `not_found`. */
export async function releaseHold(
  parts: AdminParts,
  tenant: OpenTenant,
  { bucket, id }: { readonly bucket: string; readonly id: string },
) {
  const namespace = idOf(tenant, bucket);
  await submitAdmin(parts, tenant, { kind: "release_hold", namespace, id });
  return listHolds(tenant, bucket);
}
