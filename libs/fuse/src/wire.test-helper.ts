import { concatBytes, toUtf8 } from "@kiseki/base";
import { type Opcode, opcodes } from "./opcodes.ts";

type Field = readonly [size: 2 | 4 | 8, value: number | bigint] | string | Uint8Array;

/** Fields one after another, little-endian; text as it is, with a NUL behind it. */
export function fields(...list: readonly Field[]): Uint8Array {
  return concatBytes(
    ...list.map((field) => {
      if (typeof field === "string") return toUtf8(`${field}\0`);
      if (field instanceof Uint8Array) return field;
      const [size, value] = field;
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
      return bytes.subarray(0, size);
    }),
  );
}

/** A request as the kernel lays it out: `struct fuse_in_header` and its body. */
export function wireRequest(opcode: Opcode | number, body: Uint8Array, node = 7): Uint8Array {
  const number = typeof opcode === "number" ? opcode : opcodes[opcode];
  const head = fields(
    [4, 40 + body.byteLength],
    [4, number],
    [8, 0x1_0000_0002],
    [8, node],
    [4, 1000],
    [4, 100],
    [4, 4321],
    [2, 0],
    [2, 0],
  );
  return concatBytes(head, body);
}

const u = (value: number | bigint): Field => [4, value];
const w = (value: number | bigint): Field => [8, value];

