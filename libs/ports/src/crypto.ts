/** A digest that grows; `digest` may be asked once, and ends it. */
export interface RunningSha256 {
  update(source: Uint8Array): void;
  digest(): Uint8Array;
}

/**
 * Synchronous cryptography on small inputs, for layers that may not wait. Bulk bytes go through
 * `Datapath`. Every returned array is new and owned by the caller; sources are borrowed.
 */
export interface Crypto {
  /** SHA-256 (FIPS 180-4) of the parts one after another; 32 bytes. */
  sha256(...parts: readonly Uint8Array[]): Uint8Array;
  /** SHA-256 of bytes that come in pieces. */
  startSha256(): RunningSha256;
  /** HMAC-SHA-256 (FIPS 198-1); 32 bytes. */
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** MD5 (RFC 1321), for ETag and Content-MD5 only; 16 bytes. */
  md5(...parts: readonly Uint8Array[]): Uint8Array;
  /** HKDF-Extract with SHA-256 (RFC 5869); 32 bytes. */
  hkdfExtract(salt: Uint8Array, secret: Uint8Array): Uint8Array;
  /** HKDF-Expand with SHA-256 (RFC 5869); `size` in `[1, 8160]`. */
  hkdfExpand(prk: Uint8Array, info: Uint8Array, size: number): Uint8Array;
  /** One block of AES-256 (FIPS 197), encrypted: a keyed permutation of 16 bytes. Key of 32 bytes. */
  aesBlock(key: Uint8Array, block: Uint8Array): Uint8Array;
  /** AES-256-GCM (SP 800-38D): ciphertext ‖ 16-byte tag. Key 32, nonce 12 bytes, never used twice. */
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** The plaintext, or `undefined` when the tag does not fit. */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
  /** Time depends on the sizes alone. Arrays of different size are not equal. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  /** CRC-32C (Castagnoli, RFC 3720 §B.4), continued from `initial` (0 to begin). */
  crc32c(initial: number, source: Uint8Array): number;
  /** Overwrites secret bytes with zeros in a way that the engine may not drop. */
  wipe(secret: Uint8Array): void;
}
