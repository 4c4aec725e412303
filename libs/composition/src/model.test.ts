// Goal: whatever the operations, the machine answers as a plain model does, its counts are exact, and
// its log gives the same map again.
// Method: random operations on two buckets with few keys (odd ones among them); after each one a look-up
// and listings with random prefix, delimiter, marker and size are compared; now and then every invariant
// is recomputed from the rows. `KISEKI_SIM_SEED` replays a run.
import type { NamespaceId, Prng, SealId } from "@kiseki/base";
import { fromUtf8, prngFromSeed, toHex, toUtf8, wallTime } from "@kiseki/base";
import type { NamespaceSetting, ObjectAttributes } from "@kiseki/format";
import { chunkKey } from "@kiseki/format";
import { expect, test } from "bun:test";
import {
  md5,
  noAttributes,
  testAddress,
  testBed,
  testDirKeys,
  testSeal,
} from "./bed.test-helper.ts";
import { checkMap } from "./check-map.test-helper.ts";
import { isReferenced, lookupChunk } from "./chunks.ts";
import { etagText } from "./conditions.ts";
import { listObjects, listVersions } from "./list-objects.ts";
import { listParts, listUploads } from "./list-uploads.ts";
import { lookupObject } from "./lookup.ts";
import type { Name, QuotaWorld } from "./model-quotas.test-helper.ts";
import {
  checkNotices,
  compareQuotas,
  ids,
  madeVersion,
  partSize,
  replay,
  setSomeQuota,
  withinQuota,
} from "./model-quotas.test-helper.ts";
import type { NewContent, NewExtent, VersionRef } from "./operation.ts";
import type { PlainNamespace, PlainUpload, PlainVersion } from "./plain-model.test-helper.ts";
import {
  compareText,
  keyBytes,
  keyString,
  plainCurrent,
  plainDelete,
  plainNamespace,
  plainList,
  plainPut,
  utf8String,
} from "./plain-model.test-helper.ts";
import { readContent } from "./read-content.ts";
import { hasReclaim } from "./reclaim.ts";
import { listDrops, listReferences } from "./references.ts";
import { lookupSetting } from "./settings.ts";
import { lookupUsage } from "./step.ts";

const seedGiven = process.env["KISEKI_SIM_SEED"];
const seed = Number(seedGiven ?? crypto.getRandomValues(new Uint32Array(1))[0]);

interface World extends QuotaWorld {
  /** Seals that accepted operations brought and no `dropped` took away, in hex. */
  readonly seals: Set<string>;
  /** A seal of each chunk that was live once. */
  readonly pins: Map<number, SealId>;
  nextSeal: number;
}

const components = ["a", "b", "a-", "a.b", "é", "", ".", "..", "x\0y", "foo", "b!", "a0"];
const delimiters = ["/", "", "-", "a", "//", "b/", "é", "/a/", "."];
const pick = <T>(prng: Prng, from: readonly T[]): T => from[prng.below(from.length)]!;

function randomKey(prng: Prng): string {
  if (prng.chance(1, 60)) return `a/${"z".repeat(256)}/b`;
  const parts = Array.from({ length: 1 + prng.below(4) }, () =>
    prng.chance(3, 4) ? pick(prng, components.slice(0, 4)) : pick(prng, components),
  );
  return utf8String(parts.join("/")) || "a";
}
interface Made {
  readonly content: NewContent;
  readonly size: number;
  readonly chunks: readonly number[];
  readonly isSmall: boolean;
  readonly seals: readonly string[];
}
/** Content of a few chunks out of twelve, some as dedup hits; rarely enough of them for a manifest. */
function randomContent(world: World): Made {
  const { prng } = world;
  const kind = prng.below(8);
  if (kind === 0)
    return { content: { kind: "empty" }, size: 0, chunks: [], isSmall: false, seals: [] };
  if (kind === 1) {
    const seal = testSeal(world.nextSeal++, 42);
    const ref = { ...testAddress(1000 + world.nextSeal), ...seal };
    const seals = [toHex(seal.sealId)];
    return { content: { kind: "small", ref }, size: 42, chunks: [], isSmall: true, seals };
  }
  const count = prng.chance(1, 10) ? 30 + prng.below(10) : 1 + prng.below(4);
  const chunks = Array.from({ length: count }, () => prng.below(12));
  const brought = new Set<number>();
  const seals: string[] = [];
  const extents = chunks.map((n, i): NewExtent => {
    const address = testAddress(n);
    const range = { ...address, offset: 100 * i, length: 100, chunkOffset: 0 };
    const isThere = brought.has(n) || lookupChunk(world.bed.map, address) !== undefined;
    const pinned = world.pins.get(n);
    if (isThere && prng.chance(1, 2)) return range;
    if (!isThere && pinned !== undefined && isReferenced(world.bed.map, address, pinned)) {
      brought.add(n);
      return { ...range, pinned }; // its last reference went since the hit was given
    }
    brought.add(n);
    const seal = testSeal(world.nextSeal++, 100, 1 + prng.below(3));
    seals.push(toHex(seal.sealId));
    return { ...range, seal };
  });
  return {
    content: { kind: "extents", extents },
    size: 100 * count,
    chunks,
    isSmall: false,
    seals,
  };
}

