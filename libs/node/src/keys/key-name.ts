import { toUuid, type TenantId } from "@kiseki/base";

/** Twelve digits that stand for the tenant where AWS shows an account: its id as a number, cut. */
export function accountOf(tenant: TenantId): string {
  let number = 0n;
  for (const byte of tenant) number = (number << 8n) | BigInt(byte);
  return String(number % 1_000_000_000_000n).padStart(12, "0");
}

/** How S3 names the key that wraps the tenant's shares; there is one a tenant, and none other can be asked for. */
export function kmsKeyArn(tenant: TenantId, region: string): string {
  return `arn:aws:kms:${region}:${accountOf(tenant)}:key/${toUuid(tenant)}`;
}

/** S3's own key of an account, which here is the tenant's too. */
const ownAlias = "alias/aws/s3";

/** Whether `keyId` names the tenant's key: by id, by ARN in whichever region, or as S3's own key. */
export function isOwnKmsKey(tenant: TenantId, keyId: string): boolean {
  if (keyId === toUuid(tenant) || keyId === ownAlias) return true;
  const [arn, , service, , account, ...name] = keyId.split(":");
  if (arn !== "arn" || service !== "kms" || account !== accountOf(tenant)) return false;
  const resource = name.join(":");
  return resource === `key/${toUuid(tenant)}` || resource === ownAlias;
}
