// Goal: content edited at offsets reads as plain bytes do, and every reference is counted, whatever is shared with S3's
// copies, parts and old versions.
// Method: random edits of some objects' content against plain bytes; chunk n holds a pattern of its own. After each step
// ranges are compared, now and then the whole map is checked. `KISEKI_SIM_SEED` replays a run.
import type { Prng } from "@kiseki/base";
import { bytes, newBytes, operationId, prngFromSeed, toHex, toUtf8, wallTime } from "@kiseki/base";
import type { Content, LeafExtent } from "@kiseki/format";
import { encodeCold, encodeEntry } from "@kiseki/format";
import { coldKey, entryKey } from "@kiseki/format";
import { expect, test } from "bun:test";
import type { Bed } from "../bed.test-helper.ts";
import {
  bedWithNamespace,
  md5,
  namespaceA,
  noAttributes,
  testAddress,
  testDirKeys,
  testSeal,
} from "../bed.test-helper.ts";
import { checkMap } from "../check-map.test-helper.ts";
import { lookupChunk, noteSeal, takeReference } from "../chunks.ts";
import { apply } from "../decide.ts";
import { lookupObject } from "../lookup.ts";
import type { DecideContext, Refusal } from "../operation.ts";
import { isRefusal } from "../operation.ts";
import { readContent, visitExtents } from "../read-content.ts";
import { hasReclaim } from "../reclaim.ts";
import type { Step } from "../step.ts";
import { adjustUsage, startStep } from "../step.ts";
import { countAllSmall, editBudget, editContent, shareRangeOf } from "./content-edit.ts";