function putSome(world: World, name: Name, namespace: PlainNamespace): void {
  const { prng, bed } = world;
  const key = randomKey(prng);
  const made = randomContent(world);
  const etag = { md5: prng.fill(new Uint8Array(16)), parts: 0 };
  const current = plainCurrent(namespace, key);
  const conditions = prng.chance(1, 4)
    ? pick(prng, [{ ifNoneMatch: ["*"] }, { ifMatch: ["*"] }, { ifMatch: [current?.etag ?? "x"] }])
    : undefined;
  const answer = bed.decide({
    kind: "put_object",
    namespace: ids[name],
    key: keyBytes(key),
    content: made.content,
    size: made.size,
    etag,
    attributes: noAttributes,
    ...(conditions === undefined ? {} : { conditions }),
  });
  if (conditions !== undefined && "ifMatch" in conditions && current === undefined) {
    expect(answer).toBe("no_such_key");
  } else if (conditions !== undefined && "ifNoneMatch" in conditions && current !== undefined) {
    expect(answer).toBe("precondition_failed");
  } else {
    const { size, chunks, isSmall } = made;
    const text = toHex(etag.md5);
    const { version, isNull } = madeVersion(answer);
    const row = { version, isNull, isMarker: false, etag: text, size, chunks, isSmall };
    if (!withinQuota(world, name, answer, () => plainPut(namespace, key, row))) return;
    for (const seal of made.seals) world.seals.add(seal);
  }
}

function randomVersion(prng: Prng, namespace: PlainNamespace, key: string): VersionRef {
  const versions = namespace.keys.get(key) ?? [];
  if (versions.length === 0 || prng.chance(1, 6)) return prng.chance(1, 2) ? "null" : 999_999n;
  const { version, isNull } = pick(prng, versions);
  return isNull ? "null" : version;
}
function someKey(world: World, namespace: PlainNamespace): string {
  const known = [...namespace.keys.keys()];
  const { prng } = world;
  return known.length === 0 || prng.chance(1, 5) ? randomKey(prng) : pick(prng, known);
}

function deleteSome(world: World, name: Name, namespace: PlainNamespace): void {
  const { prng, bed } = world;
  const key = someKey(world, namespace);
  const newest = namespace.keys.get(key)?.[0]?.version;
  const other = namespace.keys.get(key)?.[1]?.version ?? 1_000_000n;
  const isAsked = prng.chance(1, 3);
  const isNewest = isAsked && newest !== undefined && prng.chance(2, 3);
  const base = {
    kind: "delete_object",
    namespace: ids[name],
    key: keyBytes(key),
    ...(isAsked ? { ifNewest: isNewest ? newest : other } : {}),
  } as const;
  if (isAsked && !isNewest) {
    const version = randomVersion(prng, namespace, key);
    const operation = prng.chance(1, 2) ? base : { ...base, version };
    expect(bed.decide(operation)).toBe("precondition_failed");
    return;
  }
  if (prng.chance(1, 2)) {
    const version = randomVersion(prng, namespace, key);
    const answer = bed.decide({ ...base, version });
    if (typeof answer === "string" || answer.kind !== "deleted") throw new Error(String(answer));
    expect(answer.version !== undefined).toBe(plainDelete(namespace, key, version));
    return;
  }
  const answer = bed.decide(base);
  if (typeof answer === "string" || answer.kind !== "deleted") throw new Error(String(answer));
  expect(answer.isDeleteMarker).toBe(namespace.versioning !== "off");
  if (namespace.versioning === "off") {
    namespace.keys.delete(key);
    return;
  }
  const marker: PlainVersion = {
    version: answer.version!,
    isNull: answer.isNull,
    isMarker: true,
    etag: "0".repeat(32),
    size: 0,
    chunks: [],
    isSmall: false,
  };
  plainPut(namespace, key, marker);
}

