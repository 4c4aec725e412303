import {
  assert,
  type ChunkId,
  chunkId,
  type InodeId,
  type Keyset,
  newBytes,
  sameBytes,
  type ShardId,
  type TenantId,
} from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { deriveKey, label } from "./derive.ts";
import type { KeysetKeyring } from "./keyset-keyring.ts";
import { type KeyTools, moveToSecret, type Secret } from "./secret.ts";

/** Entries of the cache of dirKeys, per tenant: two generations of this many. */
const dirKeysMax = 8192;

/** What a tenant's keyring is made of; the byte arrays are taken over and wiped. */
export interface TenantKeyringParts {
  readonly tenant: TenantId;
  /** The keyset for new writes; one of `keysets`. */
  readonly current: Keyset;
  /** One per live keyset; disposed with the keyring. */
  readonly keysets: readonly KeysetKeyring[];
  readonly idKey: Uint8Array;
  readonly dirSecret: Uint8Array;
  /** Chain keys come from the system's shares and are asked for by keyset. */
  readonly chainKey: (keyset: Keyset, shard: ShardId) => Uint8Array;
}

/**
 * An open tenant: the keyrings of its live keysets, and what hangs on the two secrets that never
 * change. Ids and dirKeys are equal in all keysets. Disposal wipes everything; then every method throws.
 */
export class TenantKeyring implements Disposable {
  readonly tenant: TenantId;
  readonly current: Keyset;
  readonly #crypto: Crypto;
  readonly #keysets: Map<Keyset, KeysetKeyring>;
  readonly #idKey: Secret;
  readonly #dirSecret: Secret;
  readonly #chainKey: TenantKeyringParts["chainKey"];
  #dirKeys = new Map<InodeId, Uint8Array>();
  #dirKeysOld = new Map<InodeId, Uint8Array>();
  readonly #tools: KeyTools;
  /** Made when first asked for. */
  #versionKey: Secret | undefined;
  #lastChainKey:
    { readonly keyset: Keyset; readonly shard: Uint8Array; readonly key: Secret } | undefined;
  #isOpen = true;

