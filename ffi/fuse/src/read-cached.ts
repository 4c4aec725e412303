import { loadNative } from "./symbols.ts";

/**
 * Fills `target` with an open file's bytes from `offset` on, if all of them are in the system's cache, so that nothing is waited for.
 * False: they are not, the file is shorter, or its file system cannot tell; `target` may have been written to.
 */
type ReadCached = (fd: number, target: Uint8Array, offset: number) => boolean;

export function openReadCached(nativeDirectory: string): ReadCached {
  const native = loadNative(nativeDirectory);
  return (fd, target, offset) =>
    target.byteLength === 0 ||
    native.kiseki_fuse_read_cached(fd, target, target.byteLength, offset) === 1;
}