function copySome(world: World, name: Name, namespace: PlainNamespace): void {
  const { prng, bed } = world;
  const from = pick(prng, [...world.namespaces.keys()]);
  const sourceSpace = world.namespaces.get(from)!;
  const sourceKey = someKey(world, sourceSpace);
  const key = prng.chance(1, 4) ? sourceKey : randomKey(prng);
  const source = plainCurrent(sourceSpace, sourceKey);
  const answer = bed.decide({
    kind: "copy_object",
    namespace: ids[name],
    key: keyBytes(key),
    source: { namespace: ids[from], key: keyBytes(sourceKey) },
  });
  if (source === undefined) expect(answer).toBe("no_such_source_key");
  else if (answer === "source_is_small") expect(source.isSmall).toBe(true);
  else {
    const { version, isNull } = madeVersion(answer);
    const { extras, ...copied } = source;
    const tags = extras?.tags;
    const kept = tags === undefined ? {} : { extras: { tags } };
    const row = { ...copied, ...kept, version, isNull };
    withinQuota(world, name, answer, () => plainPut(namespace, key, row));
  }
}

function uploadSome(world: World, name: Name): void {
  const { prng, bed } = world;
  const known = [...world.uploads];
  if (known.length < 3 || prng.chance(1, 6)) {
    const key = randomKey(prng);
    const answer = bed.decide({
      kind: "create_upload",
      namespace: ids[name],
      key: keyBytes(key),
      random: prng.fill(new Uint8Array(16)),
      attributes: noAttributes,
    });
    if (typeof answer === "string" || answer.kind !== "upload") throw new Error(String(answer));
    world.uploads.set(toHex(answer.upload), { namespace: name, key, parts: new Map() });
    return;
  }
  const [id, upload] = pick(prng, known);
  const at = {
    namespace: ids[upload.namespace as Name],
    key: keyBytes(upload.key),
    upload: Uint8Array.from(id.match(/../g)!, (hex) => Number.parseInt(hex, 16)),
  };
  const act = prng.below(8);
  if (act < 5) {
    const made = randomContent(world);
    const part = 1 + prng.below(5);
    const sum = prng.fill(new Uint8Array(16));
    const { content, size, chunks, isSmall } = made;
    const operation = { kind: "put_part", ...at, part, content, size, md5: sum } as const;
    const answer = bed.decide({ ...operation, checksums: [] });
    const store = (): void => void upload.parts.set(part, { chunks, md5: sum, isSmall });
    if (!withinQuota(world, upload.namespace as Name, answer, store)) return;
    expect(answer).toMatchObject({ kind: "part", size });
    for (const seal of made.seals) world.seals.add(seal);
  } else if (act === 5) {
    expect(bed.decide({ kind: "abort_upload", ...at })).toEqual({ kind: "none" });
    world.uploads.delete(id);
  } else completeSome(world, id, upload, at);
}

function completeSome(
  world: World,
  id: string,
  upload: PlainUpload,
  at: { namespace: NamespaceId; key: Uint8Array; upload: Uint8Array },
): void {
  const { prng, bed } = world;
  const chosen = [...upload.parts].sort(([a], [b]) => a - b).filter(() => prng.chance(4, 5));
  const parts = chosen.map(([part, row]) => ({ part, etag: toHex(row.md5) }));
  const operation = { kind: "complete_upload", ...at, parts, checksums: [] } as const;
  const answer = bed.decide(operation);
  if (parts.length === 0) expect(answer).toBe("invalid_part");
  else if (chosen.slice(0, -1).some(([, part]) => partSize(part) < 100)) {
    expect(answer).toBe("entity_too_small");
  } else {
    expect(bed.decide(operation)).toEqual(answer);
    const sum = toHex(md5(...chosen.map(([, part]) => part.md5)));
    const row: PlainVersion = {
      ...madeVersion(answer),
      isMarker: false,
      etag: `${sum}-${chosen.length}`,
      size: chosen.reduce((size, [, part]) => size + partSize(part), 0),
      chunks: chosen.flatMap(([, part]) => part.chunks),
      isSmall: false,
    };
    const name = upload.namespace as Name;
    withinQuota(world, name, answer, () => {
      world.uploads.delete(id);
      plainPut(world.namespaces.get(name)!, upload.key, row);
    });
  }
}

