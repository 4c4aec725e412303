import { CatalogError, type CatalogErrorCode } from "@kiseki/catalog";
import { ChunkStoreError, type ChunkStoreErrorCode } from "@kiseki/chunk-store";
import { ClusterKeyError, type ClusterKeyErrorCode, TenantKeysError } from "@kiseki/kms";
import { DatapathError } from "@kiseki/ports";
import { RpcError, type RpcErrorCode } from "@kiseki/rpc";
import { ShardStoreError } from "@kiseki/shard-store";
import { OldShardError } from "../node/tenants.ts";
import type { Outcome } from "../shard/shard-owner.ts";

const chunkStoreCode = {
  no_space: "no_space",
  unavailable: "unavailable",
  closed: "unavailable",
  foreign_signature: "exists",
  already_formatted: "exists",
  unknown_version: "exists",
  bad_superblock: "invalid",
  foreign_cluster: "invalid",
  other_pool: "invalid",
  bad_size: "invalid",
  unknown_device: "not_found",
  not_empty: "not_empty",
  less_redundancy: "not_empty",
  lost: "data_loss",
  bad_checksum: "unavailable",
} as const satisfies Record<ChunkStoreErrorCode, RpcErrorCode>;
const catalogCode = {
  exists: "exists",
  in_use: "not_empty",
  not_found: "not_found",
  invalid: "invalid",
  newer_schema: "internal",
} as const satisfies Record<CatalogErrorCode, RpcErrorCode>;
const clusterKeyCode = {
  missing: "not_found",
  damaged: "data_loss",
  unknown_version: "data_loss",
  wrong_secret: "invalid",
  mistyped: "invalid",
  exists: "exists",
  io: "unavailable",
} as const satisfies Record<ClusterKeyErrorCode, RpcErrorCode>;
const systemCode: Readonly<Record<string, RpcErrorCode>> = {
  EEXIST: "exists",
  ENOENT: "not_found",
  ENOTDIR: "not_found",
  EACCES: "forbidden",
  EPERM: "forbidden",
  ENOSPC: "no_space",
  EBUSY: "exists",
};

/** What lower libs throw, as the caller is told of it. Their messages hold no secrets; what is not known here stays as it is. */
export function toAdminError(reason: unknown): unknown {
  if (reason instanceof ChunkStoreError) {
    return new RpcError(chunkStoreCode[reason.code], reason.message, { cause: reason });
  }
  if (reason instanceof CatalogError) {
    return new RpcError(catalogCode[reason.code], reason.message, { cause: reason });
  }
  if (reason instanceof ClusterKeyError) {
    return new RpcError(clusterKeyCode[reason.code], reason.message, { cause: reason });
  }
  if (reason instanceof TenantKeysError) {
    const message =
      reason.code === "kms_unavailable"
        ? `The key manager "${reason.provider}" of the tenant does not answer; see "kiseki doctor"`
        : reason.message;
    return new RpcError("unavailable", message, { cause: reason });
  }
  if (reason instanceof OldShardError) {
    return new RpcError("unavailable", reason.message, { cause: reason });
  }
  if (reason instanceof ShardStoreError && reason.code === "closed") {
    return new RpcError("unavailable", "The tenant is opening under new keys; try again", {
      cause: reason,
    });
  }
  if (reason instanceof DatapathError) {
    return new RpcError("unavailable", reason.message, { cause: reason });
  }
  const code =
    reason instanceof Error && "code" in reason ? systemCode[String(reason.code)] : undefined;
  return code === undefined
    ? reason
    : new RpcError(code, (reason as Error).message, { cause: reason });
}

type Refused = Extract<Outcome, { kind: "refused" }>["code"];

const refusals: Partial<Record<Refused, readonly [RpcErrorCode, string]>> = {
  namespace_exists: ["exists", "There is a bucket of this name"],
  namespace_not_empty: [
    "not_empty",
    "The bucket holds objects or their versions; delete them first",
  ],
  no_such_namespace: ["not_found", "There is no bucket of this name"],
  object_locked: ["not_empty", 'The bucket is held; see "kiseki hold list"'],
  invalid_hold: [
    "invalid",
    "A hold's id is 1 to 64 of letters, digits, '.', '_' and '-', and a bucket has 64 at most",
  ],
  no_such_hold: ["not_found", "There is no hold of this id"],
  retention_in_past: ["invalid", "A hold ends at a time to come"],
  no_space: [
    "no_space",
    "The data directory or its devices are full; delete something or add space",
  ],
  busy: ["unavailable", "Too many operations are waiting; try again"],
  closed: ["unavailable", "The shard is closing; try again"],
};
export function refusalError(code: Refused): RpcError {
  const [rpc, message] = refusals[code] ?? ["internal", `The shard refused: ${code}`];
  return new RpcError(rpc, message);
}
