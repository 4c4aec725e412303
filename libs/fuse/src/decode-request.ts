import { Cursor, Malformed } from "./cursor.ts";
import { errnos } from "./errno.ts";
import {
  headSize,
  linkSizeMax,
  nameSizeMax,
  payloadSizeMax,
  xattrNameSizeMax,
  xattrValueSizeMax,
} from "./limits.ts";
import { isAnswered, type Opcode, opcodeOf } from "./opcodes.ts";
import type {
  AttributeChange,
  FuseRequest,
  LockRange,
  RequestFault,
  RequestHead,
  RequestKind,
  RequestOf,
  TimeChange,
} from "./request.ts";

/** What earlier messages settled about the form of later ones. */
export interface WireForm {
  /** SETXATTR_EXT was negotiated. */
  readonly hasLongSetxattr: boolean;
}

type Body<Kind extends RequestKind> = Omit<RequestOf<Kind>, keyof RequestHead | "kind">;
type Decoder<Kind extends RequestKind> = (cursor: Cursor, form: WireForm) => Body<Kind>;

const changes = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  accessedAt: 1 << 4,
  modifiedAt: 1 << 5,
  handle: 1 << 6,
  accessedNow: 1 << 7,
  modifiedNow: 1 << 8,
  changedAt: 1 << 10,
  endsPrivileges: 1 << 11,
} as const;

const releaseEndsFlock = 1 << 1;
const writeEndsPrivileges = 1 << 2;
const openEndsPrivileges = 1 << 0;
const lockIsFlock = 1 << 0;
const getattrHasHandle = 1 << 0;
const syncIsDataOnly = 1 << 0;
/** `F_RDLCK`, `F_WRLCK`, `F_UNLCK`. */
const lockTypes = ["read", "write", "unlock"] as const;
const nanosecondsMax = 1_000_000_000;

const has = (bits: number, bit: number): boolean => (bits & bit) !== 0;

/** A count of bytes that somebody wants back. */
function wanted(size: number): number {
  if (size > payloadSizeMax) throw new Malformed(`asks for ${size} bytes`);
  return size;
}

function time(seconds: bigint, nanoseconds: number): bigint {
  if (nanoseconds >= nanosecondsMax) throw new Malformed(`${nanoseconds} nanoseconds in a second`);
  return seconds * BigInt(nanosecondsMax) + BigInt(nanoseconds);
}

function setattr(cursor: Cursor): Body<"setattr"> {
  const valid = cursor.u32();
  cursor.skip(4);
  const handle = cursor.id();
  const size = cursor.size();
  cursor.skip(8); // owner of locks
  const seconds = [cursor.seconds(), cursor.seconds(), cursor.seconds()] as const;
  const nanoseconds = [cursor.u32(), cursor.u32(), cursor.u32()] as const;
  const mode = cursor.u32();
  cursor.skip(4);
  const uid = cursor.u32();
  const gid = cursor.u32();
  cursor.skip(4);
  const timeOf = (index: 0 | 1 | 2, bit: number, now: number): TimeChange | undefined =>
    has(valid, now)
      ? "now"
      : has(valid, bit)
        ? time(seconds[index], nanoseconds[index])
        : undefined;
  const accessedAt = timeOf(0, changes.accessedAt, changes.accessedNow);
  const modifiedAt = timeOf(1, changes.modifiedAt, changes.modifiedNow);
  const change: AttributeChange = {
    ...(has(valid, changes.mode) && { mode: mode & 0o7777 }),
    ...(has(valid, changes.uid) && { uid }),
    ...(has(valid, changes.gid) && { gid }),
    ...(has(valid, changes.size) && { size }),
    ...(accessedAt !== undefined && { accessedAt }),
    ...(modifiedAt !== undefined && { modifiedAt }),
    ...(has(valid, changes.changedAt) && { changedAt: time(seconds[2], nanoseconds[2]) }),
    endsPrivileges: has(valid, changes.endsPrivileges),
  };
  return { handle: has(valid, changes.handle) ? handle : undefined, change };
}

