/** What a multipart object's ETag and checksum are, from those of its parts. */
import { assert, concatBytes, toHex } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import type { ChecksumAlgorithm, ObjectChecksum } from "./attributes.ts";
import { checksumSizes } from "./checksum.ts";
import { combineCrcs, crcOfSmall, type CrcAlgorithm } from "./crc-combine.ts";

/** `md5(md5 of part 1 ‖ …)-N`, without quotes. `md5s`: 16 bytes each, in part order, at least one. */
export function multipartEtag(crypto: Crypto, md5s: readonly Uint8Array[]): string {
  assert(md5s.length >= 1, "a multipart object has a part");
  assert(
    md5s.every((md5) => md5.byteLength === 16),
    "an MD5 has 16 bytes",
  );
  return `${toHex(crypto.md5(...md5s))}-${md5s.length}`;
}

/** A part's checksum and size, in part order. */
export interface PartChecksum {
  /** Of the upload's algorithm, big-endian. */
  readonly value: Uint8Array;
  /** In bytes. */
  readonly size: number;
}

function assertSizes(algorithm: ChecksumAlgorithm, parts: readonly PartChecksum[]): void {
  assert(parts.length >= 1, "a multipart object has a part");
  const size = checksumSizes[algorithm];
  assert(
    parts.every((part) => part.value.byteLength === size),
    "a checksum has its size",
  );
}

/** The checksum over the whole object's bytes from its parts' alone: CRCs are linear. */
export function fullObjectChecksum(
  algorithm: CrcAlgorithm,
  parts: readonly PartChecksum[],
): ObjectChecksum {
  assertSizes(algorithm, parts);
  const value = combineCrcs(algorithm, parts);
  return { algorithm, value, type: "FULL_OBJECT", partCount: 0 };
}

/** The checksum of the parts' checksums. `sha1` is handed in because `Crypto` has none. */
export function compositeChecksum(
  crypto: Crypto,
  algorithm: Exclude<ChecksumAlgorithm, "crc64nvme">,
  parts: readonly PartChecksum[],
  sha1: (source: Uint8Array) => Uint8Array,
): ObjectChecksum {
  assertSizes(algorithm, parts);
  const source = concatBytes(...parts.map((part) => part.value));
  const value =
    algorithm === "sha256"
      ? crypto.sha256(source)
      : algorithm === "sha1"
        ? sha1(source)
        : crcOfSmall(algorithm, source);
  return { algorithm, value, type: "COMPOSITE", partCount: parts.length };
}
