/**
 * Fuzz targets: everything that is read back from disks. Samples are damaged; a checksum that always fits lets the other
 * checks see the damage. Nothing throws but `RowError`; what is accepted stays within its limits.
 */
import { fromHex, newBytes, type Prng, sameBytes, tenantId, toHex, wallTime } from "@kiseki/base";
import { type FuzzTarget, must, mutateBytes, mutateText, pick } from "@kiseki/base/contract";
import {
  decodeBoundShare,
  decodeClusterKeyFile,
  decodeDelta,
  decodeKeyExport,
  decodeLogEntry,
  decodeMemberList,
  decodeNodeSecretFile,
  decodeRecordHeader,
  decodeRowWrites,
  decodeSealedKey,
  decodeSession,
  decodeSessionToken,
  decodeSuperblock,
  decodeZoneFooter,
  decodeZoneHeader,
  encodeRowWrites,
  encodeSession,
  foreignSignature,
  formatRecoveryCode,
  parseRecoveryCode,
  recordHeaderSize,
  type Session,
  superblockSize,
  toRecoverySecret,
} from "./index.ts";
import { bulkFrames } from "./bulk-frame.fuzz.ts";
import { deltaChunkRefsMax } from "./delta.ts";
import { RowError } from "./rows/codec.ts";
import * as files from "./rows/files.ts";
import * as keys from "./rows/keys.ts";
import { decodeFileLocks } from "./rows/locks.ts";
import * as notices from "./rows/notices.ts";
import { decodeOutcome } from "./rows/outcome.ts";
import * as values from "./rows/values.ts";

const bytesOf = (hex: string): Uint8Array => fromHex(hex.replaceAll(/\s/g, ""));

const record = bytesOf(
  `4b524543 01010404 02000000 03000000 02000000 40200000 0700000001000000 0600000001000000 ${"d1".repeat(16)}
   ${"11".repeat(16)}${"22".repeat(16)}0500000000000000${"33".repeat(16)}${"44".repeat(32)}${"55".repeat(16)}
   1c000100 00000400 09000000 efbeadde 000000000000000000000000 b0adc487`,
);
const zone = bytesOf(
  `4b5a4f4e 01000000 03000000 02000000 1100000000000000 ${"d1".repeat(16)} 00000004 ${"00".repeat(16)} 7f21c7d4`,
);
const footer = bytesOf(
  `4b5a4654 01000000 03000000 02000000 1100000000000000 6300000000000000 ${"d1".repeat(16)} 00200000 0c000000
   04030201 ${"00".repeat(64)} c89ae752`,
);

/** `source` with bytes changed anywhere but in its first `kept`; sizes stay. */
function scramble(
  prng: Prng,
  source: Uint8Array,
  kept: number,
  most: number,
): Uint8Array<ArrayBuffer> {
  const bytes = newBytes(source.byteLength);
  bytes.set(source);
  for (let n = prng.below(most + 1); n > 0; n--) {
    bytes[kept + prng.below(bytes.byteLength - kept)] = prng.chance(1, 4) ? 255 : prng.below(256);
  }
  return bytes;
}

const records: FuzzTarget = {
  name: "disk-record",
  run(prng, note) {
    const sum = prng.below(2 ** 32);
    const source = scramble(prng, record, 4, 20);
    new DataView(source.buffer).setUint32(recordHeaderSize - 4, sum, true);
    note(source);
    const header = decodeRecordHeader(source, 0, () => sum);
    decodeRecordHeader(source, prng.below(300) - 50, () => sum); // anywhere, before and past the ends
    must(decodeRecordHeader(source, 0, () => sum ^ 1) === undefined, "a wrong checksum is refused");
    if (header === undefined) return "refused";
    must(header.payloadSize <= 4 * 1024 * 1024 + 64 * 28, "a payload is bounded");
    must(header.durable < header.group, "a group is not durable before it is written");
    return "accepted";
  },
};

const zones: FuzzTarget = {
  name: "disk-zone",
  run(prng, note) {
    const sum = prng.below(2 ** 32);
    const isFooter = prng.chance(1, 2);
    const source = scramble(prng, isFooter ? footer : zone, 4, 4);
    new DataView(source.buffer).setUint32(source.byteLength - 4, sum, true);
    note(source);
    decodeZoneHeader(source.subarray(0, prng.below(source.byteLength + 1)), () => sum);
    if (!isFooter) return decodeZoneHeader(source, () => sum) ? "header" : "refused";
    const end = decodeZoneFooter(source, 1 << 26, () => sum);
    if (end === undefined) return "refused";
    must(end.summaryOffset + end.count * recordHeaderSize < 1 << 26, "a summary lies in its zone");
    return "footer";
  },
};

