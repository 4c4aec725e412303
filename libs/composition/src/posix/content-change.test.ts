// Goal: files written at offsets hold what plain bytes would, with exact sizes, room taken, usage and references, beside
// S3 and whether versions are kept or not; the log gives the same map again.
// Method: tables for edges; random operations against plain bytes, every invariant recomputed now and then.
import { keyset, newBytes, prngFromSeed, TiB, toHex, toUtf8 } from "@kiseki/base";
import { deltaPayloadSizeMax, encodeEncryption } from "@kiseki/format";
import { expect, test } from "bun:test";
import {
  bedWithNamespace,
  md5,
  namespaceA,
  testAddress,
  testBed,
  testDirKeys,
  testSeal,
} from "../bed.test-helper.ts";
import { checkMap } from "../check-map.test-helper.ts";
import { etagText } from "../conditions.ts";
import { lookupObject } from "../lookup.ts";
import { replay } from "../model-quotas.test-helper.ts";
import { hasReclaim } from "../reclaim.ts";
import { lookupUsage } from "../step.ts";
import { Tree } from "./bed.test-helper.ts";
import { benchWrite } from "./content-change.bench.ts";
import { ContentBed } from "./content-bed.test-helper.ts";
import { chooseRun, findMerge } from "./content-merge.ts";
import { readFileContent, seekFile } from "./content-read.ts";
import type { FileRef } from "./operation.ts";

