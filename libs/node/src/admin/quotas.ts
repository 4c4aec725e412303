import { lookupNamespace, lookupQuota } from "@kiseki/composition";
import type { NamespaceRow, QuotaRow } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import { RpcError } from "@kiseki/rpc";
import type { OpenTenant } from "../object/types.ts";
import { refusalError } from "./failure.ts";
import { submitAdmin } from "./submit.ts";
import type { AdminParts } from "./types.ts";

export interface QuotaView {
  readonly bytesMax?: bigint;
  readonly objectsMax?: bigint;
  readonly bytes: bigint;
  readonly objects: bigint;
}

const toQuota = ({ bytesMax, objectsMax, bytes, objects }: QuotaRow): QuotaView => ({
  ...(bytesMax === undefined ? {} : { bytesMax: BigInt(bytesMax) }),
  ...(objectsMax === undefined ? {} : { objectsMax: BigInt(objectsMax) }),
  bytes: BigInt(bytes),
  objects: BigInt(objects),
});
/** `quota` of a message: left out where there is none. */
export function quotaField(
  map: MapReader,
  namespace?: NamespaceRow["id"],
): { readonly quota?: QuotaView } {
  const row = lookupQuota(map, namespace);
  return row === undefined ? {} : { quota: toQuota(row) };
}

function ownerOf(map: MapReader, bucket: string): NamespaceRow["id"] | undefined {
  if (bucket === "") return undefined;
  const row = lookupNamespace(map, bucket);
  if (row === undefined) throw refusalError("no_such_namespace");
  return row.id;
}

/** @throws {RpcError} `not_found`. */
export const getQuota = (tenant: OpenTenant, bucket: string) =>
  tenant.store.view((map) => quotaField(map, ownerOf(map, bucket)));

const limitOf = (value: bigint | undefined): number | undefined => {
  if (value === undefined) return undefined;
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw new RpcError("invalid", "A quota is below 2^53");
};

/** @throws {RpcError} `not_found`, `invalid`. */
export async function setQuota(
  parts: AdminParts,
  tenant: OpenTenant,
  request: {
    readonly bucket: string;
    readonly bytesMax?: bigint | undefined;
    readonly objectsMax?: bigint | undefined;
  },
) {
  const bytesMax = limitOf(request.bytesMax);
  const objectsMax = limitOf(request.objectsMax);
  const namespace = tenant.store.view((map) => ownerOf(map, request.bucket));
  await submitAdmin(parts, tenant, {
    kind: "set_quota",
    ...(namespace === undefined ? {} : { namespace }),
    limits: {
      ...(bytesMax === undefined ? {} : { bytesMax }),
      ...(objectsMax === undefined ? {} : { objectsMax }),
    },
  });
  return tenant.store.view((map) => quotaField(map, namespace));
}
