import { dlopen, FFIType, suffix } from "bun:ffi";
import { assert } from "@kiseki/base";

const abiVersion = 6;
const { ptr, u32, u64, i32, f64, function: callback } = FFIType;
const nothing = FFIType.void;

/** `native/pool.c`, name for name. */
const symbols = {
  kiseki_datapath_abi: { args: [], returns: u32 },
  kiseki_datapath_open: { args: [u64, u32, u32, u32], returns: ptr },
  kiseki_datapath_close: { args: [ptr], returns: i32 },
  kiseki_datapath_attach: { args: [ptr, callback], returns: ptr },
  kiseki_datapath_detach: { args: [ptr], returns: u32 },
  kiseki_datapath_records: { args: [ptr], returns: ptr },
  kiseki_datapath_arena: { args: [ptr], returns: ptr },
  kiseki_datapath_arena_size: { args: [ptr], returns: f64 },
  kiseki_datapath_submit: { args: [ptr, u32], returns: i32 },
  kiseki_datapath_run: { args: [ptr, u32], returns: i32 },
  kiseki_datapath_drain: { args: [ptr], returns: u32 },
  kiseki_datapath_lend: { args: [ptr, f64], returns: f64 },
  kiseki_datapath_give_back: { args: [ptr, f64], returns: i32 },
  kiseki_datapath_starve: { args: [ptr, u32], returns: nothing },
  kiseki_datapath_lent: { args: [ptr], returns: f64 },
  kiseki_datapath_hash_open: { args: [ptr, u32], returns: i32 },
  kiseki_datapath_hash_close: { args: [ptr, u32], returns: i32 },
  kiseki_datapath_digest: { args: [ptr, u32], returns: i32 },
} as const;

export type Native = ReturnType<typeof dlopen<typeof symbols>>["symbols"];

/** `libkiseki-datapath` out of `directory` (built by `scripts/native`). @throws {Error} when it is not there. */
export function loadNative(directory: string): Native {
  const native = dlopen(`${directory}/libkiseki-datapath.${suffix}`, symbols).symbols;
  const version = native.kiseki_datapath_abi();
  assert(version === abiVersion, `libkiseki-datapath has ABI ${version}, not ${abiVersion}`);
  return native;
}