/** Small content anywhere under a newer keyset; a stale row or seal leaves the new one to `drop`. */
function resealSmall(world: World): void {
  const { prng, bed } = world;
  const page = listReferences(bed.map, undefined, 1000);
  const small = page.references.filter(({ from }) => from === "cold" || from === "manifest");
  if (small.length === 0) return;
  const { row, chunkId, pool, profile, sealId, keyset, size } = pick(prng, small);
  const isStale = prng.chance(1, 4);
  const seal = testSeal(world.nextSeal++, size, keyset + 1);
  bed.decide({
    kind: "small_resealed",
    row,
    sealId: isStale ? testSeal(world.nextSeal++).sealId : sealId,
    ref: { chunkId, pool, profile, ...seal },
  });
  world.seals.add(toHex(seal.sealId));
}

function maintain(world: World, name: Name, namespace: PlainNamespace): void {
  const { prng, bed } = world;
  const act = prng.below(5);
  if (act === 4) resealSmall(world);
  else if (act === 0) {
    const versioning = pick(prng, ["enabled", "suspended", "off"] as const);
    const answer = bed.decide({ kind: "set_versioning", namespace: ids[name], versioning });
    if (versioning === "off" && namespace.versioning !== "off") {
      expect(answer).toBe("invalid_versioning");
    } else namespace.versioning = versioning;
  } else if (act === 1) {
    const drops = listDrops(bed.map, wallTime(bed.now), 3);
    bed.decide({ kind: "dropped", drops });
    for (const { sealId } of drops) expect(world.seals.delete(toHex(sealId))).toBe(true);
  } else if (act === 2) {
    const seal = testSeal(world.nextSeal++, 100, 4);
    const address = testAddress(prng.below(12));
    const live = prng.chance(3, 4) ? lookupChunk(bed.map, address) : undefined;
    const { sealId } = live ?? testSeal(world.nextSeal++);
    bed.decide({ kind: "resealed", address, sealId, seal });
    world.seals.add(toHex(seal.sealId));
  } else {
    const answer = bed.decide({ kind: "delete_namespace", namespace: ids[name] });
    if (namespace.keys.size > 0) expect(answer).toBe("namespace_not_empty");
    else {
      expect(answer).toMatchObject({ kind: "namespace" });
      for (const [id, upload] of world.uploads)
        if (upload.namespace === name) world.uploads.delete(id);
      world.quotas.delete(name);
      bed.decide({ kind: "create_namespace", id: ids[name], name });
      world.namespaces.set(name, plainNamespace());
    }
  }
}

const settings: readonly NamespaceSetting[] = ["acl", "notification", "website"];
function setSome(world: World, name: Name, namespace: PlainNamespace): void {
  const { prng, bed } = world;
  const setting = pick(prng, settings);
  const base = { namespace: ids[name], setting } as const;
  const text = String(prng.below(1000));
  if (prng.chance(1, 3)) {
    expect(bed.decide({ kind: "delete_setting", ...base })).toEqual({ kind: "none" });
    namespace.settings.delete(setting);
  } else {
    const value = toUtf8(text);
    expect(bed.decide({ kind: "put_setting", ...base, value })).toEqual({ kind: "none" });
    namespace.settings.set(setting, text);
  }
}
const plainExtras = ({ tags, acl }: ObjectAttributes): PlainVersion["extras"] => ({
  ...(tags === undefined ? {} : { tags: tags[0]![1] }),
  ...(acl === undefined ? {} : { acl: fromUtf8(acl)! }),
});

