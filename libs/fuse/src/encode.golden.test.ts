import { expect, test } from "bun:test";
import { toHex, toUtf8 } from "@kiseki/base";
import {
  addRow,
  addRowPlus,
  encodeNotification,
  encodeReply,
  type FuseReply,
  type Negotiated,
  negotiate,
  noEntry,
  type NodeEntry,
  type Notification,
  replySizeMax,
  Writer,
} from "./index.ts";
import { fields } from "./wire.test-helper.ts";

const entry: NodeEntry = {
  node: 2 ** 40 + 5,
  generation: 0,
  validity: { name: 1500, attributes: 2 },
  attributes: {
    inode: 2n ** 63n + 1n,
    size: 2 ** 33,
    blocks: 8,
    accessedAt: -1n,
    modifiedAt: 1_700_000_000_123_456_789n,
    changedAt: 5_000_000_000n,
    mode: 0o100644,
    links: 2,
    uid: 1000,
    gid: 100,
    device: 0,
    blockSize: 4096,
  },
};
const u = (value: number): readonly [4, number] => [4, value];
const w = (value: number | bigint): readonly [8, number | bigint] => [8, value];
const attributes = fields(
  ...[w(2n ** 63n + 1n), w(2 ** 33), w(8), w(-1), w(1_700_000_000), w(5)],
  ...[
    u(999_999_999),
    u(123_456_789),
    u(0),
    u(0o100644),
    u(2),
    u(1000),
    u(100),
    u(0),
    u(4096),
    u(0),
  ],
);
const entryBytes = fields(
  w(2 ** 40 + 5),
  w(0),
  w(1),
  w(0),
  u(500_000_000),
  u(2_000_000),
  attributes,
);
const negotiated = negotiate(
  { major: 7, minor: 45, readaheadMax: 131_072, flags: 2n ** 64n - 1n },
  { hasLocks: true, readaheadMax: 16 * 1024 * 1024, backgroundMax: 64 },
) as Negotiated;

const replies: readonly (readonly [reply: FuseReply, body: Uint8Array])[] = [
  [{ kind: "error", errno: 2 }, fields()],
  [{ kind: "done" }, fields()],
  [
    { kind: "init", negotiated },
    fields(
      ...([u(7), u(45), u(131_072), u(0x70e4_e47b), [2, 64], [2, 48], u(1_048_576), u(1)] as const),
      ...([[2, 256], [2, 0], u(0x8), u(0), u(0), u(0), u(0), u(0), u(0), u(0)] as const),
    ),
  ],
  [
    { kind: "init", negotiated: { ...negotiated, flags: negotiated.flags | (1n << 37n) } },
    fields(
      ...([u(7), u(45), u(131_072), u(0x70e4_e47b), [2, 64], [2, 48], u(1_048_576), u(1)] as const),
      ...([[2, 256], [2, 0], u(0x28), u(1), u(0), u(0), u(0), u(0), u(0), u(0)] as const),
    ),
  ],
  [{ kind: "init", negotiated: "again" }, fields(u(7), u(45), new Uint8Array(56))],
  [{ kind: "entry", entry }, entryBytes],
  [
    { kind: "attributes", attributes: entry.attributes, validity: 61_001 },
    fields(w(61), u(1_000_000), u(0), attributes),
  ],
  [{ kind: "opened", handle: 9, flags: 3 }, fields(w(9), u(3), u(0))],
  [{ kind: "opened", handle: 9, flags: 128, backing: 5 }, fields(w(9), u(128), u(5))],
  [{ kind: "created", entry, handle: 9, flags: 1 }, fields(entryBytes, w(9), u(1), u(0))],
  [{ kind: "written", size: 4096 }, fields(u(4096), u(0))],
  [{ kind: "copied", size: 4096, isWide: false }, fields(u(4096), u(0))],
  [{ kind: "copied", size: 2 ** 40, isWide: true }, fields(w(2 ** 40))],
  [{ kind: "xattr_size", size: 12 }, fields(u(12), u(0))],
  [
    {
      kind: "usage",
      usage: {
        blocks: 100,
        blocksFree: 50,
        blocksAvailable: 40,
        files: 10,
        filesFree: 2 ** 50,
        blockSize: 4096,
        nameSizeMax: 255,
      },
    },
    fields(
      ...([w(100), w(50), w(40), w(10), w(2 ** 50), u(4096), u(255), u(4096)] as const),
      new Uint8Array(28),
    ),
  ],
  [
    { kind: "lock", lock: { start: 1n, end: 2n ** 63n - 1n, type: "unlock", pid: 3 } },
    fields(w(1), w(2n ** 63n - 1n), u(2), u(3)),
  ],
  [{ kind: "offset", offset: 2 ** 41 }, fields(w(2 ** 41))],
];

