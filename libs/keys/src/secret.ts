import type { Crypto } from "@kiseki/ports";

/** Memory for keys: locked, left out of core dumps, zeroed when disposed. */
export interface Secret extends Disposable {
  /** Throws after disposal. */
  readonly bytes: Uint8Array;
}
/** `openSecret` of `ffi/aws-lc`; plain bytes in simulations. */
export type OpenSecret = (size: number) => Secret;

/** Crypto, and memory fit for its keys. */
export interface KeyTools {
  readonly crypto: Crypto;
  readonly openSecret: OpenSecret;
}

/** Moves `source` into a secret of its own and wipes `source`. */
export function moveToSecret(tools: KeyTools, source: Uint8Array): Secret {
  const secret = tools.openSecret(source.byteLength);
  secret.bytes.set(source);
  tools.crypto.wipe(source);
  return secret;
}