/** Tags or an ACL set or taken away, on some version; all else of it stays. */
function setExtras(world: World, name: Name, namespace: PlainNamespace): void {
  const { prng, bed } = world;
  const key = someKey(world, namespace);
  const versions = namespace.keys.get(key) ?? [];
  const version = prng.chance(1, 2) ? randomVersion(prng, namespace, key) : undefined;
  const at =
    version === undefined
      ? Math.min(0, versions.length - 1)
      : versions.findIndex((v) => (version === "null" ? v.isNull : v.version === version));
  const before = versions[at];
  const text = String(prng.below(1000));
  const isTags = prng.chance(1, 2);
  const isClear = prng.chance(1, 3);
  const answer = bed.decide({
    kind: "set_object_extras",
    namespace: ids[name],
    key: keyBytes(key),
    ...(version === undefined ? {} : { version }),
    changes: isTags
      ? { tags: isClear ? null : [["t", text]] }
      : { acl: isClear ? null : toUtf8(text) },
  });
  if (before === undefined || (version === undefined && before.isMarker)) {
    expect(answer).toBe(version === undefined ? "no_such_key" : "no_such_version");
  } else if (before.isMarker) expect(answer).toBe("is_delete_marker");
  else {
    expect(answer).toEqual({ kind: "version", version: before.version, isNull: before.isNull });
    const { [isTags ? "tags" : "acl"]: _, ...kept } = before.extras ?? {};
    const extras = isClear ? kept : { ...kept, [isTags ? "tags" : "acl"]: text };
    versions[at] = { ...before, extras };
  }
}

function compareLookup(world: World, name: Name, namespace: PlainNamespace): void {
  const { prng, bed } = world;
  const key = someKey(world, namespace);
  const version = prng.chance(1, 2) ? randomVersion(prng, namespace, key) : undefined;
  const versions = namespace.keys.get(key) ?? [];
  const wanted =
    version === undefined
      ? versions[0]
      : versions.find((v) => (version === "null" ? v.isNull : v.version === version));
  const query = { namespace: ids[name], key: keyBytes(key) };
  const found = lookupObject(bed.map, testDirKeys, {
    ...query,
    ...(version === undefined ? {} : { version }),
  });
  if (wanted === undefined) {
    expect(found).toMatchObject({
      kind: "refused",
      code: version === undefined ? "no_such_key" : "no_such_version",
    });
    return;
  }
  if (found.kind === "refused") throw new Error(found.code);
  expect(found.kind).toBe(wanted.isMarker ? "delete_marker" : "object");
  expect(found.isLatest).toBe(wanted === versions[0]);
  expect(found.entry).toMatchObject({ version: wanted.version, isNull: wanted.isNull });
  if (found.kind !== "object") return;
  expect(etagText(found.entry.etag)).toBe(wanted.etag);
  expect(found.entry.size).toBe(wanted.size);
  compareContent(world, found.cold.content, wanted);
  expect(plainExtras(found.cold.attributes)).toEqual(wanted.extras ?? {});
}

function compareSettings({ bed }: World, name: Name, namespace: PlainNamespace): void {
  for (const setting of settings) {
    const value = lookupSetting(bed.map, ids[name], setting);
    expect(value && fromUtf8(value)).toBe(namespace.settings.get(setting));
  }
}

/** Reads a random range in short pages; pieces must join and, where all is chunks, be the model's. */
function compareContent(
  { prng, bed }: World,
  content: Parameters<typeof readContent>[1],
  wanted: PlainVersion,
): void {
  const start = prng.below(wanted.size + 1);
  const end = start + prng.below(wanted.size - start + 1);
  const isPlain = wanted.size === 100 * wanted.chunks.length;
  let position: number | undefined = start;
  while (position !== undefined) {
    const page = readContent(bed.map, content, { start: position, end }, 1 + prng.below(3));
    for (const piece of page.pieces) {
      expect(piece.offset).toBe(position);
      position = piece.offset + piece.length;
      if (piece.kind === "hole") throw new Error("no content here has holes");
      if (!isPlain) continue;
      const n = wanted.chunks[Math.floor(piece.offset / 100)]!;
      expect(toHex(piece.address.chunkId)).toBe(toHex(testAddress(n).chunkId));
      expect(piece.chunkOffset).toBe(piece.offset % 100);
    }
    expect(page.next ?? end).toBe(position);
    position = page.next;
  }
}

function randomQuery(world: World, namespace: PlainNamespace) {
  const { prng } = world;
  const cut = (): string => {
    const key = someKey(world, namespace);
    return key.slice(0, prng.below(key.length + 1));
  };
  const prefix = prng.chance(1, 2) ? "" : cut();
  const delimiter = utf8String(pick(prng, delimiters));
  const after = prng.chance(1, 3) ? cut() : undefined;
  return { prefix, delimiter, after, countMax: 1 + prng.below(prng.chance(1, 2) ? 3 : 50) };
}

