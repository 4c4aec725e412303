import { FFIType } from "bun:ffi";

export const abiVersion = 1;
/** Bytes that a running SHA-256 needs (`KISEKI_SHA256_STATE_SIZE`). */
export const sha256StateSize = 128;

const { ptr, u64, u32, i32, cstring } = FFIType;
const nothing = FFIType.void;

/** `native/aws_lc.c` and `native/crc32c.c`, name for name. */
export const symbols = {
  kiseki_aws_lc_abi: { args: [], returns: u32 },
  kiseki_aws_lc_version: { args: [], returns: cstring },
  kiseki_aws_lc_fips: { args: [], returns: i32 },
  kiseki_sha256: { args: [ptr, u64, ptr], returns: nothing },
  kiseki_sha256_start: { args: [ptr], returns: nothing },
  kiseki_sha256_update: { args: [ptr, ptr, u64], returns: nothing },
  kiseki_sha256_digest: { args: [ptr, ptr], returns: nothing },
  kiseki_hmac_sha256: { args: [ptr, u64, ptr, u64, ptr], returns: i32 },
  kiseki_md5: { args: [ptr, u64, ptr], returns: nothing },
  kiseki_hkdf_extract: { args: [ptr, u64, ptr, u64, ptr], returns: i32 },
  kiseki_hkdf_expand: { args: [ptr, u64, ptr, u64, ptr, u64], returns: i32 },
  kiseki_aes_block: { args: [ptr, ptr, ptr], returns: i32 },
  kiseki_gcm_seal: { args: [ptr, ptr, ptr, u64, ptr, u64, ptr], returns: i32 },
  kiseki_gcm_open: { args: [ptr, ptr, ptr, u64, ptr, u64, ptr], returns: i32 },
  kiseki_equal: { args: [ptr, ptr, u64], returns: i32 },
  kiseki_wipe: { args: [ptr, u64], returns: nothing },
  kiseki_secret_open: { args: [u64], returns: ptr },
  kiseki_secret_close: { args: [ptr, u64], returns: nothing },
  kiseki_core_dumps_forbid: { args: [], returns: i32 },
  kiseki_crc32c: { args: [u32, ptr, u64], returns: u32 },
} as const;
