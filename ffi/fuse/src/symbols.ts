import { dlopen, FFIType, suffix } from "bun:ffi";
import { assert } from "@kiseki/base";

const abiVersion = 6;
const { ptr, u32, u64, i32, function: callback } = FFIType;
const nothing = FFIType.void;

/** `native/*.c`, name for name. */
const symbols = {
  kiseki_fuse_abi: { args: [], returns: u32 },
  kiseki_fuse_mount: { args: [ptr, ptr, ptr, u32], returns: i32 },
  kiseki_fuse_mount_by_helper: { args: [ptr, ptr, ptr], returns: i32 },
  kiseki_fuse_unmount: { args: [ptr, u32], returns: i32 },
  kiseki_fuse_unmount_by_helper: { args: [ptr, ptr, u32], returns: i32 },
  kiseki_fuse_start: { args: [i32, u32, u32, u32, callback], returns: ptr },
  kiseki_fuse_stop: { args: [ptr], returns: nothing },
  kiseki_fuse_memory: { args: [ptr], returns: ptr },
  kiseki_fuse_control_size: { args: [], returns: u32 },
  kiseki_fuse_drain: { args: [ptr], returns: u32 },
  kiseki_fuse_ended: { args: [ptr], returns: i32 },
  kiseki_fuse_release: { args: [ptr, u32], returns: i32 },
  kiseki_fuse_reply: { args: [ptr, u32, ptr, u32, ptr, u32], returns: i32 },
  kiseki_fuse_reply_slot: { args: [ptr, u32, ptr, u32, u32, u32], returns: i32 },
  kiseki_fuse_trim: { args: [ptr], returns: nothing },
  kiseki_fuse_backing_open: { args: [ptr, i32], returns: i32 },
  kiseki_fuse_backing_close: { args: [ptr, u32], returns: i32 },
  kiseki_fuse_read_cached: { args: [i32, ptr, u64, u64], returns: i32 },
  kiseki_fuse_quiet: { args: [ptr, u64, u32], returns: nothing },
  kiseki_fuse_vouch: { args: [ptr, u64, u32], returns: nothing },
  kiseki_fuse_withdraw: { args: [ptr, u64], returns: nothing },
  kiseki_fuse_take: { args: [ptr, u64, ptr], returns: u32 },
  kiseki_fuse_take_all: { args: [ptr, ptr, u32], returns: u32 },
  kiseki_fuse_lent_max: { args: [ptr], returns: u32 },
  kiseki_fuse_lend: {
    args: [ptr, u32, i32, u64, u64, u64, u32, u32, u32, u32, u32],
    returns: i32,
  },
  kiseki_fuse_take_back: { args: [ptr, u32], returns: nothing },
  kiseki_fuse_vouch_reads: { args: [ptr, u64, u64, u32], returns: nothing },
  kiseki_fuse_withdraw_reads: { args: [ptr, u64], returns: nothing },
  kiseki_fuse_notify: { args: [ptr, u32, ptr, u32], returns: i32 },
  kiseki_fuse_notices_failed: { args: [ptr], returns: u32 },
} as const;

export type Native = ReturnType<typeof dlopen<typeof symbols>>["symbols"];

/** `libkiseki-fuse` out of `directory` (built by `scripts/native`). @throws {Error} when it is not there. */
export function loadNative(directory: string): Native {
  const native = dlopen(`${directory}/libkiseki-fuse.${suffix}`, symbols).symbols;
  const version = native.kiseki_fuse_abi();
  assert(version === abiVersion, `libkiseki-fuse has ABI ${abiVersion}, not ${version}`);
  return native;
}
