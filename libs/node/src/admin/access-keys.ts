import type { AccessKeyInfo, AccessKeyLimits } from "@kiseki/catalog";
import { type TenantId, wallTime } from "@kiseki/base";
import { RpcError } from "@kiseki/rpc";
import type { AdminParts } from "./types.ts";

interface AccessKeyView {
  readonly accessKeyId: string;
  readonly user: string;
  readonly createdUnixMs: bigint;
  readonly isEnabled: boolean;
  /** JSON; empty: nothing is narrowed. */
  readonly policy: string;
  /** 0: never. */
  readonly expiresUnixMs: bigint;
  readonly description: string;
  readonly limits?: KeyLimitsView;
}
interface KeyLimitsView {
  readonly requestsPerSecond?: number;
  readonly burst?: number;
  readonly bytesPerSecond?: bigint;
  readonly requestsAtOnce?: number;
}
const toLimits = ({ bytesPerSecond, ...rest }: AccessKeyLimits): KeyLimitsView => ({
  ...rest,
  ...(bytesPerSecond === undefined ? {} : { bytesPerSecond: BigInt(bytesPerSecond) }),
});

/** All access keys of a tenant, oldest first, without secrets. */
export function listAccessKeys({ node }: AdminParts, tenant: TenantId): readonly AccessKeyView[] {
  const { catalog } = node.storage;
  const names = new Map(catalog.users(tenant).map(({ id, name }) => [id, name]));
  return catalog.accessKeys(tenant).map((key: AccessKeyInfo) => ({
    accessKeyId: key.id,
    user: names.get(key.user) ?? key.user,
    createdUnixMs: BigInt(key.created),
    isEnabled: !key.isDisabled,
    policy: key.policy ?? "",
    expiresUnixMs: BigInt(key.expires ?? 0),
    description: key.description,
    ...(key.limits === undefined ? {} : { limits: toLimits(key.limits) }),
  }));
}

function findKey(parts: AdminParts, tenant: TenantId, id: string): AccessKeyView {
  const key = listAccessKeys(parts, tenant).find(({ accessKeyId }) => accessKeyId === id);
  if (key === undefined) {
    throw new RpcError(
      "not_found",
      `There is no access key ${JSON.stringify(id.slice(0, 64))}; "kiseki access-key list" shows all`,
    );
  }
  return key;
}

/** The largest time of ECMAScript. */
const timeMax = 8_640_000_000_000_000n;

/** The secret is in this answer and nowhere else. @throws {RpcError} `not_found`: no such user. */
export function createAccessKey(
  parts: AdminParts,
  tenant: TenantId,
  given: {
    readonly user: string;
    readonly policy: string;
    readonly expiresUnixMs: bigint;
    readonly description: string;
  },
): { readonly accessKey: AccessKeyView; readonly secretAccessKey: string } {
  const { catalog } = parts.node.storage;
  const { user: userName, policy, expiresUnixMs, description } = given;
  const users = catalog.users(tenant);
  const user = users.find(({ name, isRoot }) => (userName === "" ? isRoot : name === userName));
  if (user === undefined) {
    throw new RpcError("not_found", `There is no user ${JSON.stringify(userName.slice(0, 64))}`);
  }
  if (expiresUnixMs > timeMax) throw new RpcError("invalid", "The key expires too late");
  const { id, secret } = catalog.createAccessKey(user.id, {
    ...(policy === "" ? {} : { policy }),
    ...(expiresUnixMs === 0n ? {} : { expires: wallTime(Number(expiresUnixMs)) }),
    description,
  });
  return { accessKey: findKey(parts, tenant, id), secretAccessKey: secret };
}

/** @throws {RpcError} `not_found`. */
export function setAccessKeyState(
  parts: AdminParts,
  tenant: TenantId,
  id: string,
  isEnabled: boolean,
): AccessKeyView {
  findKey(parts, tenant, id); // of this tenant
  parts.node.storage.catalog.setAccessKeyDisabled(id, !isEnabled);
  return findKey(parts, tenant, id);
}

const countMax = 2 ** 31;
const bytesMax = 2n ** 50n;

/** In the place of the key's limits. @throws {RpcError} `not_found`, `invalid`. */
export function setAccessKeyLimits(
  parts: AdminParts,
  tenant: TenantId,
  id: string,
  given: {
    readonly requestsPerSecond?: number | undefined;
    readonly burst?: number | undefined;
    readonly bytesPerSecond?: bigint | undefined;
    readonly requestsAtOnce?: number | undefined;
  },
): AccessKeyView {
  findKey(parts, tenant, id); // of this tenant
  const { requestsPerSecond, burst, bytesPerSecond, requestsAtOnce } = given;
  const counts = [requestsPerSecond, burst, requestsAtOnce];
  if (counts.some((each) => (each ?? 0) > countMax) || (bytesPerSecond ?? 0n) > bytesMax) {
    throw new RpcError(
      "invalid",
      "Cannot set these limits: counts are below 2^31, bytes below 2^50",
    );
  }
  parts.node.storage.catalog.setAccessKeyLimits(id, {
    ...(requestsPerSecond === undefined ? {} : { requestsPerSecond }),
    ...(burst === undefined ? {} : { burst }),
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond: Number(bytesPerSecond) }),
    ...(requestsAtOnce === undefined ? {} : { requestsAtOnce }),
  });
  return findKey(parts, tenant, id);
}

/** @throws {RpcError} `not_found`. */
export function deleteAccessKey(parts: AdminParts, tenant: TenantId, id: string): void {
  findKey(parts, tenant, id);
  parts.node.storage.catalog.deleteAccessKey(id);
}
