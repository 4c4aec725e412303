import { dlopen, FFIType } from "bun:ffi";

const exclusive = 2;
const isNotBlocking = 4;
let libc: { readonly symbols: { flock: (fd: number, operation: number) => number } } | undefined;

/** Takes flock(2)'s lock of an open file, held until it is closed or the process ends. False: another has it. */
export function tryLock(fd: number): boolean {
  libc ??= dlopen("libc.so.6", {
    flock: { args: [FFIType.int, FFIType.int], returns: FFIType.int },
  });
  return libc.symbols.flock(fd, exclusive | isNotBlocking) === 0;
}
