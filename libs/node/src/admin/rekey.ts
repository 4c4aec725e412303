import { toUuid } from "@kiseki/base";
import { defaultRegion } from "../gateway/handler.ts";
import { kmsKeyArn } from "../keys/key-name.ts";
import { rekeyTenant } from "../keys/rekey.ts";
import { findTenant } from "./tenants.ts";
import type { AdminParts } from "./types.ts";

/** @throws {RpcError} and what the tenant's keys throw. */
export async function rekey(parts: AdminParts, tenant: string, signal: AbortSignal) {
  const { storage, tenants } = parts.node;
  const rekeyParts = { tenantKeys: storage.tenantKeys, tenants };
  return { keyset: await rekeyTenant(rekeyParts, findTenant(parts, tenant), signal) };
}

export async function listKeysets(parts: AdminParts, word: string, signal: AbortSignal) {
  const { tenants, keysets: follower } = parts.node;
  const id = findTenant(parts, word);
  const tenant = await tenants.open(id, "read", signal);
  const keys = tenant.keys("read");
  const standing = follower.standing(id);
  const keysets = [...keys.keysets]
    .toSorted((a, b) => b - a)
    .map((keyset) => {
      const isCurrent = keyset === keys.current;
      const use = isCurrent ? undefined : standing?.old.get(keyset);
      return {
        keyset,
        isCurrent,
        isCounted: use !== undefined,
        chunkCount: BigInt(use?.chunks ?? 0),
        smallContentCount: BigInt(use?.smallContents ?? 0),
        shardFileCount: BigInt(use?.shardFiles ?? 0),
        logCount: BigInt(use?.logs ?? 0),
        customerSaltCount: BigInt(use?.customerSalts ?? 0),
      };
    });
  return { keysets, unreadableCount: BigInt(standing?.unreadable ?? 0) };
}

export function showKmsKey(parts: AdminParts, word: string) {
  const tenant = findTenant(parts, word);
  return { arn: kmsKeyArn(tenant, parts.settings.region || defaultRegion), keyId: toUuid(tenant) };
}

export function rotateMaster({ node }: AdminParts) {
  const epoch = BigInt(node.storage.tenantKeys.rotateMaster());
  node.ports.metrics.add("kiseki_key_rotation_total", 1);
  return { epoch };
}

export async function rotateKek(parts: AdminParts, word: string, signal: AbortSignal) {
  const tenant = findTenant(parts, word);
  const version = await parts.node.storage.tenantKeys.rotateKek(tenant, signal);
  parts.node.ports.metrics.add("kiseki_key_rotation_total", 1);
  return { version };
}
