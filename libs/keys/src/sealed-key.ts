import {
  assert,
  concatBytes,
  type Keyset,
  newBytes,
  type Prng,
  type TenantId,
  toUtf8,
} from "@kiseki/base";
import {
  decodeBoundShare,
  decodeSealedKey,
  encodeBoundShare,
  encodeSealedKey,
  encodeSealedKeyHeader,
  sealedKeyPlaintextSizeMax,
  type SealedKeyKind,
  shareSize,
} from "@kiseki/format";
import type { Crypto } from "@kiseki/ports";
import { deriveInfo, u32Field } from "./derive.ts";

/**
 * `damaged`: not what this program wrote, or under another key (GCM cannot tell these apart).
 * `unknown_version`: written by a later program, or not at all.
 * `wrong_owner`: opens, but belongs to another tenant, keyset or purpose.
 */
export type SealedKeyOpenFault = "damaged" | "unknown_version" | "wrong_owner";

/** What a secret is sealed under and as. `context` binds it to its row and is not stored. */
export interface SealPlace {
  /** 32 bytes, borrowed. */
  readonly key: Uint8Array;
  readonly kind: SealedKeyKind;
  /** Generation of `key`: master epoch, keyset, KEK epoch; 0 for the cluster key. */
  readonly generation: number;
  readonly context: Uint8Array;
}

/** Seals up to 4 KiB under a random nonce; the bytes to store. `prng` is the secure one. */
export function sealKey(
  crypto: Crypto,
  prng: Prng,
  place: SealPlace,
  plaintext: Uint8Array,
): Uint8Array {
  assert(plaintext.byteLength <= sealedKeyPlaintextSizeMax, "a secret has at most 4 KiB");
  const { kind, generation } = place;
  const nonce = prng.fill(newBytes(12));
  const aad = concatBytes(encodeSealedKeyHeader(kind, generation), place.context);
  const sealed = crypto.seal(place.key, nonce, aad, plaintext);
  return encodeSealedKey({ kind, generation, nonce, sealed });
}

/** The plaintext, owned by the caller, who wipes it; or why there is none. */
export function openKey(
  crypto: Crypto,
  place: SealPlace,
  stored: Uint8Array,
): Uint8Array | SealedKeyOpenFault {
  const record = decodeSealedKey(stored, place.kind);
  if (record === "bad_version") return "unknown_version";
  if (typeof record === "string") return "damaged";
  if (record.generation !== place.generation) return "damaged";
  const aad = concatBytes(encodeSealedKeyHeader(place.kind, place.generation), place.context);
  return crypto.open(place.key, record.nonce, aad, record.sealed) ?? "damaged";
}

/** The generation of the key under which `stored` lies, or `undefined` when it is no record of `kind`. */
export function sealedKeyGeneration(kind: SealedKeyKind, stored: Uint8Array): number | undefined {
  const record = decodeSealedKey(stored, kind);
  return typeof record === "string" ? undefined : record.generation;
}

/** The two halves of a root. */
export type SharePurpose = "system" | "tenant";
export interface ShareOwner {
  readonly tenant: TenantId;
  readonly keyset: Keyset;
  readonly purpose: SharePurpose;
}

/** Context of a share: AAD where a provider binds it. */
export function shareContext(owner: ShareOwner): Uint8Array {
  return deriveInfo("share", owner.tenant, u32Field(owner.keyset), toUtf8(owner.purpose));
}

function shareBinding(crypto: Crypto, owner: ShareOwner): Uint8Array {
  const { tenant, keyset, purpose } = owner;
  return crypto.sha256(deriveInfo("share-binding", tenant, u32Field(keyset), toUtf8(purpose)));
}

/** share ‖ SHA-256(tenant, keyset, purpose): the 64 bytes that are wrapped. The caller wipes them. */
export function bindShare(crypto: Crypto, owner: ShareOwner, share: Uint8Array): Uint8Array {
  assert(share.byteLength === shareSize, "a share has 32 bytes");
  return encodeBoundShare(share, shareBinding(crypto, owner));
}

/** The share of what was unwrapped, as new bytes, after its owner was checked. Wipes `unwrapped`. */
export function unbindShare(
  crypto: Crypto,
  owner: ShareOwner,
  unwrapped: Uint8Array,
): Uint8Array | SealedKeyOpenFault {
  const parts = decodeBoundShare(unwrapped);
  if (!parts) {
    crypto.wipe(unwrapped);
    return "damaged";
  }
  const isOwn = crypto.equal(parts.binding, shareBinding(crypto, owner));
  const share = newBytes(shareSize);
  if (isOwn) share.set(parts.share);
  crypto.wipe(unwrapped);
  return isOwn ? share : "wrong_owner";
}
