import { createCipheriv, createHash, createHmac } from "node:crypto";
import {
  bytes,
  chunkId,
  concatBytes,
  keyset,
  namespaceId,
  newBytes,
  operationId,
  sealId,
  toUtf8,
  wallTime,
} from "@kiseki/base";
import type { ChunkSeal, NamespaceRow, RowProfile } from "@kiseki/format";
import { decodeRowWrites, encodeRowWrites } from "@kiseki/format";
import { expect } from "bun:test";
import { apply, decide } from "./decide.ts";
import { defaultLimits } from "./limits.ts";
import type { MemoryMap } from "./memory-map.test-helper.ts";
import { memoryMap } from "./memory-map.test-helper.ts";
import type {
  Answer,
  DecideContext,
  DirKeys,
  NewContent,
  NewExtent,
  Operation,
  RefusalCode,
} from "./operation.ts";

const secret = newBytes(32).fill(7);
const cached = new Map<bigint, Uint8Array>();
export const testDirKeys: DirKeys = {
  dirKey(inode) {
    const known = cached.get(inode);
    if (known !== undefined) return known;
    const block = newBytes(16);
    new DataView(block.buffer).setBigUint64(8, inode);
    const cipher = createCipheriv("aes-256-ecb", secret, null).setAutoPadding(false);
    const made = Uint8Array.from(cipher.update(block));
    cached.set(inode, made);
    return made;
  },
  hiddenName: (dirKey, name) =>
    Uint8Array.from(createHmac("sha256", secret).update(dirKey).update(name).digest()).slice(0, 16),
};
export const md5 = (...parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(
    createHash("md5")
      .update(concatBytes(...parts))
      .digest(),
  );

export const namespaceA = namespaceId(newBytes(16).fill(0xa));
export const namespaceB = namespaceId(newBytes(16).fill(0xb));
export const noAttributes = { headers: [], userMetadata: [], checksums: [] } as const;
export const copies: RowProfile = { kind: "copies", copies: 1 };

/** Chunk number `n` under seal number `seal`. */
export function testSeal(seal: number, size = 100, set = 1): ChunkSeal {
  const id = newBytes(16);
  new DataView(id.buffer).setUint32(12, seal);
  return { sealId: sealId(id), keyset: keyset(set), placementEpoch: 1, size, missing: 0 };
}
export function testAddress(n: number) {
  const id = newBytes(32);
  new DataView(id.buffer).setUint32(28, n);
  return { chunkId: chunkId(id), pool: 0, profile: copies };
}
/** One extent of 100 bytes per chunk number; `seals[i]` undefined is a dedup hit. */
export function testExtents(chunks: readonly number[], seals: readonly (number | undefined)[]) {
  const extents = chunks.map((n, i): NewExtent => {
    const seal = seals[i];
    const range = { ...testAddress(n), offset: 100 * i, length: 100, chunkOffset: 0 };
    return seal === undefined ? range : { ...range, seal: testSeal(seal) };
  });
  return { kind: "extents", extents } as const satisfies NewContent;
}
export function testSmall(n: number, size: number): NewContent {
  return { kind: "small", ref: { ...testAddress(n), ...testSeal(n, size) } };
}

export interface Bed {
  readonly map: MemoryMap;
  /** Payloads of all changes so far. */
  readonly log: Uint8Array[];
  now: number;
  limits: DecideContext["limits"];
  origin: DecideContext["origin"];
  keeper: DecideContext["keeper"];
  decide(operation: Operation): Answer | RefusalCode;
}
/** A shard that decides, applies what the log would hold, and keeps the log. */
export function testBed(): Bed {
  const map = memoryMap();
  const bed: Bed = {
    map,
    log: [],
    now: 1_000_000,
    origin: undefined,
    keeper: undefined,
    limits: { ...defaultLimits, partSizeMin: 100 },
    decide(operation) {
      bed.now += 1;
      const decision = decide(map, operation, {
        now: wallTime(bed.now),
        operationId: operationId(newBytes(16)),
        dirKeys: testDirKeys,
        md5,
        limits: bed.limits,
        origin: bed.origin,
        keeper: bed.keeper,
      });
      if (decision.kind === "refused") return decision.code;
      if (decision.kind === "answer") return decision.answer;
      const payload = encodeRowWrites(decision.change.rows);
      bed.log.push(payload);
      const rows = decodeRowWrites(payload);
      if (rows instanceof Error) throw rows;
      apply(map, { rows });
      return decision.answer;
    },
  };
  return bed;
}
export function bedWithNamespace(versioning: NamespaceRow["versioning"] = "off"): Bed {
  const bed = testBed();
  const created = bed.decide({ kind: "create_namespace", id: namespaceA, name: "a", versioning });
  expect(created).toMatchObject({ kind: "namespace" });
  return bed;
}
/** Puts an object whose ETag is the MD5 of its key. */
export function put(bed: Bed, key: string, content: NewContent = { kind: "empty" }, size = 0) {
  return bed.decide({
    kind: "put_object",
    namespace: namespaceA,
    key: toUtf8(key),
    content,
    size: bytes(size),
    etag: { md5: md5(toUtf8(key)), parts: 0 },
    attributes: noAttributes,
  });
}