  constructor(tools: KeyTools, parts: TenantKeyringParts) {
    assert(
      parts.idKey.byteLength === 32 && parts.dirSecret.byteLength === 32,
      "a tenant's secrets have 32 bytes",
    );
    this.tenant = parts.tenant;
    this.current = parts.current;
    this.#tools = tools;
    this.#crypto = tools.crypto;
    this.#keysets = new Map(parts.keysets.map((keyring) => [keyring.keyset, keyring]));
    assert(this.#keysets.has(parts.current), "the current keyset is live");
    this.#idKey = moveToSecret(tools, parts.idKey);
    this.#dirSecret = moveToSecret(tools, parts.dirSecret);
    this.#chainKey = parts.chainKey;
  }
  /** False after disposal: ask `TenantKeys` for a new one. */
  get isOpen(): boolean {
    return this.#isOpen;
  }
  /** Live keysets, in no order. */
  get keysets(): Iterable<Keyset> {
    return this.#keysets.keys();
  }
  /** The keyring of `keyset` (default: the one for new writes), or `undefined` when it is not live. */
  keyset(keyset: Keyset): KeysetKeyring | undefined {
    assert(this.#isOpen, "a closed keyring is not used");
    return this.#keysets.get(keyset);
  }
  /** Wipes the keys of an older keyset that nothing is under any more; from then on it is not live. */
  forget(keyset: Keyset): void {
    assert(this.#isOpen, "a closed keyring is not used");
    assert(keyset !== this.current, "the current keyset is live");
    this.#keysets.get(keyset)?.[Symbol.dispose]();
    this.#keysets.delete(keyset);
  }
  /** The keyring for new writes. */
  get writing(): KeysetKeyring {
    const keyring = this.keyset(this.current);
    assert(keyring !== undefined, "the current keyset is live");
    return keyring;
  }
  /**
   * Key of the MAC chain of `shard` under `keyset`; 32 new bytes. The last one is kept while this is open: each commit asks
   * for it, and the key store has to open two seals to answer.
   */
  chainKey(keyset: Keyset, shard: ShardId): Uint8Array {
    const last = this.#lastChainKey;
    if (last !== undefined && last.keyset === keyset && sameBytes(last.shard, shard)) {
      return last.key.bytes.slice();
    }
    const key = this.#chainKey(keyset, shard);
    if (!this.#isOpen) return key;
    last?.key[Symbol.dispose]();
    const copy = moveToSecret(this.#tools, key.slice());
    this.#lastChainKey = { keyset, shard: shard.slice(), key: copy };
    return key;
  }
  /** HMAC-SHA-256(idKey, SHA-256 of the plaintext): equal content of one tenant has one id. */
  chunkIdOf(sha256: Uint8Array): ChunkId {
    assert(sha256.byteLength === 32, "a SHA-256 has 32 bytes");
    return chunkId(this.#crypto.hmacSha256(this.#idKey.bytes, sha256));
  }
  /**
   * AES-256(dirSecret, inode as 8 bytes little-endian ‖ 8 zeros): 16 bytes, a permutation, so without
   * collisions. Cached and shared: never written by anybody.
   */
  dirKey(inode: InodeId): Uint8Array {
    assert(this.#isOpen, "a closed keyring is not used");
    const known = this.#dirKeys.get(inode) ?? this.#dirKeysOld.get(inode);
    if (known) return known;
    const block = newBytes(16);
    new DataView(block.buffer).setBigUint64(0, inode, true);
    const key = this.#crypto.aesBlock(this.#dirSecret.bytes, block);
    if (this.#dirKeys.size >= dirKeysMax) {
      this.#dirKeysOld = this.#dirKeys;
      this.#dirKeys = new Map();
    }
    this.#dirKeys.set(inode, key);
    return key;
  }
  /**
   * Key of the hashes by which POSIX shows hidden names (STORE §3): from dirSecret, because a name
   * that users see may not change with a keyset. 32 new bytes.
   */
  hiddenNameKey(): Uint8Array {
    return this.#dirRootKey("hidden-name");
  }
  #dirRootKey(use: "hidden-name" | "version-id"): Uint8Array {
    const root = this.#crypto.hkdfExtract(label("dir-root"), this.#dirSecret.bytes);
    const key = deriveKey(this.#crypto, root, use);
    this.#crypto.wipe(root);
    return key;
  }
  /**
   * A version's number as clients see it: 16 bytes that show neither the number nor an order, the same
   * for ever (`docs/formats/version-id.md`).
   */
  versionId(version: bigint): Uint8Array {
    const id = newBytes(16);
    const view = new DataView(id.buffer);
    id.set(this.#versionBlock(version, 1), 0);
    view.setBigUint64(8, version ^ this.#versionMask(id), true);
    return id;
  }
  /** The number behind `versionId`; `undefined`: this tenant never gave that id. */
  versionOf(id: Uint8Array): bigint | undefined {
    if (id.byteLength !== 16) return undefined;
    const sealed = new DataView(id.buffer, id.byteOffset).getBigUint64(8, true);
    const version = sealed ^ this.#versionMask(id);
    return this.#crypto.equal(this.#versionBlock(version, 1), id.subarray(0, 8))
      ? version
      : undefined;
  }
  #versionMask(id: Uint8Array): bigint {
    const tag = new DataView(id.buffer, id.byteOffset).getBigUint64(0, true);
    return new DataView(this.#versionBlock(tag, 2).buffer).getBigUint64(0, true);
  }
  /** The first 8 bytes of AES-256(version key, value ‖ use ‖ 7 zeros). */
  #versionBlock(value: bigint, use: number): Uint8Array<ArrayBuffer> {
    assert(this.#isOpen, "a closed keyring is not used");
    this.#versionKey ??= moveToSecret(this.#tools, this.#dirRootKey("version-id"));
    const block = newBytes(16);
    new DataView(block.buffer).setBigUint64(0, value, true);
    block[8] = use;
    const first = newBytes(8);
    first.set(this.#crypto.aesBlock(this.#versionKey.bytes, block).subarray(0, 8));
    return first;
  }
  [Symbol.dispose](): void {
    this.#isOpen = false;
    this.#versionKey?.[Symbol.dispose]();
    this.#lastChainKey?.key[Symbol.dispose]();
    this.#lastChainKey = undefined;
    for (const keyring of this.#keysets.values()) keyring[Symbol.dispose]();
    this.#idKey[Symbol.dispose]();
    this.#dirSecret[Symbol.dispose]();
    this.#dirKeys.clear();
    this.#dirKeysOld.clear();
  }
}