const seedGiven = process.env["KISEKI_SIM_SEED"];
const seed = Number(seedGiven ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const client = newBytes(16).fill(9);

function checkAll({ bed }: ContentBed): void {
  while (hasReclaim(bed.map, bed.now)) bed.decide({ kind: "reclaim_step" });
  checkMap(bed.map, testDirKeys);
}
function lockedTree(): Tree {
  const bed = testBed();
  const created = { kind: "create_namespace", id: namespaceA, name: "a" } as const;
  bed.decide({ ...created, versioning: "enabled", isLockEnabled: true });
  return new Tree("enabled", bed);
}
const object = ({ bed }: ContentBed, key: string, version?: bigint) => {
  const base = { namespace: namespaceA, key: toUtf8(key) };
  const query = version === undefined ? base : { ...base, version };
  const found = lookupObject(bed.map, testDirKeys, query);
  if (found.kind !== "object") throw new Error(`${key}: ${found.kind}`);
  return found;
};
/** A bed with a file `f` of 150 bytes. */
function written(tree?: Tree) {
  const bed = new ContentBed(1, tree);
  bed.tree.make("f");
  const file = bed.tree.get("f").ref;
  const { pieces, plain } = bed.pieces(0, 150);
  expect(bed.act(file, { kind: "write_file", pieces })).toMatchObject({ kind: "file" });
  return { bed, file, plain };
}

test("new content is of the class STANDARD, and new attributes change no class", () => {
  const bed = new ContentBed(1);
  bed.putObject("k", 150, { storageClass: "STANDARD_IA" });
  const { ref } = bed.tree.get("k");
  bed.bed.decide({ kind: "set_attributes", namespace: namespaceA, file: ref, mode: 0o600 });
  expect(object(bed, "k").entry).toMatchObject({ mode: 0o600, storageClass: "STANDARD_IA" });
  const { pieces } = bed.pieces(10, 20);
  expect(bed.act(ref, { kind: "write_file", pieces })).toMatchObject({ kind: "file" });
  expect(object(bed, "k").entry.storageClass).toBeUndefined();
  checkAll(bed);
});

test("write_file replaces ranges, grows the file and leaves what lies between", () => {
  const { bed, file, plain } = written();
  const before = bed.tree.get("f");
  const [a, b] = [bed.pieces(10, 20), bed.pieces(200, 30, true)];
  const answer = bed.act(file, { kind: "write_file", pieces: [...a.pieces, ...b.pieces] });
  expect(answer).toMatchObject({ attributes: { size: 230, allocated: 180 } });
  const wanted = new Uint8Array(230);
  wanted.set(plain);
  wanted.set(a.plain, 10);
  wanted.set(b.plain, 200);
  expect(bed.read(file, 0, 230)).toEqual(wanted);
  const after = bed.tree.get("f");
  expect(after.mtime).toBeGreaterThan(before.mtime);
  expect(after.ctime).toBe(after.mtime);
  expect(after.revision).toBe(before.revision + 1);
  expect(after.contentVersion).not.toBe(before.contentVersion);
  checkAll(bed);
});

test("small content that is cut in two, or copied, is counted from then on", () => {
  const { bed, file } = written();
  const small = bed.pieces(0, 150, true);
  bed.act(file, { kind: "write_file", pieces: small.pieces });
  bed.tree.make("g");
  const copy = bed.tree.get("g").ref;
  const range = { sourceStart: 20, start: 5, length: 100 };
  const copied = bed.act(copy, { kind: "copy_range", source: file, ...range });
  expect(copied).toMatchObject({ offset: 5, length: 100, attributes: { size: 105 } });
  expect(bed.read(copy, 5, 105)).toEqual(small.plain.slice(20, 120));
  bed.act(file, { kind: "allocate_file", mode: "punch", start: 50, end: 60 });
  const holed = small.plain.slice().fill(0, 50, 60);
  expect(bed.read(file, 0, 150)).toEqual(holed);
  checkAll(bed);
});

test("append_file puts content at the end, wherever that is", () => {
  const { bed, file, plain } = written();
  const more = bed.pieces(0, 70);
  const answer = bed.act(file, { kind: "append_file", pieces: more.pieces });
  expect(answer).toMatchObject({ offset: 150, length: 70, attributes: { size: 220 } });
  expect(bed.read(file, 0, 220)).toEqual(Uint8Array.from([...plain, ...more.plain]));
  const late = bed.pieces(8, 2);
  expect(bed.act(file, { kind: "append_file", pieces: late.pieces })).toMatchObject({
    offset: 220,
    length: 10,
  });
  expect(bed.read(file, 220, 230)).toEqual(Uint8Array.from([...newBytes(8), ...late.plain]));
});

test("truncate_file cuts, and extends by a hole in which nothing of before shows", () => {
  const { bed, file, plain } = written();
  expect(bed.act(file, { kind: "truncate_file", size: 40 })).toMatchObject({
    attributes: { size: 40, allocated: 40 },
  });
  bed.act(file, { kind: "truncate_file", size: 300 });
  const wanted = new Uint8Array(300);
  wanted.set(plain.subarray(0, 40));
  expect(bed.read(file, 0, 300)).toEqual(wanted);
  expect(bed.tree.get("f")).toMatchObject({ size: 300, allocated: 40 });
  const { contentVersion, mtime } = bed.tree.get("f");
  bed.act(file, { kind: "truncate_file", size: 300 });
  expect(bed.tree.get("f").contentVersion).toBe(contentVersion);
  expect(bed.tree.get("f").mtime).toBeGreaterThan(mtime);
  bed.act(file, { kind: "truncate_file", size: 0 });
  expect(etagText(object(bed, "f").entry.etag)).toBe("d41d8cd98f00b204e9800998ecf8427e");
  checkAll(bed);
  expect(lookupUsage(bed.bed.map, namespaceA).bytes).toBe(0);
});

const allocations = [
  ["allocate within", "allocate", 10, 20, false, 150, 150],
  ["allocate beyond", "allocate", 10, 500, false, 500, 150],
  ["allocate beyond, kept", "allocate", 10, 500, true, 150, 150],
  ["punch within", "punch", 10, 30, true, 150, 130],
  ["punch past the end", "punch", 140, 500, true, 150, 140],
  ["punch behind the end", "punch", 150, 500, true, 150, 150],
  ["zero past the end", "zero", 140, 500, false, 500, 140],
  ["zero past the end, kept", "zero", 140, 500, true, 150, 140],
] as const;
for (const [name, mode, start, end, isSizeKept, size, allocated] of allocations) {
  test(`allocate_file: ${name}`, () => {
    const { bed, file, plain } = written();
    const answer = bed.act(file, { kind: "allocate_file", mode, start, end, isSizeKept });
    expect(answer).toMatchObject({ attributes: { size, allocated } });
    const wanted = new Uint8Array(size);
    wanted.set(plain);
    if (mode !== "allocate") wanted.fill(0, start, end);
    expect(bed.read(file, 0, size)).toEqual(wanted);
    checkAll(bed);
  });
}

test("content operations refuse ranges that are none, too far, or not theirs", () => {
  const { bed, file } = written();
  const { objectSizeMax } = bed.bed.limits;
  expect(objectSizeMax).toBe(5 * TiB);
  const far = bed.pieces(objectSizeMax - 10, 11, true).pieces;
  const near = bed.pieces(objectSizeMax - 10, 10, true).pieces;
  const piece = bed.pieces(0, 10, true).pieces;
  const tables = [
    [{ kind: "write_file", pieces: [] }, "invalid_argument"],
    [{ kind: "write_file", pieces: [...piece, ...piece] }, "invalid_argument"],
    [{ kind: "write_file", pieces: [{ ...piece[0]!, length: 11 }] }, "invalid_argument"],
    [{ kind: "write_file", pieces: [{ ...piece[0]!, chunkOffset: -1 }] }, "invalid_argument"],
    [{ kind: "write_file", pieces: Array(1025).fill(piece[0]) }, "too_many_extents"],
    [{ kind: "write_file", pieces: far }, "object_too_large"],
    [{ kind: "append_file", pieces: near }, "object_too_large"],
    [{ kind: "truncate_file", size: objectSizeMax + 1 }, "object_too_large"],
    [{ kind: "truncate_file", size: -1 }, "invalid_argument"],
    [{ kind: "truncate_file", size: 2 ** 60 }, "invalid_argument"],
    [{ kind: "allocate_file", mode: "zero", start: 5, end: 5 }, "invalid_argument"],
    [{ kind: "allocate_file", mode: "allocate", start: 0, end: 2 ** 45 }, "object_too_large"],
    [{ kind: "write_file", pieces: near, ifRevision: 77 }, "precondition_failed"],
  ] as const;
  for (const [operation, code] of tables) expect(bed.act(file, operation as never)).toBe(code);
  const copy = { kind: "copy_range", source: file } as const;
  const meeting = bed.act(file, { ...copy, sourceStart: 0, start: 99, length: 100 });
  expect(meeting).toBe("invalid_argument");
  const behind = bed.act(file, { ...copy, sourceStart: 150, start: 500, length: 9 });
  expect(behind).toMatchObject({ length: 0, attributes: { size: 150 } });
  const beyond = bed.act(file, { ...copy, sourceStart: 0, start: objectSizeMax - 5, length: 10 });
  expect(beyond).toBe("object_too_large");
  expect(bed.act(bed.tree.get("").ref, { kind: "truncate_file", size: 0 })).toBe("is_a_directory");
  bed.tree.make("p", { type: "fifo" });
  expect(bed.act(bed.tree.get("p").ref, { kind: "truncate_file", size: 1 })).toBe("wrong_type");
  expect(bed.act({ ...file, inode: 999n as never }, { kind: "truncate_file", size: 1 })).toBe(
    "stale_file",
  );
  expect(bed.act(file, { kind: "write_file", pieces: near })).toMatchObject({
    attributes: { size: objectSizeMax, allocated: 160 },
  });
  checkAll(bed);
});

test("writing clears the bits of set-user and set-group unless it is to keep them", () => {
  const { bed, file } = written();
  const set = (mode: number) =>
    bed.tree.act({ kind: "set_attributes", namespace: namespaceA, file, mode });
  set(0o6755);
  bed.act(file, { kind: "truncate_file", size: 10, isKeepingSetId: true });
  expect(bed.tree.get("f").mode).toBe(0o6755);
  bed.act(file, { kind: "write_file", pieces: bed.pieces(0, 5).pieces });
  expect(bed.tree.get("f").mode).toBe(0o755);
  set(0o6745); // without group execution set-group means something else
  bed.act(file, { kind: "append_file", pieces: bed.pieces(0, 5).pieces });
  expect(bed.tree.get("f").mode).toBe(0o2745);
});

test("S3 sees another ETag with each change, none that looks like an MD5, and no old checksum", () => {
  const bed = new ContentBed(1);
  bed.putObject("o", 300);
  const file = bed.tree.get("o").ref;
  const seen = new Set<string>();
  for (let i = 0; i < 5; i++) {
    bed.act(file, { kind: "write_file", pieces: bed.pieces(7 * i, 3).pieces });
    const { entry, cold } = object(bed, "o");
    expect(etagText(entry.etag)).toMatch(/^[0-9a-f]{32}-1$/);
    expect(cold.attributes).toMatchObject({ checksums: [], userMetadata: [["a", "b"]] });
    seen.add(etagText(entry.etag));
  }
  expect(seen.size).toBe(5);
});

test("an unlinked file that is open is written on", () => {
  const { bed, file } = written();
  const { bed: shard } = bed;
  shard.decide({ kind: "open_session", client, expires: 1e15 });
  shard.decide({ kind: "open_file", namespace: namespaceA, file, client });
  bed.tree.unlink("f", client);
  const more = bed.pieces(150, 20);
  expect(bed.act(file, { kind: "write_file", pieces: more.pieces })).toMatchObject({
    attributes: { size: 170, links: 0 },
  });
  expect(bed.read(file, 150, 170)).toEqual(more.plain);
  shard.decide({ kind: "close_file", namespace: namespaceA, file, client });
  expect(bed.act(file, { kind: "truncate_file", size: 0 })).toBe("stale_file");
  checkAll(bed);
});

test("quotas and read-only namespaces refuse, and nothing has changed", () => {
  const { bed, file } = written();
  const rows = bed.bed.map.rows();
  bed.bed.decide({ kind: "set_quota", namespace: namespaceA, limits: { bytesMax: 160 } });
  expect(bed.act(file, { kind: "truncate_file", size: 161 })).toBe("quota_exceeded");
  expect(bed.act(file, { kind: "append_file", pieces: bed.pieces(0, 11).pieces })).toBe(
    "quota_exceeded",
  );
  expect(bed.act(file, { kind: "truncate_file", size: 160 })).toMatchObject({ kind: "file" });
  bed.bed.decide({ kind: "set_quota", namespace: namespaceA, limits: {} });
  expect(bed.bed.map.rows().length).toBe(rows.length);
});

test("where versions may be locked a write makes a version, and the one before never changes", () => {
  const { bed, file, plain } = written(lockedTree());
  const { version } = object(bed, "f").entry;
  const small = bed.pieces(0, 60, true);
  const more = bed.pieces(20, 30);
  bed.act(file, { kind: "write_file", pieces: small.pieces });
  bed.act(file, { kind: "write_file", pieces: more.pieces });
  const now = plain.slice();
  now.set(small.plain);
  now.set(more.plain, 20);
  expect(bed.read(file, 0, 150)).toEqual(now);
  const old = object(bed, "f", version);
  expect(bed.readObject(old.cold.content, 150)).toEqual(plain);
  expect(object(bed, "f").entry.version).toBeGreaterThan(version);
  checkAll(bed);
});

test("where versions are kept but not locked, the current version changes in place", () => {
  const { bed, file } = written(new Tree("enabled"));
  const { version } = object(bed, "f").entry;
  bed.act(file, { kind: "truncate_file", size: 10 });
  expect(object(bed, "f").entry).toMatchObject({ version, size: 10 });
});

test("seekFile() finds data and holes, and says when there is none", () => {
  const { bed, file } = written();
  bed.act(file, { kind: "allocate_file", mode: "punch", start: 50, end: 70 });
  bed.act(file, { kind: "truncate_file", size: 400 });
  const seek = (offset: number, what: "data" | "hole") => {
    const found = seekFile(bed.bed.map, testDirKeys, { file, offset, what });
    return found.kind === "at" ? found.offset : found.kind;
  };
  const table = [
    [0, 0, 50],
    [49, 49, 50],
    [50, 70, 50],
    [69, 70, 69],
    [149, 149, 150],
    [150, "none", 150],
    [399, "none", 399],
    [400, "none", "none"],
  ] as const;
  for (const [offset, data, hole] of table) {
    expect([seek(offset, "data"), seek(offset, "hole")]).toEqual([data, hole]);
  }
});

test("merge_extents makes the same bytes of fewer pieces, unless they changed", () => {
  const bed = new ContentBed(5);
  bed.tree.make("f");
  const file = bed.tree.get("f").ref;
  for (let i = 0; i < 80; i++) {
    bed.act(file, { kind: "append_file", pieces: bed.pieces(0, 30, true).pieces });
  }
  const find = () => findMerge(bed.bed.map, { dirKeys: testDirKeys, md5 }, { file, start: 0 });
  const found = find();
  expect(found).toMatchObject({ start: 0, end: 2400 });
  const before = bed.tree.get("f");
  const { etag } = object(bed, "f").entry;
  // The new piece holds other bytes here, which tells them apart.
  const { pieces, plain } = bed.pieces(0, 2400, true);
  const merge = { kind: "merge_extents", namespace: namespaceA, file, pieces } as const;
  const { start, end, before: mark } = found!;
  const short = { ...merge, pieces: bed.pieces(0, 2399, true).pieces, start, end, before: mark };
  expect(bed.bed.decide(short)).toBe("invalid_argument");
  bed.act(file, { kind: "append_file", pieces: bed.pieces(0, 5, true).pieces }); // elsewhere
  expect(bed.bed.decide({ ...merge, start, end, before: mark })).toEqual({ kind: "none" });
  expect(bed.read(file, 0, 2400)).toEqual(plain);
  expect(bed.tree.get("f")).toMatchObject({ size: 2405, revision: before.revision + 1 });
  expect(object(bed, "f").entry.etag).not.toEqual(etag); // by the append alone
  expect(find()).toBeUndefined();
  expect(bed.bed.decide({ ...merge, start, end, before: mark })).toBe("precondition_failed");
  checkAll(bed);
});
test("chooseRun() takes what lies side by side, and not what is long already", () => {
  const list = (...lengths: readonly number[]) => {
    let offset = 0;
    return lengths.flatMap((length) => {
      offset += Math.abs(length);
      return length < 0 ? [] : [{ offset: offset - length, length }];
    });
  };
  const few = Array<number>(10).fill(5);
  expect(chooseRun(list(...few))).toEqual({ start: 0, end: 50 });
  expect(chooseRun(list(60, ...few))).toEqual({ start: 60, end: 110 });
  expect(chooseRun(list(50, ...few))).toEqual({ start: 0, end: 100 });
  expect(chooseRun(list(200, 60, ...few))).toEqual({ start: 260, end: 310 });
  expect(chooseRun(list(...few, -9, 5, 5, 5))).toEqual({ start: 0, end: 50 });
  expect(chooseRun(list(5, 5, 5, -9, ...few))).toEqual({ start: 24, end: 74 });
  expect(chooseRun(list(5, -1, 5, -1, 5, -1, 5, -1, 5))).toBeUndefined();
  expect(chooseRun([])).toBeUndefined();
});

test("content under a customer's key is neither read, written nor copied, nor linked where versions are kept", () => {
  const { bed, file } = written();
  const facts = {
    kind: "customer",
    keyset: keyset(3),
    checkSalt: newBytes(16),
    check: newBytes(32),
    sealedSalt: newBytes(60),
  } as const;
  bed.putObject("o", 100, { encryption: encodeEncryption(facts) });
  const sealed = bed.tree.get("o").ref;
  const query = { file: sealed, start: 0, end: 10, countMax: 1 };
  const found = readFileContent(bed.bed.map, testDirKeys, query);
  expect(found).toMatchObject({ code: "customer_key" });
  expect(bed.act(sealed, { kind: "truncate_file", size: 0 })).toBe("customer_key");
  const copy = { kind: "copy_range", source: sealed, sourceStart: 0, start: 0, length: 9 } as const;
  expect(bed.act(file, copy)).toBe("customer_key");
  expect(bed.tree.link("o", "p")).toMatchObject({ links: 2 });
  bed.bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning: "enabled" });
  expect(bed.tree.link("o", "q")).toBe("links_not_kept");
});