function compareListing(world: World, name: Name, namespace: PlainNamespace): void {
  const { prefix, delimiter, after, countMax } = randomQuery(world, namespace);
  const base = { namespace: ids[name], prefix: keyBytes(prefix), delimiter: keyBytes(delimiter) };
  const live = [...namespace.keys.keys()].filter((key) => plainCurrent(namespace, key));
  const wanted = plainList(live, prefix, delimiter, after);
  const got: { kind: "key" | "prefix"; text: string }[] = [];
  let from = after === undefined ? undefined : keyBytes(after);
  for (let pages = 0; ; pages++) {
    const page = listObjects(world.bed.map, testDirKeys, { ...base, countMax, after: from });
    if (page.kind === "refused") throw new Error(page.code);
    expect(page.items.length).toBeLessThanOrEqual(countMax);
    for (const item of page.items) {
      if (item.kind === "prefix") got.push({ kind: "prefix", text: keyString(item.prefix) });
      else {
        got.push({ kind: "key", text: keyString(item.key) });
        const current = plainCurrent(namespace, keyString(item.key));
        expect(item.entry.version).toBe(current?.version ?? 0n);
      }
    }
    if (page.next === undefined) break;
    expect(page.items.length).toBe(countMax); // so few rows never end a page early
    from = page.next;
  }
  expect(got).toEqual(wanted);
}

function compareVersionListing(world: World, name: Name, namespace: PlainNamespace): void {
  const { prefix, delimiter, after, countMax } = randomQuery(world, namespace);
  const base = { namespace: ids[name], prefix: keyBytes(prefix), delimiter: keyBytes(delimiter) };
  const wanted = plainList([...namespace.keys.keys()], prefix, delimiter, after).flatMap((item) =>
    item.kind === "prefix"
      ? [item]
      : namespace.keys.get(item.text)!.map(({ version }, i) => ({
          ...item,
          version,
          isLatest: i === 0,
        })),
  );
  const got: object[] = [];
  let from: Parameters<typeof listVersions>[2]["after"] =
    after === undefined ? undefined : { key: keyBytes(after) };
  for (;;) {
    const page = listVersions(world.bed.map, testDirKeys, { ...base, countMax, after: from });
    if (page.kind === "refused") throw new Error(page.code);
    for (const item of page.items) {
      if (item.kind === "prefix") got.push({ kind: "prefix", text: keyString(item.prefix) });
      else {
        const { isLatest, entry } = item;
        got.push({ kind: "key", text: keyString(item.key), version: entry.version, isLatest });
      }
    }
    if (page.next === undefined) break;
    from = page.next;
  }
  expect(got).toEqual(wanted);
}

function compareUploads(world: World, name: Name, namespace: PlainNamespace): void {
  const { prefix, delimiter, after, countMax } = randomQuery(world, namespace);
  const base = { namespace: ids[name], prefix: keyBytes(prefix), delimiter: keyBytes(delimiter) };
  const mine = [...world.uploads].filter(([, upload]) => upload.namespace === name);
  const keys = mine.map(([, upload]) => upload.key);
  const wanted = plainList(keys, prefix, delimiter, after).flatMap((item) => {
    if (item.kind === "prefix") return [item.text];
    const same = mine.filter(([, { key }]) => key === item.text).map(([id]) => id);
    return same.sort(compareText).map((id) => `${item.text} ${id}`);
  });
  const got: string[] = [];
  let from: Parameters<typeof listUploads>[2]["after"] =
    after === undefined ? undefined : { key: keyBytes(after) };
  for (;;) {
    const page = listUploads(world.bed.map, testDirKeys, { ...base, countMax, after: from });
    if (page.kind === "refused") throw new Error(page.code);
    for (const item of page.items) {
      if (item.kind === "prefix") got.push(keyString(item.prefix));
      else got.push(`${keyString(item.key)} ${toHex(item.upload)}`);
    }
    if (page.next === undefined) break;
    from = page.next;
  }
  expect(got).toEqual(wanted);
  for (const [id, upload] of mine.slice(0, 1)) {
    const at = { namespace: ids[name], key: keyBytes(upload.key) };
    const query = { ...at, upload: Uint8Array.from(Buffer.from(id, "hex")), after: 1, countMax: 2 };
    const page = listParts(world.bed.map, testDirKeys, query);
    if (page.kind === "refused") throw new Error(page.code);
    const numbers = [...upload.parts.keys()].sort((a, b) => a - b).filter((n) => n > 1);
    expect(page.parts.map(({ part }) => part)).toEqual(numbers.slice(0, 2));
    expect(page.next !== undefined).toBe(numbers.length > 2);
  }
}