const superblockHead = bytesOf(
  `4b4953454b490100 0100000000100000 ${"d1".repeat(16)}${"c1".repeat(16)}${"e1".repeat(16)} 0000004000000000
   0000000100000000 00000100 00000000 3f000000 01000200 0700000000000000 0300000000000000 0200000000000000 ${"00".repeat(8)}
   ${"d1".repeat(16)} 0101000000000000 0000004000000000 ${"d2".repeat(16)} 0303000000000000 0000008000000000`,
);
const superblocks: FuzzTarget = {
  name: "disk-superblock",
  run(prng, note) {
    const source = newBytes(superblockSize);
    if (prng.chance(1, 16)) prng.fill(source);
    source.set(superblockHead);
    const sum = source.slice(-32);
    const changed = scramble(prng, source, 8, 30);
    changed.set(sum, changed.byteLength - 32);
    note(changed);
    const block = decodeSuperblock(changed, () => sum);
    foreignSignature(changed);
    if (typeof block === "string") return block;
    must(block.members.length * 32 < superblockSize, "members fit into the block");
    return "accepted";
  },
};

const delta = bytesOf(
  `6b646c74 0100 5251 d0000000 03000000 0807060504030201 0d0c0b0a8f010000 2827262524232221 14131211 44434241
   3837363534333231 01000000 00000000 101112131415161718191a1b1c1d1e1f 202122232425262728292a2b2c2d2e2f
   303132333435363738393a3b3c3d3e3f 606162636465666768696a6b6c6d6e6f 707172737475767778797a7b7c7d7e7f
   ${"80".repeat(32)}${"a0".repeat(16)} b4b3b2b1 0204 0000 c4c3c2c1 00004000 ${"00".repeat(31)}`,
);
const deltas: FuzzTarget = {
  name: "delta",
  run(prng, note) {
    const source = mutateBytes(prng, delta);
    note(source);
    const decoded = decodeDelta(source);
    if (typeof decoded === "string") return decoded;
    must(decoded.header.chunkRefs.length <= deltaChunkRefsMax, "references are bounded");
    must(decoded.sealed.byteLength <= source.byteLength, "the payload lies in the source");
    return "accepted";
  },
};

const entryHead = `6b6c6f67 0100 0100 1817161514131211 2827262524232221 34333231 ffffff3f`;
const entryTail = "0000000000000000 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
const littleEndian = (value: number): string =>
  toHex(new Uint8Array(new Uint32Array([value]).buffer));
const logEntries: FuzzTarget = {
  name: "log-entry",
  run(prng, note) {
    const count = prng.below(3);
    const body = toHex(delta).repeat(count);
    const sizes = littleEndian(count) + littleEndian(body.length / 2);
    const whole = bytesOf(entryHead + sizes + entryTail + body + "00".repeat(32));
    const source = mutateBytes(prng, whole);
    note(source);
    const decoded = decodeLogEntry(source);
    return typeof decoded === "string" ? decoded : "accepted";
  },
};

const rowDecoders = [
  files.decodeEntry,
  files.decodeHead,
  files.decodeInode,
  files.decodeCold,
  values.decodeNullPointer,
  decodeFileLocks,
  decodeOutcome,
  values.decodeUpload,
  values.decodePart,
  values.decodeChunk,
  values.decodeDrop,
  values.decodeCondemned,
  values.decodeHidden,
  values.decodeLease,
  values.decodeDone,
  values.decodeNamespace,
  values.decodeSetting,
  values.decodeQuota,
  values.decodeSum,
  notices.decodeNotice,
  notices.decodeDeadNotice,
  notices.parseNoticeKey,
  keys.parseOldKey,
  keys.parseUploadKey,
  keys.parseChunkKey,
  keys.parseDropKey,
  keys.parseExpiryKey,
] as const;
const rows: FuzzTarget = {
  name: "rows",
  run(prng, note) {
    // Small numbers are flags, kinds and lengths: they lead deep into a row.
    const source = newBytes(prng.below(90));
    for (let i = 0; i < source.byteLength; i++) source[i] = prng.below(prng.chance(2, 3) ? 8 : 256);
    if (source.byteLength > 0 && prng.chance(15, 16)) source[0] = 1;
    note(source);
    let accepted = 0;
    for (const decode of rowDecoders) {
      try {
        decode(source);
        accepted += 1;
      } catch (reason) {
        if (!(reason instanceof RowError)) throw reason;
      }
    }
    const writes = decodeRowWrites(source);
    if (writes instanceof RowError) return accepted > 0 ? "accepted" : "refused";
    const again = decodeRowWrites(encodeRowWrites(writes));
    must(
      !(again instanceof RowError) && again.length === writes.length,
      "writes are written again",
    );
    return "accepted";
  },
};