const paths = ["a", "b", "d/c", "d/e"] as const;
interface Model {
  readonly bed: ContentBed;
  readonly files: Map<string, Uint8Array>;
  /** Versions that stay, where they are kept. */
  readonly kept: { key: string; version: bigint; plain: Uint8Array }[];
  readonly isLocked: boolean;
  /** Copies that S3 made: nobody counts how much of them is holes. */
  readonly uncounted: Set<string>;
}
const resized = (source: Uint8Array, size: number): Uint8Array => {
  const target = new Uint8Array(size);
  target.set(source.subarray(0, size));
  return target;
};
function changeSome(model: Model): void {
  const { bed, files } = model;
  const { prng } = bed;
  const path = paths[prng.below(paths.length)]!;
  const file: FileRef = bed.tree.get(path).ref;
  const before = files.get(path)!;
  const { byteLength } = before;
  const start = prng.below(byteLength + (prng.chance(1, 6) ? 300 : 1));
  const size = 1 + prng.below(prng.chance(1, 12) ? 2500 : 80);
  const act = prng.below(20);
  if (model.isLocked) {
    const { version } = object(bed, path).entry;
    model.kept.push({ key: path, version, plain: before });
  }
  const done = (after: Uint8Array): void => void files.set(path, after);
  if (act < 8) {
    const { pieces, plain } = bed.pieces(start, size, size < 50 && prng.chance(1, 3));
    const after = resized(before, Math.max(byteLength, start + size));
    after.set(plain, start);
    expect(bed.act(file, { kind: "write_file", pieces })).toMatchObject({ kind: "file" });
    done(after);
  } else if (act < 11) {
    const { pieces, plain } = bed.pieces(0, size, size < 50 && prng.chance(1, 3));
    const answer = bed.act(file, { kind: "append_file", pieces });
    expect(answer).toMatchObject({ offset: byteLength, length: size });
    done(Uint8Array.from([...before, ...plain]));
  } else if (act < 13) {
    const wanted = prng.below(byteLength + 100);
    bed.act(file, { kind: "truncate_file", size: wanted });
    done(resized(before, wanted));
  } else if (act < 16) {
    const mode = prng.chance(1, 2) ? "punch" : "zero";
    const end = start + size;
    bed.act(file, { kind: "allocate_file", mode, start, end });
    const after = resized(before, mode === "zero" ? Math.max(byteLength, end) : byteLength);
    done(after.fill(0, start, end));
  } else if (act < 19) copySome(model, path, file, start);
  else if (!model.isLocked) {
    const key = paths[prng.below(paths.length)]!;
    const answer = bed.bed.decide({
      kind: "copy_object",
      ...{ namespace: namespaceA, key: toUtf8(path) },
      source: { namespace: namespaceA, key: toUtf8(key) },
    });
    if (answer === "source_is_small") return;
    done(files.get(key)!);
    model.uncounted.add(path);
  }
}
function copySome({ bed, files }: Model, path: string, file: FileRef, start: number): void {
  const from = paths[bed.prng.below(paths.length)]!;
  const source = files.get(from)!;
  const before = files.get(path)!;
  const sourceStart = bed.prng.below(source.byteLength + 1);
  const length = 1 + bed.prng.below(2000);
  const answer = bed.act(file, {
    kind: "copy_range",
    source: bed.tree.get(from).ref,
    ...{ sourceStart, start, length },
  });
  const isMeeting = from === path && sourceStart < start + length && start < sourceStart + length;
  if (isMeeting) return expect(answer).toBe("invalid_argument");
  const copied = Math.min(length, source.byteLength - sourceStart);
  expect(answer).toMatchObject({ kind: "file", length: copied });
  if (copied === 0) return;
  const after = resized(before, Math.max(before.byteLength, start + copied));
  after.set(source.subarray(sourceStart, sourceStart + copied), start);
  files.set(path, after);
}
function compareSome({ bed, files, uncounted }: Model): void {
  const path = paths[bed.prng.below(paths.length)]!;
  const plain = files.get(path)!;
  const { ref, size, allocated } = bed.tree.get(path);
  expect(size).toBe(plain.byteLength);
  const data = plain.reduce((sum, byte) => sum + (byte === 0 ? 0 : 1), 0);
  if (!uncounted.has(path)) expect(allocated).toBe(data);
  const start = bed.prng.below(size + 1);
  const end = start + bed.prng.below(size - start + 1);
  expect(toHex(bed.read(ref, start, end))).toBe(toHex(plain.subarray(start, end)));
  const found = seekFile(bed.bed.map, testDirKeys, { file: ref, offset: start, what: "data" });
  const at = plain.findIndex((byte, i) => i >= start && byte !== 0);
  expect(found).toEqual(at < 0 ? { kind: "none" } : { kind: "at", offset: at });
}
function runModel(runSeed: number, steps: number, tree: Tree, isLocked: boolean): void {
  const bed = new ContentBed(runSeed, tree);
  tree.mkdir("d");
  const files = new Map<string, Uint8Array>();
  for (const path of paths) {
    const isObject = prngFromSeed(runSeed).chance(1, 2);
    if (isObject) files.set(path, bed.putObject(path, 700));
    else {
      tree.make(path);
      files.set(path, new Uint8Array(0));
    }
  }
  const model: Model = { bed, files, kept: [], isLocked, uncounted: new Set() };
  for (let i = 0; i < steps; i++) {
    changeSome(model);
    compareSome(model);
    if (i % 40 === 39) checkAll(bed);
  }
  checkAll(bed);
  for (const { key, version, plain } of model.kept) {
    const { cold } = object(bed, key, version);
    expect(toHex(bed.readObject(cold.content, plain.byteLength))).toBe(toHex(plain));
  }
  const bytes = [...files.values()].reduce((sum, plain) => sum + plain.byteLength, 0);
  expect(lookupUsage(bed.bed.map, namespaceA).bytes).toBe(bytes);
  replay(bed.bed);
}
test(`files hold what plain bytes would (replay with KISEKI_SIM_SEED=${seed})`, () => {
  runModel(seed, 250, new Tree("off", bedWithNamespace()), false);
});
test(`files hold it where versions may be locked (KISEKI_SIM_SEED=${seed})`, () => {
  runModel(seed, 100, lockedTree(), true);
});
test("a small write touches no more rows of a long file than of a short one", () => {
  const short = benchWrite({ extents: 500, writes: 20 });
  const long = benchWrite({ extents: 8000, writes: 20 });
  expect(long.rowsPerWrite).toBeLessThan(1.5 * short.rowsPerWrite + 5);
  expect(long.rowsPerWrite).toBeLessThan(60);
});
test("a write at hundreds of places of a long file fits one change", () => {
  const bed = new ContentBed(1);
  bed.tree.make("f");
  const file = bed.tree.get("f").ref;
  for (let i = 0; i < 25; i++) {
    bed.act(file, { kind: "append_file", pieces: bed.pieces(0, 45_000).pieces });
  }
  // Each of these takes the place of forty extents, which all go.
  const large = Array.from({ length: 550 }, (_, i) => {
    const n = bed.next++;
    const range = { offset: 2000 * i, length: 1990, chunkOffset: 0 };
    return { kind: "chunk", ...range, ...testAddress(n), seal: testSeal(n, 2000) } as const;
  });
  expect(bed.act(file, { kind: "write_file", pieces: large })).toMatchObject({ kind: "file" });
  expect(bed.bed.log.at(-1)!.byteLength).toBeLessThan(deltaPayloadSizeMax);
  const page = readFileContent(bed.bed.map, testDirKeys, { file, start: 0, end: 1e7, countMax: 9 });
  if (page.kind === "refused") throw new Error(page.code);
  expect(page.page.pieces[0]).toMatchObject({ offset: 0, length: 1990, chunkOffset: 0 });
  bed.act(file, { kind: "truncate_file", size: 10 });
  expect(bed.bed.log.at(-1)!.byteLength).toBeLessThan(deltaPayloadSizeMax);
}, 20_000);