/** One request of each opcode that is served, laid out as in the kernel's header, with what it says. */
export const samples: readonly (readonly [opcode: Opcode, body: Uint8Array, says: object])[] = [
  ["lookup", fields("a b"), { kind: "lookup", name: toUtf8("a b") }],
  ["forget", fields(w(3)), { kind: "forget", lookups: 3n }],
  [
    "batch_forget",
    fields(u(2), u(0), w(9), w(1), w(10), w(2n ** 40n)),
    {
      kind: "batch_forget",
      forgotten: [
        { node: 9, lookups: 1n },
        { node: 10, lookups: 2n ** 40n },
      ],
    },
  ],
  ["getattr", fields(u(1), u(0), w(5)), { kind: "getattr", handle: 5 }],
  ["getattr", fields(u(0), u(0), w(0)), { kind: "getattr", handle: undefined }],
  [
    "setattr",
    fields(
      ...[u(0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x40 | 0x100 | 0x800), u(0), w(5), w(2n ** 33n), w(0)],
      ...[w(-1), w(0), w(0), u(999_999_999), u(0), u(0), u(0o107755), u(0), u(12), u(13), u(0)],
    ),
    {
      kind: "setattr",
      handle: 5,
      change: {
        mode: 0o7755,
        uid: 12,
        gid: 13,
        size: 2 ** 33,
        accessedAt: -1n,
        modifiedAt: "now",
        endsPrivileges: true,
      },
    },
  ],
  ["readlink", fields(), { kind: "readlink" }],
  [
    "symlink",
    fields("name", "../target"),
    { kind: "symlink", name: toUtf8("name"), target: toUtf8("../target") },
  ],
  [
    "mknod",
    fields(u(0o20644), u(0x103), u(0o22), u(0), "null"),
    { kind: "mknod", mode: 0o20644, device: 0x103, umask: 0o22, name: toUtf8("null") },
  ],
  [
    "mkdir",
    fields(u(0o777), u(0o22), "d"),
    { kind: "mkdir", mode: 0o777, umask: 0o22, name: toUtf8("d") },
  ],
  ["unlink", fields("f"), { kind: "unlink", name: toUtf8("f") }],
  ["rmdir", fields("d"), { kind: "rmdir", name: toUtf8("d") }],
  [
    "rename",
    fields(w(8), "old", "new"),
    { kind: "rename", newParent: 8, flags: 0, name: toUtf8("old"), newName: toUtf8("new") },
  ],
  [
    "rename2",
    fields(w(8), u(2), u(0), "old", "new"),
    { kind: "rename", newParent: 8, flags: 2, name: toUtf8("old"), newName: toUtf8("new") },
  ],
  ["link", fields(w(11), "l"), { kind: "link", target: 11, name: toUtf8("l") }],
  ["open", fields(u(0o2), u(1)), { kind: "open", flags: 2, endsPrivileges: true }],
  [
    "create",
    fields(u(0o101), u(0o100640), u(0o77), u(0), "new"),
    {
      kind: "create",
      flags: 0o101,
      mode: 0o100640,
      umask: 0o77,
      endsPrivileges: false,
      name: toUtf8("new"),
    },
  ],
  [
    "tmpfile",
    fields(u(2), u(0o100600), u(0o22), u(0), "#7"),
    { kind: "tmpfile", flags: 2, mode: 0o100600, umask: 0o22 },
  ],
  [
    "read",
    fields(w(5), w(2n ** 63n - 1n), u(4096), u(0), w(0), u(0o100000), u(0)),
    { kind: "read", handle: 5, offset: Number.MAX_SAFE_INTEGER, size: 4096, flags: 0o100000 },
  ],
  [
    "write",
    fields(w(5), w(4096), u(3), u(4), w(77), u(1), u(0), toUtf8("xyz")),
    {
      kind: "write",
      handle: 5,
      offset: 4096,
      flags: 1,
      data: toUtf8("xyz"),
      endsPrivileges: true,
    },
  ],
  ["statfs", fields(), { kind: "statfs" }],
  ["flush", fields(w(5), u(0), u(0), w(77)), { kind: "flush", handle: 5, owner: 77n }],
  [
    "release",
    fields(w(5), u(2), u(2), w(78)),
    { kind: "release", handle: 5, flags: 2, endsFlock: true, owner: 78n },
  ],
  ["fsync", fields(w(5), u(1), u(0)), { kind: "fsync", handle: 5, isDataOnly: true }],
  ["fsyncdir", fields(w(5), u(0), u(0)), { kind: "fsyncdir", handle: 5, isDataOnly: false }],
  [
    "setxattr",
    fields(u(2), u(1), u(0), u(0), "user.k", toUtf8("vv")),
    { kind: "setxattr", name: toUtf8("user.k"), flags: 1, value: toUtf8("vv") },
  ],
  [
    "getxattr",
    fields(u(64), u(0), "user.k"),
    { kind: "getxattr", size: 64, name: toUtf8("user.k") },
  ],
  ["listxattr", fields(u(0), u(0)), { kind: "listxattr", size: 0 }],
  ["removexattr", fields("user.k"), { kind: "removexattr", name: toUtf8("user.k") }],
  [
    "init",
    fields(
      u(7),
      u(45),
      u(131_072),
      u(0x7fff_ffff),
      u(0xff),
      ...Array.from({ length: 11 }, () => u(0)),
    ),
    {
      kind: "init",
      init: { major: 7, minor: 45, readaheadMax: 131_072, flags: 0xff_7fff_ffffn },
    },
  ],
  [
    "init",
    fields(u(7), u(31), u(131_072), u(0x3fff_ffff)),
    { kind: "init", init: { major: 7, minor: 31, readaheadMax: 131_072, flags: 0x3fff_ffffn } },
  ],
  ["opendir", fields(u(0o200000), u(0)), { kind: "opendir", flags: 0o200000 }],
  [
    "readdir",
    fields(w(5), w(3), u(4096), u(0), w(0), u(0), u(0)),
    { kind: "readdir", handle: 5, offset: 3, size: 4096, flags: 0 },
  ],
  [
    "readdirplus",
    fields(w(5), w(0), u(4096), u(0), w(0), u(0), u(0)),
    { kind: "readdirplus", handle: 5, offset: 0, size: 4096, flags: 0 },
  ],
  [
    "releasedir",
    fields(w(5), u(0), u(0), w(0)),
    { kind: "releasedir", handle: 5, flags: 0, endsFlock: false, owner: 0n },
  ],
  ...(["getlk", "setlk", "setlkw"] as const).map(
    (kind) =>
      [
        kind,
        fields(w(5), w(2n ** 64n - 1n), w(10), w(2n ** 63n - 1n), u(1), u(42), u(1), u(0)),
        {
          kind,
          handle: 5,
          owner: 2n ** 64n - 1n,
          lock: { start: 10n, end: 2n ** 63n - 1n, type: "write", pid: 42 },
          isFlock: true,
        },
      ] as const,
  ),
  ["access", fields(u(4), u(0)), { kind: "access", mask: 4 }],
  ["interrupt", fields(w(100)), { kind: "interrupt", target: 100 }],
  ["destroy", fields(), { kind: "destroy" }],
  [
    "fallocate",
    fields(w(5), w(0), w(8192), u(3), u(0)),
    { kind: "fallocate", handle: 5, offset: 0, length: 8192, mode: 3 },
  ],
  ["lseek", fields(w(5), w(100), u(4), u(0)), { kind: "lseek", handle: 5, offset: 100, whence: 4 }],
  ...([false, true] as const).map(
    (isWide) =>
      [
        isWide ? "copy_file_range_64" : "copy_file_range",
        fields(w(5), w(0), w(12), w(6), w(4096), w(2n ** 40n), w(0)),
        {
          kind: "copy_file_range",
          handle: 5,
          offset: 0,
          targetNode: 12,
          targetHandle: 6,
          targetOffset: 4096,
          length: 2 ** 40,
          isWide,
        },
      ] as const,
  ),
  ["syncfs", fields(w(0)), { kind: "syncfs" }],
];