function lockRange(cursor: Cursor): LockRange {
  const start = cursor.u64();
  const end = cursor.u64();
  const type = lockTypes[cursor.u32()];
  if (type === undefined || start > end) throw new Malformed("no lock");
  return { start, end, type, pid: cursor.u32() };
}
function locking(cursor: Cursor): Body<"setlk"> {
  const handle = cursor.id();
  const owner = cursor.u64();
  const lock = lockRange(cursor);
  const flags = cursor.u32();
  cursor.skip(4);
  return { handle, owner, lock, isFlock: has(flags, lockIsFlock) };
}
function releasing(cursor: Cursor): Body<"release"> {
  const handle = cursor.id();
  const flags = cursor.u32();
  const endsFlock = has(cursor.u32(), releaseEndsFlock);
  return { handle, flags, endsFlock, owner: cursor.u64() };
}
function reading(cursor: Cursor): Body<"read"> {
  const handle = cursor.id();
  const offset = cursor.size();
  const size = wanted(cursor.u32());
  cursor.skip(12); // flags of the read, owner of locks
  const flags = cursor.u32();
  cursor.skip(4);
  return { handle, offset, size, flags };
}
function writing(cursor: Cursor): Body<"write"> {
  const handle = cursor.id();
  const offset = cursor.size();
  const size = wanted(cursor.u32());
  const bits = cursor.u32();
  cursor.skip(8); // owner of locks
  const flags = cursor.u32();
  cursor.skip(4);
  const data = cursor.bytes(size);
  return { handle, offset, flags, data, endsPrivileges: has(bits, writeEndsPrivileges) };
}
function syncing(cursor: Cursor): Body<"fsync"> {
  const handle = cursor.id();
  const isDataOnly = has(cursor.u32(), syncIsDataOnly);
  cursor.skip(4);
  return { handle, isDataOnly };
}
function renaming(isLong: boolean): Decoder<"rename"> {
  return (cursor) => {
    const newParent = cursor.id();
    const flags = isLong ? cursor.u32() : 0;
    if (isLong) cursor.skip(4);
    const name = cursor.name(nameSizeMax);
    return { newParent, flags, name, newName: cursor.name(nameSizeMax) };
  };
}
function copying(isWide: boolean): Decoder<"copy_file_range"> {
  return (cursor) => {
    const handle = cursor.id();
    const offset = cursor.size();
    const targetNode = cursor.id();
    const targetHandle = cursor.id();
    const targetOffset = cursor.size();
    const length = cursor.size();
    if (cursor.u64() !== 0n) throw new Malformed("flags of copy_file_range");
    return { handle, offset, targetNode, targetHandle, targetOffset, length, isWide };
  };
}
function settingXattr(cursor: Cursor, form: WireForm): Body<"setxattr"> {
  const size = cursor.u32();
  if (size > xattrValueSizeMax) throw new Malformed(`an xattr of ${size} bytes`);
  const flags = cursor.u32();
  if (form.hasLongSetxattr) cursor.skip(8);
  const name = cursor.name(xattrNameSizeMax);
  return { name, flags, value: cursor.bytes(size) };
}
function forgetting(cursor: Cursor): Body<"batch_forget"> {
  const count = cursor.u32();
  cursor.skip(4);
  if (count > cursor.left / 16) throw new Malformed(`forgets ${count} in ${cursor.left} bytes`);
  return {
    forgotten: Array.from({ length: count }, () => ({ node: cursor.id(), lookups: cursor.u64() })),
  };
}
function initializing(cursor: Cursor): Body<"init"> {
  const major = cursor.u32();
  const minor = cursor.u32();
  if (cursor.left < 8) return { init: { major, minor, readaheadMax: 0, flags: 0n } };
  const readaheadMax = cursor.u32();
  const low = BigInt(cursor.u32());
  const hasSecond = (low & (1n << 30n)) !== 0n && cursor.left >= 4;
  const high = hasSecond ? BigInt(cursor.u32()) : 0n;
  return { init: { major, minor, readaheadMax, flags: low | (high << 32n) } };
}
const named = (cursor: Cursor): { readonly name: Uint8Array } => ({
  name: cursor.name(nameSizeMax),
});
const nothing = (): object => ({});