const seedGiven = process.env["KISEKI_SIM_SEED"];
const seed = Number(seedGiven ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const root = 1n;

interface World {
  readonly prng: Prng;
  readonly bed: Bed;
  /** Bytes of each object, by key. */
  readonly files: Map<string, Uint8Array>;
  next: number;
  hasSmall: boolean;
  isTight: boolean;
}
const pick = <T>(prng: Prng, from: readonly T[]): T => from[prng.below(from.length)]!;
/** Never 0, so that a hole is told from a chunk. */
const patternAt = (chunk: number, offset: number): number => 1 + ((chunk * 89 + offset * 7) % 255);
const numberOf = (chunkId: Uint8Array): number => new DataView(chunkId.buffer).getUint32(28);

function contextOf(bed: Bed): DecideContext {
  bed.now += 1;
  const { limits, now } = bed;
  const base = { dirKeys: testDirKeys, md5, limits, operationId: operationId(newBytes(16)) };
  return { ...base, now: wallTime(now) };
}
function found(bed: Bed, key: string) {
  const object = lookupObject(bed.map, testDirKeys, { namespace: namespaceA, key: toUtf8(key) });
  if (object.kind !== "object") throw new Error(`${key} is there`);
  return object;
}
/** Now and then one that makes slices of nearly everything. */
const budgetOf = ({ prng, isTight }: World) =>
  editBudget(isTight && prng.chance(1, 6) ? prng.below(5000) : undefined);
/** Changes the content of an object as a file's writer would. */
function change(
  bed: Bed,
  key: string,
  size: number,
  edit: (step: Step, content: Content, before: number) => Content | Refusal,
): string | undefined {
  const { entry, cold } = found(bed, key);
  const step = startStep(bed.map, contextOf(bed));
  const content = edit(step, cold.content, entry.size);
  if (isRefusal(content)) return content.code;
  const dirKey = testDirKeys.dirKey(root as never);
  step.map.put(entryKey(dirKey, toUtf8(key)), encodeEntry({ ...entry, size }));
  step.map.put(coldKey(dirKey, entry.inode, entry.version), encodeCold({ ...cold, content }));
  const usage = { objects: 0, bytes: size - entry.size, oldVersions: 0, oldBytes: 0 };
  adjustUsage(step, namespaceA, usage);
  apply(bed.map, { rows: step.map.writes() });
  return undefined;
}

/** New chunks side by side from `offset` on, or one small chunk. */
function newExtents(world: World, step: Step, offset: number, size: number): LeafExtent[] {
  const { prng } = world;
  const extents: LeafExtent[] = [];
  if (world.hasSmall && size < 40 && prng.chance(1, 4)) {
    const n = world.next++;
    const ref = { ...testAddress(n), ...testSeal(n, size) };
    noteSeal(step, ref, ref);
    return [{ kind: "small", offset, length: size, chunkOffset: 0, ...ref }];
  }
  let at = offset;
  while (at < offset + size) {
    const length = Math.min(offset + size - at, 1 + prng.below(90));
    const n = world.next++;
    const address = testAddress(n);
    const refusal = takeReference(step, address, testSeal(n, 100), undefined);
    if (refusal !== undefined) throw new Error(refusal.code);
    const chunkOffset = prng.below(100 - length + 1);
    extents.push({ kind: "chunk", offset: at, length, chunkOffset, ...address });
    at += length;
  }
  return extents;
}
function fillFrom(target: Uint8Array, extents: readonly LeafExtent[]): void {
  for (const extent of extents) {
    if (extent.kind === "slice") throw new Error("new extents are no slices");
    const n = numberOf(extent.chunkId);
    for (let i = 0; i < extent.length; i++) {
      target[extent.offset + i] = patternAt(n, extent.chunkOffset + i);
    }
  }
}
const resized = (source: Uint8Array, size: number): Uint8Array => {
  const target = new Uint8Array(size);
  target.set(source.subarray(0, size));
  return target;
};

function write(world: World, key: string, offset: number, size: number): void {
  const before = world.files.get(key)!;
  const after = resized(before, Math.max(before.byteLength, offset + size));
  const refused = change(world.bed, key, after.byteLength, (step, content, was) => {
    const replacement = newExtents(world, step, offset, size);
    after.fill(0, offset, offset + size);
    fillFrom(after, replacement);
    const edit = { start: offset, end: offset + size, replacement };
    return editContent(step, { content, size: was, budget: budgetOf(world) }, edit);
  });
  expect(refused).toBeUndefined();
  world.files.set(key, after);
}
function punch(world: World, key: string, start: number, end: number): void {
  const after = world.files.get(key)!.slice();
  if (start >= end) return;
  after.fill(0, start, end);
  const refused = change(world.bed, key, after.byteLength, (step, content, size) =>
    editContent(step, { content, size, budget: budgetOf(world) }, { start, end, replacement: [] }),
  );
  expect(refused).toBeUndefined();
  world.files.set(key, after);
}
function truncate(world: World, key: string, size: number): void {
  const before = world.files.get(key)!;
  const refused = change(world.bed, key, size, (step, content, was) =>
    size >= was
      ? content
      : editContent(
          step,
          { content, size: was, budget: budgetOf(world) },
          { start: size, end: was, replacement: [] },
        ),
  );
  expect(refused).toBeUndefined();
  world.files.set(key, resized(before, size));
}
function copyRange(world: World, from: string, key: string): void {
  const { prng, bed } = world;
  const source = world.files.get(from)!;
  const start = prng.below(source.byteLength + 1);
  const size = prng.below(source.byteLength - start + 1);
  const before = world.files.get(key)!;
  const target = prng.below(before.byteLength + 50);
  if (size === 0) return;
  const after = resized(before, Math.max(before.byteLength, target + size));
  after.set(source.subarray(start, start + size), target);
  change(bed, from, source.byteLength, countAllSmall);
  const refused = change(bed, key, after.byteLength, (step, content, was) => {
    const range = { start, end: start + size };
    const shared = shareRangeOf(step, found(bed, from).cold.content, range, target);
    if (isRefusal(shared)) return shared;
    const edit = { start: target, end: target + size, replacement: shared };
    return editContent(step, { content, size: was, budget: budgetOf(world) }, edit);
  });
  expect(refused).toBeUndefined();
  world.files.set(key, after);
}

const at = (key: string) => ({ namespace: namespaceA, key: toUtf8(key) }) as const;
/** An object of parts, each of some chunks. */
function upload(world: World, key: string, partsMax: number, chunksMax: number): void {
  const { prng, bed } = world;
  const random = prng.fill(new Uint8Array(16));
  const made = bed.decide({ kind: "create_upload", ...at(key), random, attributes: noAttributes });
  if (typeof made === "string" || made.kind !== "upload") throw new Error(String(made));
  const parts: { part: number; etag: string }[] = [];
  const content: Uint8Array[] = [];
  const partCount = 1 + prng.below(partsMax);
  for (let part = 1; part <= partCount; part++) {
    const extents = Array.from({ length: 1 + prng.below(chunksMax) }, (_, i) => {
      const n = world.next++;
      return { ...testAddress(n), offset: 100 * i, length: 100, chunkOffset: 0, seal: testSeal(n) };
    });
    const plain = new Uint8Array(100 * extents.length);
    fillFrom(
      plain,
      extents.map((extent) => ({ kind: "chunk", ...extent })),
    );
    content.push(plain);
    const sum = prng.fill(new Uint8Array(16));
    bed.decide({
      kind: "put_part",
      ...at(key),
      upload: made.upload,
      part,
      content: { kind: "extents", extents },
      size: plain.byteLength,
      md5: sum,
      checksums: [],
    });
    parts.push({ part, etag: toHex(sum) });
  }
  const done = bed.decide({
    kind: "complete_upload",
    ...at(key),
    upload: made.upload,
    parts,
    checksums: [],
  });
  expect(done).toMatchObject({ kind: "object" });
  world.files.set(key, Uint8Array.from(Buffer.concat(content)));
}
function copyObject(world: World, from: string, key: string): void {
  const answer = world.bed.decide({ kind: "copy_object", ...at(key), source: at(from) });
  if (answer === "source_is_small") return;
  expect(answer).toMatchObject({ kind: "object" });
  world.files.set(key, world.files.get(from)!);
}
function remove(world: World, key: string): void {
  world.bed.decide({ kind: "delete_object", ...at(key) });
  world.bed.decide({
    kind: "put_object",
    ...at(key),
    content: { kind: "empty" },
    size: bytes(0),
    etag: { md5: newBytes(16), parts: 0 },
    attributes: noAttributes,
  });
  world.files.set(key, new Uint8Array(0));
}

function compare(world: World, key: string, range?: { start: number; end: number }): void {
  const { prng, bed } = world;
  const plain = world.files.get(key)!;
  const { entry, cold } = found(bed, key);
  expect(entry.size).toBe(plain.byteLength);
  const start = range?.start ?? prng.below(plain.byteLength + 1);
  const sizeMax = Math.min(20_000, plain.byteLength - start);
  const end = range?.end ?? start + prng.below(sizeMax + 1);
  const read = new Uint8Array(end - start);
  let position: number | undefined = start;
  while (position !== undefined) {
    const countMax = range === undefined ? 1 + prng.below(5) : 1000;
    const page = readContent(bed.map, cold.content, { start: position, end }, countMax);
    for (const piece of page.pieces) {
      expect(piece.offset).toBe(position!);
      position = piece.offset + piece.length;
      if (piece.kind === "hole") continue;
      const n = numberOf(piece.address.chunkId);
      for (let i = 0; i < piece.length; i++) {
        read[piece.offset - start + i] = patternAt(n, piece.chunkOffset + i);
      }
    }
    expect(page.next ?? end).toBe(position!);
    position = page.next;
  }
  expect(toHex(read)).toBe(toHex(plain.subarray(start, end)));
}
function checkAll(world: World): void {
  const { bed, files } = world;
  while (hasReclaim(bed.map, bed.now)) bed.decide({ kind: "reclaim_step" });
  checkMap(bed.map, testDirKeys);
  for (const [key, plain] of files) compare(world, key, { start: 0, end: plain.byteLength });
}

const keys = ["a", "b", "c", "d"] as const;
function worldOf(runSeed: number): World {
  const bed = bedWithNamespace();
  const world: World = {
    prng: prngFromSeed(runSeed),
    bed,
    files: new Map(),
    next: 1,
    hasSmall: true,
    isTight: false,
  };
  for (const key of keys) remove(world, key);
  return world;
}
function editSome(world: World, sizeMax: number): void {
  const { prng, files } = world;
  const key = pick(prng, keys);
  const { byteLength } = files.get(key)!;
  const start = prng.below(byteLength + 1 + (prng.chance(1, 8) ? 500 : 0));
  const act = prng.below(20);
  if (act < 9) write(world, key, start, 1 + prng.below(prng.chance(1, 10) ? sizeMax : 60));
  else if (act < 11) write(world, key, byteLength, 1 + prng.below(60));
  else if (act < 14) punch(world, key, start, start + prng.below(prng.chance(1, 6) ? sizeMax : 60));
  else if (act < 15) truncate(world, key, prng.below(byteLength + 100));
  else if (act < 18) copyRange(world, pick(prng, keys), key);
  else if (act < 19) copyObject(world, pick(prng, keys), key);
  else if (prng.chance(1, 3)) upload(world, key, 6, 12);
  else if (prng.chance(1, 4)) remove(world, key);
  else world.bed.decide({ kind: "reclaim_step" });
  compare(world, key);
}

test(`editContent() reads as plain bytes do (replay with KISEKI_SIM_SEED=${seed})`, () => {
  for (let run = 0; run < 2; run++) {
    const world = worldOf(seed + run);
    world.hasSmall = run % 2 === 0;
    world.isTight = true;
    for (let i = 0; i < 240; i++) {
      editSome(world, 4000);
      if (i % 40 === 39) checkAll(world);
    }
  }
});

test(`editContent() of thousands of extents, shared and not (KISEKI_SIM_SEED=${seed})`, () => {
  const world = worldOf(seed);
  const { prng } = world;
  write(world, "a", 0, 110_000);
  upload(world, "b", 3, 900);
  for (let i = 0; i < 40; i++) {
    const key = pick(prng, keys);
    const { byteLength } = world.files.get(key)!;
    const start = prng.below(byteLength + 1);
    const act = prng.below(12);
    if (act < 6) write(world, key, start, 1 + prng.below(200));
    else if (act < 8) punch(world, key, start, Math.min(byteLength, start + prng.below(100_000)));
    else if (act < 9) truncate(world, key, Math.floor(byteLength * (0.5 + prng.below(6) / 10)));
    else if (act < 11) copyRange(world, pick(prng, keys), key);
    else copyObject(world, pick(prng, ["a", "b"]), key);
    compare(world, key);
    if (i % 30 === 29) checkAll(world);
  }
});

test(`editContent() of ranges over very many rows (KISEKI_SIM_SEED=${seed})`, () => {
  const world = worldOf(seed);
  const { prng, files, bed } = world;
  world.hasSmall = false;
  for (let i = 0; i < 55; i++) write(world, "a", files.get("a")!.byteLength, 3000);
  world.hasSmall = true;
  world.isTight = true;
  copyObject(world, "a", "b");
  copyRange(world, "a", "c");
  for (let i = 0; i < 40; i++) {
    const key = pick(prng, ["a", "b", "c"]);
    const { byteLength } = files.get(key)!;
    const start = prng.below(byteLength + 1);
    const act = prng.below(10);
    if (act < 5) write(world, key, start, 1 + prng.below(60));
    else if (act < 8) punch(world, key, start, Math.min(byteLength, start + 120_000));
    else if (i > 20) truncate(world, key, start);
    if (act === 9) bed.decide({ kind: "reclaim_step" });
    compare(world, key);
    if (i % 20 === 19) checkAll(world);
  }
});

test("what a slice shows no more is freed when nobody else can see it", () => {
  const world = worldOf(1);
  const { bed, files } = world;
  world.hasSmall = false;
  for (let i = 0; i < 60; i++) write(world, "a", files.get("a")!.byteLength, 3000);
  const chunks = (): number => {
    let count = 0;
    for (let n = 1; n < world.next; n++) if (lookupChunk(bed.map, testAddress(n))) count += 1;
    return count;
  };
  const before = chunks();
  expect(before).toBeGreaterThan(3000);
  truncate(world, "a", 10_000);
  // Freed in steps: a change of its own would not be bounded.
  expect(chunks()).toBeGreaterThan(before - 300);
  checkAll(world);
  expect(chunks()).toBeLessThan(700);
  punch(world, "a", 0, 10_000);
  checkAll(world);
  expect(chunks()).toBe(0);
});

test("what slices of one file show no more is freed, however often it is edited", () => {
  const world = worldOf(seed);
  const { bed, files, prng } = world;
  world.hasSmall = false;
  for (let i = 0; i < 85; i++) write(world, "a", files.get("a")!.byteLength, 3000);
  truncate(world, "a", 110_000); // cuts more rows than an edit rewrites, leaves more than it takes over
  for (let i = 0; i < 12; i++) {
    const start = prng.below(100_000);
    if (i % 3 === 0) punch(world, "a", start, start + prng.below(9000));
    else write(world, "a", start, 1 + prng.below(200));
    compare(world, "a");
  }
  checkAll(world);
  const { cold } = found(bed, "a");
  const seen = new Set<string>();
  visitExtents(bed.map, cold.content, { start: 0, end: 110_000 }, ({ chunkId }) => {
    seen.add(toHex(chunkId));
    return true;
  });
  for (let n = 1; n < world.next; n++) {
    const { chunkId } = testAddress(n);
    expect(lookupChunk(bed.map, testAddress(n)) !== undefined).toBe(seen.has(toHex(chunkId)));
  }
});

test("what two slices of a file show is not freed when one of them is cut", () => {
  const world = worldOf(1);
  const { bed, files } = world;
  world.hasSmall = false;
  for (let i = 0; i < 85; i++) write(world, "a", files.get("a")!.byteLength, 3000);
  const { byteLength } = files.get("a")!;
  const after = resized(files.get("a")!, 2 * byteLength);
  after.set(files.get("a")!, byteLength);
  change(bed, "a", after.byteLength, (step, content, size) => {
    const replacement = shareRangeOf(step, content, { start: 0, end: size }, size);
    if (isRefusal(replacement)) return replacement;
    return editContent(
      step,
      { content, size, budget: budgetOf(world) },
      { start: size, end: 2 * size, replacement },
    );
  });
  files.set("a", after);
  const { content } = found(bed, "a").cold;
  if (content.kind !== "manifest") throw new Error(content.kind);
  for (const at of [1000, byteLength + 9000, 60_000]) write(world, "a", at, 5000);
  punch(world, "a", 100_000, 200_000);
  truncate(world, "a", byteLength + 220_000);
  checkAll(world);
});

test("every chunk is gone when all that names it is", () => {
  const world = worldOf(seed);
  for (let i = 0; i < 300; i++) editSome(world, 2000);
  for (const key of keys) remove(world, key);
  checkAll(world);
  for (let n = 1; n < world.next; n++) {
    expect(lookupChunk(world.bed.map, testAddress(n))).toBeUndefined();
  }
});
test("readContent() says that content is gone, rather than showing a hole", () => {
  const world = worldOf(1);
  world.hasSmall = false;
  write(world, "a", 0, 4000);
  const { content } = found(world.bed, "a").cold;
  expect(content.kind).toBe("manifest");
  truncate(world, "a", 100);
  const range = { start: 0, end: 4000 };
  const page = { pieces: [], next: undefined, isGone: true } as const;
  expect(readContent(world.bed.map, content, range, 9)).toEqual(page);
});
