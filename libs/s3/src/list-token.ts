/**
 * Continuation tokens: where a list goes on, signed so that nobody can make one up. A token holds
 * nothing that the page before it did not show. Layout: `docs/formats/list-token.md`.
 */
import { assert, concatBytes, newBytes, toUtf8 } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { invalidArgument, type S3Fault } from "./errors.ts";
import { keySizeMax } from "./key.ts";

/** Where a list begins. */
export type ListPosition =
  | { readonly kind: "start" }
  /** Behind this key. */
  | { readonly kind: "after_key"; readonly key: Uint8Array }
  /** Behind every key that begins so: it was shown as a common prefix. */
  | { readonly kind: "after_prefix"; readonly prefix: Uint8Array };

/** What a token is good for; elsewhere it counts as forged. */
export interface ListScope {
  readonly list: "objects" | "buckets";
  /** The bucket's name; empty for the list of buckets. */
  readonly bucket: string;
}

/** The `list-token` key of one keyset (KEYS §1), 32 bytes. */
export interface ListTokenKey {
  readonly keyset: number;
  readonly key: Uint8Array;
}

const version = 1;
const headerSize = 8;
const tagSize = 16;
const textSizeMax = Math.ceil(((headerSize + keySizeMax + tagSize) * 4) / 3);
const lists = { objects: 1, buckets: 2 } as const satisfies Record<ListScope["list"], number>;
const kinds = { after_key: 1, after_prefix: 2 } as const;

function tagOf(crypto: Crypto, key: Uint8Array, scope: ListScope, head: Uint8Array): Uint8Array {
  const bucket = toUtf8(scope.bucket);
  assert(bucket.byteLength <= 255, "a bucket's name has at most 255 bytes");
  // The head names its own length, so the bucket behind it cannot be read as part of it.
  return crypto
    .hmacSha256(key, toUtf8("kiseki/list-token/v1\0"), head, bucket)
    .subarray(0, tagSize);
}

/** The token for `position`, base64url text; equal input gives equal text. Position: at most 1024 bytes. */
export function sealListToken(
  crypto: Crypto,
  { keyset, key }: ListTokenKey,
  scope: ListScope,
  position: Exclude<ListPosition, { kind: "start" }>,
): string {
  const place = position.kind === "after_key" ? position.key : position.prefix;
  assert(place.byteLength <= keySizeMax, "a position is no longer than a key");
  const head = newBytes(headerSize + place.byteLength);
  const view = new DataView(head.buffer);
  view.setUint8(0, version);
  view.setUint8(1, (lists[scope.list] << 4) | kinds[position.kind]);
  view.setUint32(2, keyset, true);
  view.setUint16(6, place.byteLength, true);
  head.set(place, headerSize);
  const token = concatBytes(head, tagOf(crypto, key, scope, head));
  return token.toBase64({ alphabet: "base64url", omitPadding: true });
}

function decode(text: string): Uint8Array | undefined {
  if (text.length > textSizeMax || /[^A-Za-z0-9_-]/.test(text)) return undefined;
  try {
    return Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch (reason) {
    if (reason instanceof SyntaxError) return undefined; // the decoder's word for bad base64
    throw reason;
  }
}

/**
 * Where a token says to go on. The empty token, which S3 takes, is the start. Anything that
 * `sealListToken` did not make for this scope is `InvalidArgument`. `findKey` gives the key of a
 * keyset that may still be in use; older keysets than that make their tokens void.
 */
export function openListToken(
  crypto: Crypto,
  findKey: (keyset: number) => Uint8Array | undefined,
  scope: ListScope,
  text: string,
): ListPosition | S3Fault {
  if (text === "") return { kind: "start" };
  const refuse = (): S3Fault =>
    invalidArgument(
      "continuation-token",
      text.slice(0, 64),
      "The continuation token provided is incorrect",
    );
  const token = decode(text);
  if (token === undefined || token.byteLength < headerSize + tagSize) return refuse();
  const view = new DataView(token.buffer, token.byteOffset, token.byteLength);
  const size = view.getUint16(6, true);
  if (view.getUint8(0) !== version || size > keySizeMax) return refuse();
  if (token.byteLength !== headerSize + size + tagSize) return refuse();
  const key = findKey(view.getUint32(2, true));
  const head = token.subarray(0, headerSize + size);
  const tag = token.subarray(headerSize + size);
  if (key === undefined || !crypto.equal(tagOf(crypto, key, scope, head), tag)) return refuse();
  if (view.getUint8(1) >> 4 !== lists[scope.list]) return refuse();
  const place = head.slice(headerSize);
  switch (view.getUint8(1) & 15) {
    case kinds.after_key:
      return { kind: "after_key", key: place };
    case kinds.after_prefix:
      return { kind: "after_prefix", prefix: place };
    default:
      return refuse();
  }
}