/** Each opcode with what its body says. Not all are told apart further on: both renames are one kind. */
const decoders = {
  lookup: named,
  forget: (cursor) => ({ lookups: cursor.u64() }),
  batch_forget: forgetting,
  getattr: (cursor) => {
    const flags = cursor.u32();
    cursor.skip(4);
    const handle = cursor.id();
    return { handle: has(flags, getattrHasHandle) ? handle : undefined };
  },
  setattr,
  readlink: nothing,
  symlink: (cursor) => {
    const name = cursor.name(nameSizeMax);
    return { name, target: cursor.name(linkSizeMax) };
  },
  mknod: (cursor) => {
    const mode = cursor.u32();
    const device = cursor.u32();
    const umask = cursor.u32();
    cursor.skip(4);
    return { mode, device, umask, name: cursor.name(nameSizeMax) };
  },
  mkdir: (cursor) => ({
    mode: cursor.u32(),
    umask: cursor.u32(),
    name: cursor.name(nameSizeMax),
  }),
  unlink: named,
  rmdir: named,
  rename: renaming(false),
  link: (cursor) => ({ target: cursor.id(), name: cursor.name(nameSizeMax) }),
  open: (cursor) => ({
    flags: cursor.u32(),
    endsPrivileges: has(cursor.u32(), openEndsPrivileges),
  }),
  create: (cursor) => {
    const flags = cursor.u32();
    const mode = cursor.u32();
    const umask = cursor.u32();
    const endsPrivileges = has(cursor.u32(), openEndsPrivileges);
    return { flags, mode, umask, endsPrivileges, name: cursor.name(nameSizeMax) };
  },
  tmpfile: (cursor) => {
    const flags = cursor.u32();
    const mode = cursor.u32();
    return { flags, mode, umask: cursor.u32() };
  },
  read: reading,
  write: writing,
  statfs: nothing,
  flush: (cursor) => {
    const handle = cursor.id();
    cursor.skip(8);
    return { handle, owner: cursor.u64() };
  },
  release: releasing,
  fsync: syncing,
  fsyncdir: syncing,
  setxattr: settingXattr,
  getxattr: (cursor) => {
    const size = wanted(cursor.u32());
    cursor.skip(4);
    return { size, name: cursor.name(xattrNameSizeMax) };
  },
  listxattr: (cursor) => ({ size: wanted(cursor.u32()) }),
  removexattr: (cursor) => ({ name: cursor.name(xattrNameSizeMax) }),
  init: initializing,
  opendir: (cursor) => ({ flags: cursor.u32() }),
  readdir: reading,
  readdirplus: reading,
  releasedir: releasing,
  getlk: locking,
  setlk: locking,
  setlkw: locking,
  access: (cursor) => ({ mask: cursor.u32() }),
  interrupt: (cursor) => ({ target: cursor.id() }),
  destroy: nothing,
  fallocate: (cursor) => ({
    handle: cursor.id(),
    offset: cursor.size(),
    length: cursor.size(),
    mode: cursor.u32(),
  }),
  lseek: (cursor) => ({ handle: cursor.id(), offset: cursor.size(), whence: cursor.u32() }),
  copy_file_range: copying(false),
  syncfs: nothing,
} as const satisfies { [Kind in Exclude<RequestKind, "unserved">]: Decoder<Kind> };

type Served = keyof typeof decoders;
/** Opcodes that come as another kind. */
const aliases = { rename2: "rename", copy_file_range_64: "copy_file_range" } as const;
const longRename = renaming(true);
const wideCopy = copying(true);

function decodeBody(opcode: Opcode, cursor: Cursor, form: WireForm): object | undefined {
  if (opcode === "rename2") return longRename(cursor, form);
  if (opcode === "copy_file_range_64") return wideCopy(cursor, form);
  return Object.hasOwn(decoders, opcode) ? decoders[opcode as Served](cursor, form) : undefined;
}
const kindOf = (opcode: Opcode): string =>
  Object.hasOwn(aliases, opcode) ? aliases[opcode as keyof typeof aliases] : opcode;

const fault = (
  code: RequestFault["code"],
  unique: number,
  errno: number,
  detail: string,
): RequestFault => ({ kind: "fault", code, unique, errno, detail });

/**
 * What `source`, all that one read of the device brought, asks for. Throws nothing; takes no memory by the kernel's
 * word; names and data alias `source`.
 */
export function decodeRequest(source: Uint8Array, form: WireForm): FuseRequest | RequestFault {
  if (source.byteLength < headSize)
    return fault("short", 0, 0, `a request of ${source.byteLength} bytes`);
  const head = new Cursor(source, 0, headSize);
  const length = head.u32();
  const number = head.u32();
  let unique = 0;
  let isAsked = true;
  try {
    unique = head.id();
    if (length !== source.byteLength)
      throw new Malformed(`says ${length} of ${source.byteLength} bytes`);
    const opcode = opcodeOf(number);
    if (opcode === undefined)
      return fault("unknown_opcode", unique, errnos.ENOSYS, `opcode ${number}`);
    isAsked = isAnswered(opcode);
    const node = head.id();
    const uid = head.u32();
    const gid = head.u32();
    const pid = head.u32();
    const extensionSize = head.u16() * 8;
    if (extensionSize > length - headSize) throw new Malformed("extensions beyond its end");
    const cursor = new Cursor(source, headSize, length - extensionSize);
    const body = decodeBody(opcode, cursor, form);
    const common = { unique, node, uid, gid, pid };
    if (body === undefined) return { kind: "unserved", opcode, ...common };
    return { kind: kindOf(opcode), ...common, ...body } as FuseRequest;
  } catch (reason) {
    if (!(reason instanceof Malformed)) throw reason;
    const { errno, message } = reason;
    const isLong = errno === errnos.ENAMETOOLONG;
    const code = length !== source.byteLength ? "length" : isLong ? "too_long" : "malformed";
    return fault(code, isAsked ? unique : 0, errno, message);
  }
}
