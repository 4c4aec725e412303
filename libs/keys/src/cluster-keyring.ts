import { assert, type Prng, type TenantId } from "@kiseki/base";
import { deriveInfo, deriveKey, label, u32Field } from "./derive.ts";
import { openKey, sealKey, type SealedKeyOpenFault } from "./sealed-key.ts";
import { type KeyTools, moveToSecret, type Secret } from "./secret.ts";

/**
 * What the cluster key seals: pages of catalog and key store, masters, internal KEKs, session tokens; and what it vouches
 * for, rights to chunks and receipts. Lives as long
 * as the node runs; disposal wipes it, after which every method throws.
 */
export class ClusterKeyring implements Disposable {
  readonly #tools: KeyTools;
  readonly #root: Secret;

  /** Takes over `clusterKey` (32 bytes) and wipes it. */
  constructor(tools: KeyTools, clusterKey: Uint8Array) {
    assert(clusterKey.byteLength === 32, "a cluster key has 32 bytes");
    this.#tools = tools;
    this.#root = moveToSecret(tools, tools.crypto.hkdfExtract(label("cluster-root"), clusterKey));
    tools.crypto.wipe(clusterKey);
  }
  /** Key of the pages of the catalog's or key store's file; 32 new bytes. */
  pageKey(fileId: Uint8Array): Uint8Array {
    return deriveKey(this.#tools.crypto, this.#root.bytes, "cluster-page", fileId);
  }
  /** Key that masks WAL frame checksums of such a file; 32 new bytes. */
  walMaskKey(fileId: Uint8Array): Uint8Array {
    return deriveKey(this.#tools.crypto, this.#root.bytes, "cluster-wal-mask", fileId);
  }
  /** Seals the tokens of temporary credentials; 32 new bytes. */
  sessionTokenKey(): Uint8Array {
    return deriveKey(this.#tools.crypto, this.#root.bytes, "session-token");
  }
  /** Makes the secrets of temporary credentials; 32 new bytes. */
  sessionSecretKey(): Uint8Array {
    return deriveKey(this.#tools.crypto, this.#root.bytes, "session-secret");
  }
  /** Under which an owner gives rights to chunks; 32 new bytes. */
  capabilityKey(): Uint8Array {
    return deriveKey(this.#tools.crypto, this.#root.bytes, "capability");
  }
  /** Under which those who keep bytes say so; 32 new bytes. */
  receiptKey(): Uint8Array {
    return deriveKey(this.#tools.crypto, this.#root.bytes, "receipt");
  }
  /** Seals master[epoch] for the key store. */
  sealMaster(prng: Prng, epoch: number, master: Uint8Array): Uint8Array {
    const context = deriveInfo("master", u32Field(epoch));
    return this.#seal(prng, "master", context, master);
  }
  /** master[epoch], owned and wiped by the caller. */
  openMaster(epoch: number, stored: Uint8Array): Uint8Array | SealedKeyOpenFault {
    return this.#open("master", deriveInfo("master", u32Field(epoch)), stored);
  }
  /** Seals a KEK of the internal key manager. */
  sealKek(prng: Prng, tenant: TenantId, epoch: number, kek: Uint8Array): Uint8Array {
    const context = deriveInfo("internal-kek", tenant, u32Field(epoch));
    return this.#seal(prng, "internal_kek", context, kek);
  }
  /** The KEK, owned and wiped by the caller. */
  openKek(tenant: TenantId, epoch: number, stored: Uint8Array): Uint8Array | SealedKeyOpenFault {
    return this.#open("internal_kek", deriveInfo("internal-kek", tenant, u32Field(epoch)), stored);
  }
  #seal(
    prng: Prng,
    kind: "master" | "internal_kek",
    context: Uint8Array,
    secret: Uint8Array,
  ): Uint8Array {
    const { crypto } = this.#tools;
    const key = crypto.hkdfExpand(this.#root.bytes, context, 32);
    const stored = sealKey(crypto, prng, { key, kind, generation: 0, context }, secret);
    crypto.wipe(key);
    return stored;
  }
  #open(
    kind: "master" | "internal_kek",
    context: Uint8Array,
    stored: Uint8Array,
  ): Uint8Array | SealedKeyOpenFault {
    const { crypto } = this.#tools;
    const key = crypto.hkdfExpand(this.#root.bytes, context, 32);
    const secret = openKey(crypto, { key, kind, generation: 0, context }, stored);
    crypto.wipe(key);
    return secret;
  }
  [Symbol.dispose](): void {
    this.#root[Symbol.dispose]();
  }
}

/** Key under which master[epoch] wraps the system's shares; 32 new bytes. */
export function deriveMasterWrapKey(tools: KeyTools, master: Uint8Array): Uint8Array {
  assert(master.byteLength === 32, "a master has 32 bytes");
  const root = tools.crypto.hkdfExtract(label("master-root"), master);
  const key = deriveKey(tools.crypto, root, "share");
  tools.crypto.wipe(root);
  return key;
}