/** After all queued freeing: chunk counts are those of the model, usage too. */
function compareCounts(world: World): void {
  const { bed } = world;
  const counts = new Map<string, number>();
  const note = (chunks: readonly number[]): void => {
    for (const n of chunks) {
      const at = toHex(chunkKey(testAddress(n)));
      counts.set(at, (counts.get(at) ?? 0) + 1);
    }
  };
  for (const [name, { keys }] of world.namespaces) {
    const usage = { objects: 0, bytes: 0, oldVersions: 0, oldBytes: 0 };
    for (const versions of keys.values()) {
      for (const [i, { isMarker, size, chunks }] of versions.entries()) {
        note(chunks);
        if (i === 0 && !isMarker) {
          usage.objects += 1;
          usage.bytes += size;
        } else {
          usage.oldVersions += 1;
          usage.oldBytes += size;
        }
      }
    }
    expect(lookupUsage(bed.map, ids[name])).toEqual(usage);
  }
  for (const { parts } of world.uploads.values())
    for (const { chunks } of parts.values()) note(chunks);
  for (let n = 0; n < 12; n++) {
    const address = testAddress(n);
    const count = lookupChunk(bed.map, address)?.count;
    // Copies share manifests, so the map may count fewer references than the model, never none.
    const wanted = counts.get(toHex(chunkKey(address)));
    expect(count === undefined).toBe(wanted === undefined);
    if (count !== undefined) expect(count).toBeLessThanOrEqual(wanted ?? 0);
  }
}

/** Answers how often a quota refused. */
function run(runSeed: number, operations: number): number {
  const world: World = {
    prng: prngFromSeed(runSeed),
    bed: testBed(),
    namespaces: new Map(),
    uploads: new Map(),
    seals: new Set(),
    pins: new Map(),
    nextSeal: 1,
    quotas: new Map(),
    refusedByQuota: 0,
  };
  const { prng, bed } = world;
  for (const name of ["a", "b"] as const) {
    bed.decide({ kind: "create_namespace", id: ids[name], name });
    world.namespaces.set(name, plainNamespace());
  }
  for (let i = 0; i < operations; i++) {
    const name = pick(prng, ["a", "b"] as const);
    const namespace = world.namespaces.get(name)!;
    const n = prng.below(12);
    const live = lookupChunk(bed.map, testAddress(n));
    if (live !== undefined) world.pins.set(n, live.sealId);
    const act = prng.below(23);
    const logged = bed.log.length;
    if (act < 8) putSome(world, name, namespace);
    else if (act < 13) deleteSome(world, name, namespace);
    else if (act < 15) copySome(world, name, namespace);
    else if (act < 18) uploadSome(world, name);
    else if (act < 19) bed.decide({ kind: "reclaim_step" });
    else if (act < 20) setSome(world, name, namespace);
    else if (act < 22) setExtras(world, name, namespace);
    else if (prng.chance(1, 3)) setSomeQuota(world);
    else maintain(world, name, namespace);
    const now = world.namespaces.get(name)!;
    if (act < 15 || (act >= 20 && act < 22)) checkNotices(world, name, logged);
    compareQuotas(world);
    compareLookup(world, name, now);
    compareSettings(world, name, now);
    compareListing(world, name, now);
    compareVersionListing(world, name, now);
    if (i % 4 === 0) compareUploads(world, name, now);
    if (i % 50 !== 49) continue;
    while (hasReclaim(bed.map, bed.now)) bed.decide({ kind: "reclaim_step" });
    expect([...checkMap(bed.map, testDirKeys)].sort()).toEqual([...world.seals].sort());
    compareCounts(world);
  }
  replay(bed);
  return world.refusedByQuota;
}

test(`decide() answers as the plain model does (replay with KISEKI_SIM_SEED=${seed})`, () => {
  let refused = 0;
  for (let i = 0; i < 4; i++) refused += run(seed + i, 400);
  expect(refused).toBeGreaterThan(0); // else nothing was tried
});
test("toUtf8() of the keys used here is what the model holds", () => {
  expect(keyString(toUtf8("é"))).toBe(utf8String("é"));
});
