/**
 * INIT: what this client asks the kernel for. One table holds every flag of protocol 7.31 to 7.45 with what is done
 * about it and why; a flag is set only when it is wanted here and offered by the kernel.
 */
import { pagesMax, payloadSizeMax } from "./limits.ts";

type Decision = "always" | "locks" | "asking" | "passing" | "never";
interface FlagRow {
  /** Of the 64 bits that `flags` and `flags2` make. */
  readonly bit: number;
  readonly decision: Decision;
  readonly reason: string;
}

export const initFlags = {
  ASYNC_READ: { bit: 0, decision: "always", reason: "readahead in several requests at once" },
  POSIX_LOCKS: { bit: 1, decision: "locks", reason: "fcntl locks hold across clients" },
  FILE_OPS: { bit: 2, decision: "never", reason: "never used by any kernel" },
  ATOMIC_O_TRUNC: { bit: 3, decision: "always", reason: "open and truncate in one operation" },
  EXPORT_SUPPORT: { bit: 4, decision: "always", reason: '"." and ".." are looked up by node' },
  BIG_WRITES: { bit: 5, decision: "always", reason: "writes above a page" },
  DONT_MASK: { bit: 6, decision: "always", reason: "the umask comes along, the rule is here" },
  SPLICE_WRITE: { bit: 7, decision: "never", reason: "measured: no gain" },
  SPLICE_MOVE: { bit: 8, decision: "never", reason: "measured: no gain" },
  SPLICE_READ: { bit: 9, decision: "never", reason: "measured: large reads at half the speed" },
  FLOCK_LOCKS: { bit: 10, decision: "locks", reason: "flock holds across clients" },
  HAS_IOCTL_DIR: { bit: 11, decision: "never", reason: "no ioctl is served" },
  AUTO_INVAL_DATA: {
    bit: 12,
    decision: "asking",
    reason: "a GETATTR with every read once the attributes are old; else changes are notified",
  },
  DO_READDIRPLUS: { bit: 13, decision: "always", reason: "a listing brings attributes along" },
  READDIRPLUS_AUTO: { bit: 14, decision: "always", reason: "only where they are looked at" },
  ASYNC_DIO: { bit: 15, decision: "always", reason: "direct reads and writes of one call at once" },
  WRITEBACK_CACHE: {
    bit: 16,
    decision: "never",
    reason: "the kernel would own size and times: other clients would not see them",
  },
  NO_OPEN_SUPPORT: {
    bit: 17,
    decision: "never",
    reason: "every open chooses its flags: writable shared maps fail by them",
  },
  PARALLEL_DIROPS: { bit: 18, decision: "always", reason: "lookups of one directory at once" },
  HANDLE_KILLPRIV: { bit: 19, decision: "never", reason: "its second version is wanted" },
  POSIX_ACL: { bit: 20, decision: "never", reason: "mode, owner and group alone decide" },
  ABORT_ERROR: { bit: 21, decision: "always", reason: "an abort is told from an unmount" },
  MAX_PAGES: { bit: 22, decision: "always", reason: "requests of 1 MiB" },
  CACHE_SYMLINKS: { bit: 23, decision: "always", reason: "a target never changes under its node" },
  NO_OPENDIR_SUPPORT: {
    bit: 24,
    decision: "never",
    reason: "a listing belongs to its handle: cookies stay stable under change",
  },
  EXPLICIT_INVAL_DATA: {
    bit: 25,
    decision: "never",
    reason: "a file that grew must lose its last cached page, which ends in zeros",
  },
  MAP_ALIGNMENT: { bit: 26, decision: "never", reason: "no DAX" },
  SUBMOUNTS: { bit: 27, decision: "never", reason: "one namespace is one file system" },
  HANDLE_KILLPRIV_V2: {
    bit: 28,
    decision: "always",
    reason: "set-id bits fall in the write that ends them, without a look at xattrs before it",
  },
  SETXATTR_EXT: { bit: 29, decision: "always", reason: "the longer form of SETXATTR" },
  INIT_EXT: { bit: 30, decision: "always", reason: "the second word of flags" },
  SECURITY_CTX: { bit: 32, decision: "never", reason: "labels are not made at creation" },
  HAS_INODE_DAX: { bit: 33, decision: "never", reason: "no DAX" },
  CREATE_SUPP_GROUP: { bit: 34, decision: "never", reason: "the kernel checks groups itself" },
  HAS_EXPIRE_ONLY: { bit: 35, decision: "always", reason: "a name may end without its users" },
  DIRECT_IO_ALLOW_MMAP: {
    bit: 36,
    decision: "never",
    reason: "writable shared maps would work, and their changes reach nobody",
  },
  PASSTHROUGH: { bit: 37, decision: "passing", reason: "staged files that nobody can change" },
  NO_EXPORT_SUPPORT: { bit: 38, decision: "never", reason: "handles of files are served" },
  HAS_RESEND: { bit: 39, decision: "never", reason: "a request is answered by who read it" },
  ALLOW_IDMAP: { bit: 40, decision: "never", reason: "owners are stored as the kernel says them" },
  OVER_IO_URING: { bit: 41, decision: "never", reason: "off by default in kernels" },
  REQUEST_TIMEOUT: {
    bit: 42,
    decision: "never",
    reason: "a lock may be waited for as long as its holder likes",
  },
} as const satisfies Record<string, FlagRow>;
type InitFlag = keyof typeof initFlags;

const majorServed = 7;
export const minorMin = 31;
export const minorMax = 45;

/** What the kernel says first. */
export interface InitRequest {
  readonly major: number;
  readonly minor: number;
  readonly readaheadMax: number;
  readonly flags: bigint;
}
export interface InitOptions {
  /** Locks are asked of the file system; else the kernel keeps them for itself. */
  readonly hasLocks: boolean;
  /** Files may be opened that the kernel reads elsewhere by itself. */
  readonly isPassing?: boolean;
  /** No answer is good for any time: cached pages too are only read after asking. */
  readonly isAsking?: boolean;
  readonly readaheadMax: number;
  /** Requests that the kernel has under way on nobody's behalf: readahead, direct pieces. */
  readonly backgroundMax: number;
}
/** What both sides keep to from now on. */
export interface Negotiated {
  readonly minor: number;
  readonly flags: bigint;
  readonly readaheadMax: number;
  readonly backgroundMax: number;
  readonly writeSizeMax: number;
  readonly pagesMax: number;
}

export const hasFlag = (flags: bigint, name: InitFlag): boolean =>
  ((flags >> BigInt(initFlags[name].bit)) & 1n) === 1n;

/** `"again"`: a newer major; the kernel asks again after our own. `undefined`: a kernel older than 7.31. */
export function negotiate(
  init: InitRequest,
  options: InitOptions,
): Negotiated | "again" | undefined {
  if (init.major > majorServed) return "again";
  if (init.major < majorServed || init.minor < minorMin) return undefined;
  let flags = 0n;
  for (const { bit, decision } of Object.values(initFlags)) {
    const isWanted =
      decision === "always" ||
      (decision === "locks" && options.hasLocks) ||
      (decision === "passing" && options.isPassing === true) ||
      (decision === "asking" && options.isAsking === true);
    if (isWanted) flags |= init.flags & (1n << BigInt(bit));
  }
  return {
    minor: Math.min(init.minor, minorMax),
    flags,
    readaheadMax: Math.min(init.readaheadMax, options.readaheadMax),
    backgroundMax: options.backgroundMax,
    writeSizeMax: payloadSizeMax,
    pagesMax,
  };
}
