import {
  assert,
  type ChunkId,
  concatBytes,
  type Epoch,
  type Keyset,
  type SealId,
  type ShardId,
  type TenantId,
} from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { deriveKey, label, u64Field } from "./derive.ts";
import { type KeyTools, moveToSecret, type Secret } from "./secret.ts";

/** How a chunk's plaintext was changed before it was sealed; part of its DEK. Stored: append only. */
const chunkTransform = { none: 0, deflate: 1 } as const;
export type ChunkTransform = keyof typeof chunkTransform;

/**
 * HKDF-Extract(systemShare ‖ tenantShare), the root of all keys of one keyset; 32 bytes.
 * The caller wipes what it got.
 */
export function deriveRoot(
  crypto: Crypto,
  systemShare: Uint8Array,
  tenantShare: Uint8Array,
): Uint8Array {
  assert(systemShare.byteLength === 32 && tenantShare.byteLength === 32, "a share has 32 bytes");
  const both = concatBytes(systemShare, tenantShare);
  const root = crypto.hkdfExtract(label("root"), both);
  crypto.wipe(both);
  return root;
}

/** Key of a shard's MAC chain: from the system's share alone, so that replicas are checked without the tenant's KMS. */
export function deriveChainKey(
  crypto: Crypto,
  systemShare: Uint8Array,
  shard: ShardId,
): Uint8Array {
  assert(systemShare.byteLength === 32, "a share has 32 bytes");
  const root = crypto.hkdfExtract(label("chain-root"), systemShare);
  const key = deriveKey(crypto, root, "chain", shard);
  crypto.wipe(root);
  return key;
}

/**
 * All keys of one (tenant, keyset). Each method answers 32 new bytes that the caller wipes when it is
 * done, or hands to native memory; none is kept here. After disposal every method throws.
 */
export class KeysetKeyring implements Disposable {
  readonly tenant: TenantId;
  readonly keyset: Keyset;
  readonly #crypto: Crypto;
  readonly #root: Secret;

  /** Takes over `root` (from `deriveRoot`) and wipes it. */
  constructor(tools: KeyTools, tenant: TenantId, keyset: Keyset, root: Uint8Array) {
    assert(root.byteLength === 32, "a root has 32 bytes");
    this.tenant = tenant;
    this.keyset = keyset;
    this.#crypto = tools.crypto;
    this.#root = moveToSecret(tools, root);
  }
  /** The key of one sealing of one chunk. */
  chunkDek(chunkId: ChunkId, sealId: SealId, transform: ChunkTransform): Uint8Array {
    const how = Uint8Array.of(chunkTransform[transform]);
    return deriveKey(this.#crypto, this.#root.bytes, "chunk", chunkId, sealId, how);
  }
  /** Key that seals the secret salt of the object that has `checkSalt` (SSE-C). */
  customerSaltKey(checkSalt: Uint8Array): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "customer-salt", checkSalt);
  }
  /** Key of a shard file's pages; the VFS keeps it in a slot. `fileId` as in the file's name. */
  pageKey(fileId: Uint8Array): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "page", fileId);
  }
  /** Key that masks the WAL's frame checksums of a shard file. */
  walMaskKey(fileId: Uint8Array): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "wal-mask", fileId);
  }
  /** Key of the payloads of deltas of `shard` under `epoch`. */
  logKey(shard: ShardId, epoch: Epoch): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "log", shard, u64Field(epoch));
  }
  /** Key of the 16-byte tags of names in headers of deltas of `shard`. */
  nameTagKey(shard: ShardId): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "name-tag", shard);
  }
  /** Key of the sealed bounds of `shard`'s range. */
  boundsKey(shard: ShardId): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "bounds", shard);
  }
  /** Key of the tokens that listings of `shard` hand out. */
  listTokenKey(shard: ShardId): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "list-token", shard);
  }
  /** Key of the row hashes whose running sum shows a stale page of `shard`. */
  rowSumKey(shard: ShardId): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "row-sum", shard);
  }
  /** Key that seals the tenant's idKey and dirSecret in the key store. */
  tenantSecretKey(): Uint8Array {
    return deriveKey(this.#crypto, this.#root.bytes, "tenant-secret", this.tenant);
  }
  [Symbol.dispose](): void {
    this.#root[Symbol.dispose]();
  }
}
