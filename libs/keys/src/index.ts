/**
 * The tree of keys (KEYS §1): from cluster key, shares and the tenant's two secrets to every key that
 * seals a byte. Pure: crypto, chance and locked memory come in as parameters.
 *
 * A key is derived by HKDF-Expand under a label of its purpose and length-prefixed ids, handed out as
 * new bytes that the caller wipes; roots lie in `Secret` memory and end with the keyring. What is
 * stored sealed says version, kind and generation, and is bound to its row. Refused, as values and
 * never as an exception: damage, a later version, the wrong secret, another owner's share, a mistyped
 * recovery code (by group). Using a keyring after its disposal is a bug and asserts.
 */
export type { ExportedKeys, OpenedClusterKey } from "./cluster-key.ts";
export {
  clusterKeyGeneration,
  clusterKeySize,
  exportKeys,
  importKeys,
  newKeyExportHeader,
  newRecoverySecret,
  nodeSecretSize,
  openClusterKeyByCode,
  openClusterKeyByNode,
  readKeyExport,
  resealClusterKeyForNode,
  sealClusterKey,
} from "./cluster-key.ts";
export { ClusterKeyring, deriveMasterWrapKey } from "./cluster-keyring.ts";
export type { CustomerCipher, CustomerSeal } from "./customer-key.ts";
export { CustomerKey, resealCustomerSalt } from "./customer-key.ts";
export { deriveInfo } from "./derive.ts";
export { deriveChainKey, deriveRoot, KeysetKeyring } from "./keyset-keyring.ts";
export type { KeysetUse } from "./rules.ts";
export { canDropKeyset, droppableMasters, liveKeysets } from "./rules.ts";
export type { ShareOwner } from "./sealed-key.ts";
export {
  bindShare,
  openKey,
  sealedKeyGeneration,
  sealKey,
  shareContext,
  unbindShare,
} from "./sealed-key.ts";
export type { KeyTools, Secret } from "./secret.ts";
export { poolSecrets } from "./secret-pool.ts";
export { TenantKeyring } from "./tenant-keyring.ts";
