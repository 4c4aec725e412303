/** Flags of open(2) that the protocol carries, and what an open answers. */
export const openModes = {
  accessMask: 0o3,
  readOnly: 0o0,
  writeOnly: 0o1,
  readWrite: 0o2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  direct: 0o40000,
} as const;

const directIo = 1 << 0;
const keepCache = 1 << 1;
const cacheDirectory = 1 << 3;

/**
 * How the kernel may cache what is read and written by a handle opened with `flags`:
 *
 * - For reading or writing alone its page cache serves, and stays (`isFresh`) if it holds this very content.
 * - For both, never: a shared writable map needs such a handle, and fails (ENODEV) for want of a cache. Private maps work.
 * - For appending, never: the kernel would place the bytes where it believes the end to be.
 */
export function openReplyFlags(flags: number, isFresh: boolean): number {
  const access = flags & openModes.accessMask;
  const isReadOnly = access === openModes.readOnly;
  const isWriteOnly = access === openModes.writeOnly;
  const isAppending = (flags & openModes.append) !== 0 && !isReadOnly;
  if (isAppending || !(isReadOnly || isWriteOnly)) return directIo;
  return isFresh ? keepCache : 0;
}

/** The kernel reads another file in place of this one, by itself. */
export const passThrough: number = 1 << 7;

/** Entries of a directory stay in the kernel while `isFresh`; whoever lists anew fills the cache. */
export function directoryReplyFlags(isCached: boolean, isFresh: boolean): number {
  if (!isCached) return 0;
  return isFresh ? cacheDirectory | keepCache : cacheDirectory;
}
