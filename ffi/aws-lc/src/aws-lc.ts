import { dlopen, type Pointer, suffix, toArrayBuffer } from "bun:ffi";
import { assert, concatBytes, newBytes } from "@kiseki/base";
import type { Crypto, RunningSha256 } from "@kiseki/ports";
import { abiVersion, sha256StateSize, symbols } from "./symbols.ts";

/** Locked native memory, left out of core dumps; zeroed when disposed, after which `bytes` throws. */
export interface Secret extends Disposable {
  readonly bytes: Uint8Array;
}

export interface AwsLc extends Crypto {
  /** Module and version, as `kiseki version` prints them. */
  readonly version: string;
  /** True for the FIPS build of AWS-LC. */
  readonly isFips: boolean;
  /** @throws {Error} when the system does not let `size` bytes be locked (RLIMIT_MEMLOCK). */
  openSecret(size: number): Secret;
  /**
   * From now on the system writes no core of this process, whatever limit and core pattern say, and no other
   * process of its user may trace it; for good. False when the system refuses.
   */
  forbidCoreDumps(): boolean;
}

type Symbols = ReturnType<typeof dlopen<typeof symbols>>["symbols"];

/** An empty view has no address of its own. */
const nothing = newBytes(1);
const address = (source: Uint8Array): Uint8Array => (source.byteLength === 0 ? nothing : source);
const joined = (parts: readonly Uint8Array[]): Uint8Array =>
  parts.length === 1 ? parts[0]! : concatBytes(...parts);

function openSecret(native: Symbols, size: number): Secret {
  assert(Number.isInteger(size) && size >= 1, "a secret has at least one byte");
  const pointer = native.kiseki_secret_open(size);
  if (pointer === null) {
    throw new Error(
      `Cannot lock ${size} bytes in memory: raise the limit of locked memory (ulimit -l, LimitMEMLOCK)`,
    );
  }
  let held: Uint8Array | undefined = new Uint8Array(toArrayBuffer(pointer as Pointer, 0, size));
  return {
    get bytes() {
      assert(held !== undefined, "the secret is still held");
      return held;
    },
    [Symbol.dispose]() {
      if (held) native.kiseki_secret_close(pointer as Pointer, size);
      held = undefined;
    },
  };
}

function startSha256(native: Symbols): RunningSha256 {
  let state: Uint8Array | undefined = newBytes(sha256StateSize);
  native.kiseki_sha256_start(state);
  return {
    update(source) {
      assert(state !== undefined, "a digest that was asked for has ended");
      if (source.byteLength > 0) native.kiseki_sha256_update(state, source, source.byteLength);
    },
    digest() {
      assert(state !== undefined, "a digest is asked for once");
      const digest = newBytes(32);
      native.kiseki_sha256_digest(state, digest);
      state = undefined;
      return digest;
    },
  };
}

function authenticatedCipher(native: Symbols): Pick<Crypto, "seal" | "open"> {
  const check = (key: Uint8Array, nonce: Uint8Array) =>
    assert(key.byteLength === 32 && nonce.byteLength === 12, "AES-256-GCM: key of 32, nonce of 12");
  return {
    seal(key, nonce, aad, plaintext) {
      check(key, nonce);
      const target = new Uint8Array(plaintext.byteLength + 16);
      const { byteLength: size } = plaintext;
      const ok = native.kiseki_gcm_seal(
        key,
        nonce,
        address(aad),
        aad.byteLength,
        address(plaintext),
        size,
        target,
      );
      assert(ok === 1, "AES-256-GCM seals what fits in memory");
      return target;
    },
    open(key, nonce, aad, sealed) {
      check(key, nonce);
      if (sealed.byteLength < 16) return undefined;
      const target = newBytes(sealed.byteLength - 16);
      const { byteLength: size } = sealed;
      const ok = native.kiseki_gcm_open(
        key,
        nonce,
        address(aad),
        aad.byteLength,
        sealed,
        size,
        address(target),
      );
      return ok === 1 ? target : undefined;
    },
  };
}

/** Where digests are computed: bytes with a buffer of their own cost several times a small array without one. */
const digestRoom = newBytes(32);

/** A copy of what was computed. */
function digest(size: number, isDone: unknown): Uint8Array {
  assert(isDone !== 0, "the digest was computed");
  return digestRoom.slice(0, size);
}

/** As `digest`, of a key: nothing of it stays behind. */
function secretDigest(isDone: number): Uint8Array {
  const key = digest(32, isDone);
  digestRoom.fill(0);
  return key;
}

function keyDerivation(native: Symbols): Pick<AwsLc, "hkdfExtract" | "hkdfExpand"> {
  return {
    hkdfExtract: (salt, secret) =>
      secretDigest(
        native.kiseki_hkdf_extract(
          address(salt),
          salt.byteLength,
          address(secret),
          secret.byteLength,
          digestRoom,
        ),
      ),
    hkdfExpand(prk, info, size) {
      assert(size >= 1 && size <= 8160, "HKDF expands to [1, 8160] bytes");
      const target = size === 32 ? digestRoom : newBytes(size);
      const isDone = native.kiseki_hkdf_expand(
        prk,
        prk.byteLength,
        address(info),
        info.byteLength,
        target,
        size,
      );
      if (target === digestRoom) return secretDigest(isDone);
      assert(isDone !== 0, "the key was derived");
      return target;
    },
  };
}

/** Loads `libkiseki-aws-lc` from `directory` (built by `scripts/native`). @throws {Error} if it is not there. */
export function openAwsLc(directory: string): AwsLc {
  const native = dlopen(`${directory}/libkiseki-aws-lc.${suffix}`, symbols).symbols;
  assert(native.kiseki_aws_lc_abi() === abiVersion, "native and TypeScript sides agree on the ABI");
  return {
    version: String(native.kiseki_aws_lc_version()),
    isFips: native.kiseki_aws_lc_fips() === 1,
    openSecret: (size) => openSecret(native, size),
    forbidCoreDumps: () => native.kiseki_core_dumps_forbid() === 1,
    startSha256: () => startSha256(native),
    ...authenticatedCipher(native),
    sha256(...parts) {
      const source = joined(parts);
      return digest(32, native.kiseki_sha256(address(source), source.byteLength, digestRoom));
    },
    hmacSha256(key, ...parts) {
      const source = joined(parts);
      const isDone = native.kiseki_hmac_sha256(
        address(key),
        key.byteLength,
        address(source),
        source.byteLength,
        digestRoom,
      );
      return digest(32, isDone);
    },
    md5(...parts) {
      const source = joined(parts);
      return digest(16, native.kiseki_md5(address(source), source.byteLength, digestRoom));
    },
    ...keyDerivation(native),
    aesBlock(key, block) {
      assert(key.byteLength === 32 && block.byteLength === 16, "AES-256: key of 32, block of 16");
      return digest(16, native.kiseki_aes_block(key, block, digestRoom));
    },
    equal: (a, b) =>
      a.byteLength === b.byteLength &&
      native.kiseki_equal(address(a), address(b), a.byteLength) === 1,
    crc32c: (initial, source) =>
      source.byteLength === 0 ? initial : native.kiseki_crc32c(initial, source, source.byteLength),
    wipe(secret) {
      if (secret.byteLength > 0) native.kiseki_wipe(secret, secret.byteLength);
    },
  };
}