test.each(replies.map(([reply, body]) => [reply.kind, reply, body] as const))(
  "encodeReply() lays out %s as the kernel does",
  (_, reply, body) => {
    const writer = new Writer(new Uint8Array(replySizeMax));
    const errno = reply.kind === "error" ? -reply.errno : 0;
    const head = fields([4, 16 + body.byteLength], [4, errno], [8, 2 ** 33 + 2]);
    expect(toHex(encodeReply(writer, 2 ** 33 + 2, reply))).toBe(toHex(fields(head, body)));
  },
);

test("encodeReply() counts bytes that follow as a piece of their own", () => {
  const writer = new Writer(new Uint8Array(replySizeMax));
  const reply = encodeReply(writer, 4, { kind: "bytes", bytes: new Uint8Array(1000) });
  expect(toHex(reply)).toBe(toHex(fields([4, 1016], [4, 0], [8, 4])));
});

test("encodeReply() refuses an errno that the kernel would not take", () => {
  const writer = new Writer(new Uint8Array(replySizeMax));
  expect(() => encodeReply(writer, 4, { kind: "error", errno: 512 })).toThrow("errno");
});

test("addRow() and addRowPlus() pad each row, and stop before the end", () => {
  const row = { name: toUtf8("abc"), inode: 5n, cookie: 3, mode: 0o40755 };
  const bytes = fields(w(5), w(3), u(3), u(4), toUtf8("abc"), new Uint8Array(5));
  const plain = new Writer(new Uint8Array(40));
  expect(addRow(plain, row)).toBe(true);
  expect(addRow(plain, { ...row, name: toUtf8("x") })).toBe(false);
  expect(toHex(plain.done())).toBe(toHex(bytes));
  const eight = new Writer(new Uint8Array(32));
  expect(addRow(eight, { ...row, name: toUtf8("abcdefgh") })).toBe(true);
  const plus = new Writer(new Uint8Array(2 * 160));
  expect(addRowPlus(plus, row, entry)).toBe(true);
  expect(toHex(plus.done())).toBe(toHex(fields(entryBytes, bytes)));
  expect(addRowPlus(plus, row, noEntry)).toBe(true);
  expect(addRowPlus(plus, row, noEntry)).toBe(false);
  expect(plus.done().subarray(160, 160 + 128)).toEqual(new Uint8Array(128));
});

const notifications: readonly (readonly [Notification, code: number, body: Uint8Array])[] = [
  [{ kind: "inode", node: 9, offset: 4096, size: 0 }, 2, fields(w(9), w(4096), w(0))],
  [{ kind: "inode", node: 9, offset: -1, size: 0 }, 2, fields(w(9), w(-1), w(0))],
  [
    { kind: "entry", parent: 1, name: toUtf8("gone"), isExpiry: false },
    3,
    fields(w(1), u(4), u(0), "gone"),
  ],
  [
    { kind: "entry", parent: 1, name: toUtf8("gone"), isExpiry: true },
    3,
    fields(w(1), u(4), u(1), "gone"),
  ],
  [
    { kind: "removed", parent: 1, node: 9, name: toUtf8("gone") },
    6,
    fields(w(1), w(9), u(4), u(0), "gone"),
  ],
];
test.each(notifications.map((row) => [row[0].kind, ...row] as const))(
  "encodeNotification() lays out %s",
  (_, notification, code, body) => {
    const head = fields([4, 16 + body.byteLength], [4, code], [8, 0]);
    expect(toHex(encodeNotification(notification))).toBe(toHex(fields(head, body)));
  },
);
