import { FFIType } from "bun:ffi";

const { ptr, u32, u64, i32, i64 } = FFIType;

/** Exports of `native/api.c` and `native/list.c`, name for name. */
export const symbols = {
  kiseki_slot_open: { args: [ptr], returns: i64 },
  kiseki_slot_close: { args: [u32], returns: i32 },
  kiseki_slot_is_open: { args: [u32], returns: i32 },
  kiseki_set_new: { args: [i32], returns: i32 },
  kiseki_set_member: { args: [i32, i32, ptr], returns: i32 },
  kiseki_set_start: { args: [i32, u32, ptr, u64, ptr, i64, ptr], returns: i32 },
  kiseki_set_close: { args: [i32], returns: i32 },
  kiseki_set_status: { args: [i32, ptr], returns: i32 },
  kiseki_file_exists: { args: [i32, ptr], returns: i32 },
  kiseki_file_rename: { args: [i32, ptr, ptr], returns: i32 },
  kiseki_file_delete: { args: [i32, ptr], returns: i32 },
  kiseki_file_scrub: { args: [i32, ptr, u32, u32, u32, ptr], returns: i32 },
  kiseki_committer_open: { args: [], returns: ptr },
  kiseki_committer_close: { args: [ptr], returns: FFIType.void },
  kiseki_committer_start: { args: [ptr, i32, ptr], returns: i32 },
  kiseki_committer_result: { args: [ptr], returns: i32 },
  kiseki_committer_frames: { args: [ptr], returns: i32 },
  kiseki_list_crc32c: { args: [u32, ptr, u64], returns: u32 },
} as const;