const id = (byte: string): string => byte.repeat(16);
const memberList = bytesOf(
  `4b534b494d454d42 0100 02 0000000000 0807060504030201 ${id("5e")}${id("a1")}${id("a1")}${id("b2")} 00000000`,
);
const memberLists: FuzzTarget = {
  name: "member-list",
  run(prng, note) {
    const sum = prng.below(2 ** 32);
    const source = prng.chance(1, 2)
      ? mutateBytes(prng, memberList)
      : scramble(prng, memberList, 8, 4);
    if (source.byteLength >= 4)
      new DataView(source.buffer).setUint32(source.byteLength - 4, sum, true);
    note(source);
    const decoded = decodeMemberList(source, () => sum);
    if (typeof decoded === "string") return decoded;
    must(decoded.members.length * 16 <= source.byteLength, "members lie in the source");
    return "accepted";
  },
};

/** Magic, version and size of each file of keys; what lies between is anything. */
const keyFiles: readonly (readonly [magic: string, size: number])[] = [
  ["KSKICKEY", 256],
  ["KSKINODE", 68],
  ["KSKIEXPT", 192],
];
const keyFileTarget: FuzzTarget = {
  name: "key-files",
  run(prng, note) {
    const [magic, size] = pick(prng, keyFiles);
    const sum = prng.below(2 ** 32);
    const source = prng.fill(newBytes(prng.chance(3, 4) ? size : prng.below(300)));
    if (source.byteLength >= 16) {
      source.set(new TextEncoder().encode(magic));
      source.set([1, 0, 0, 0, 0, 0, 0, 0], 8);
      if (magic === "KSKIEXPT") {
        source.set([1, prng.below(24), prng.below(18), 0, prng.below(6), prng.below(8) >> 2], 10);
        source.fill(0, 156, 188);
      }
      new DataView(source.buffer).setUint32(source.byteLength - 4, sum, true);
    }
    note(source);
    const checksum = () => sum;
    const exported = decodeKeyExport(source, checksum);
    if (typeof exported !== "string") {
      const { log2N, r, p } = exported.cost;
      must(128 * 2 ** log2N * r <= 2 ** 31 && p <= 4, "scrypt is asked for 2 GiB at most");
    }
    const found = [
      decodeClusterKeyFile(source, checksum),
      decodeNodeSecretFile(source, checksum),
      exported,
      decodeSealedKey(source, "share"),
    ];
    decodeBoundShare(source);
    const accepted = found.filter((each) => typeof each !== "string").length;
    must(accepted <= 1, "a file is of one kind");
    if (typeof exported !== "string") return "export";
    return accepted === 1 ? "accepted" : exported;
  },
};

const recoveryCodes: FuzzTarget = {
  name: "recovery-code",
  run(prng, note) {
    const secret = toRecoverySecret(prng.fill(newBytes(22)));
    const good = formatRecoveryCode(secret);
    const text = mutateText(prng, good, ["-", " ", "0", "O", "l", "é", "Z"]);
    note(text);
    const parsed = parseRecoveryCode(text);
    if (!(parsed instanceof Uint8Array)) return parsed.kind;
    // A check symbol per group finds each single error; of more, one in 32 passes, and then another key is tried.
    const letters = formatRecoveryCode(toRecoverySecret(parsed)).replaceAll("-", "");
    const typed = text.toUpperCase().replaceAll(/[\s-]/g, "").replaceAll("O", "0");
    must(typed.replaceAll(/[IL]/g, "1") === letters, "what is taken is what was typed");
    return "accepted";
  },
};

const aSession: Session = {
  kind: "role",
  tenant: tenantId(newBytes(16)),
  accessKeyId: "ASIAAAAAAAAAAAAAAAAA",
  issued: wallTime(1),
  expires: wallTime(2),
  parentKey: "K",
  sessionName: "s",
  policyNames: ["a", "b"],
  claims: [["sub", "x"]],
  tags: [],
};
const sessions: FuzzTarget = {
  name: "session-token",
  run(prng, note) {
    const source = mutateBytes(prng, encodeSession(aSession)!);
    note(source);
    const session = decodeSession(source);
    const text = mutateText(prng, source.toBase64({ alphabet: "base64url" }), [
      "=",
      "+",
      "A",
      "\0",
    ]);
    const token = decodeSessionToken(text);
    must(token === undefined || token.nonce.byteLength === 12, "a nonce has 12 bytes");
    if (session === undefined) return "refused";
    const again = encodeSession(session);
    must(again !== undefined && sameBytes(again, source), "what is taken is what was written");
    return "accepted";
  },
};

export const formatTargets: readonly FuzzTarget[] = [
  records,
  zones,
  superblocks,
  deltas,
  logEntries,
  rows,
  memberLists,
  keyFileTarget,
  recoveryCodes,
  sessions,
  bulkFrames,
];
