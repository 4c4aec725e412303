// Goal: no order of operations of S3 and file protocols, with versions, locks and links, leaves a row that disagrees with
// another, or a version that its lock should have kept.
// Method: random operations while versioning and locks change; every invariant now and then, each locked version looked
// up; the log replayed at the end. `KISEKI_SIM_SEED` replays a run.
import type { Prng } from "@kiseki/base";
import { operationId, prngFromSeed, toHex, toUtf8, wallTime } from "@kiseki/base";
import { expect, test } from "bun:test";
import {
  namespaceA,
  noAttributes,
  testAddress,
  testDirKeys,
  testExtents,
  testSeal,
} from "../bed.test-helper.ts";
import { checkMap } from "../check-map.test-helper.ts";
import { listVersions } from "../list-objects.ts";
import { lookupObject } from "../lookup.ts";
import { replay } from "../model-quotas.test-helper.ts";
import type { Operation, VersionRef } from "../operation.ts";
import { Tree } from "./bed.test-helper.ts";
import type { FileRef } from "./operation.ts";

const seedGiven = process.env["KISEKI_SIM_SEED"];
const seed = Number(seedGiven ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const operationsCount = 700;
const clients = [new Uint8Array(16).fill(5), new Uint8Array(16)];
const namespace = namespaceA;
const retentionMs = 60;

interface World {
  readonly prng: Prng;
  readonly tree: Tree;
  /** References seen, to be used when they are stale too. */
  readonly refs: FileRef[];
  /** Versions that nothing may remove before their time, by key and number. */
  readonly locked: Map<string, { readonly key: string; readonly version: bigint; until: number }>;
  nextSeal: number;
}
const pick = <T>(prng: Prng, from: readonly T[]): T => from[prng.below(from.length)]!;
const names = ["a", "b", "c", "a-"];
const randomPath = (prng: Prng): string =>
  Array.from({ length: 1 + prng.below(3) }, () => pick(prng, names)).join("/");
const randomKey = (prng: Prng): string =>
  prng.chance(1, 8) ? `${randomPath(prng)}/${pick(prng, ["", "/x"])}` : randomPath(prng);

function noteRef({ tree, refs, prng }: World): void {
  const found = tree.stat(randomPath(prng));
  if (typeof found !== "string" && found.type === "file") refs.push(found.ref);
  if (refs.length > 8) refs.splice(prng.below(refs.length), 1);
}
function content(
  world: World,
): Pick<Extract<Operation, { kind: "put_object" }>, "content" | "size"> {
  const { prng } = world;
  if (prng.chance(1, 4)) return { content: { kind: "empty" }, size: 0 };
  const n = world.nextSeal++;
  if (prng.chance(1, 3)) {
    const ref = { ...testAddress(1_000_000 + n), ...testSeal(n, 42) };
    return { content: { kind: "small", ref }, size: 42 };
  }
  return { content: testExtents([n % 7], [n]), size: 100 };
}

function actOfS3(world: World): Operation {
  const { prng, tree } = world;
  const base = { namespace, key: toUtf8(randomKey(prng)) } as const;
  const kind = prng.below(8);
  if (kind < 3) {
    const etag = { md5: prng.fill(new Uint8Array(16)), parts: 0 };
    return { ...base, kind: "put_object", ...content(world), etag, attributes: noAttributes };
  }
  if (kind === 3) return { ...base, kind: "delete_object" };
  if (kind === 4) {
    const source = { namespace, key: toUtf8(randomKey(prng)) };
    return { ...base, kind: "copy_object", source };
  }
  if (kind === 5) {
    const until = wallTime(tree.bed.now + retentionMs);
    const changes = { retention: { mode: "compliance", until } } as const;
    return { ...base, kind: "set_object_extras", changes };
  }
  if (kind === 6) return { kind: "reclaim_step" };
  const version = someVersion(world, base.key);
  return { ...base, kind: "delete_object", version, isBypassing: true };
}
function someVersion({ prng, tree }: World, key: Uint8Array): VersionRef {
  const query = { namespace, prefix: key, delimiter: new Uint8Array(0), countMax: 5 };
  const page = listVersions(tree.bed.map, testDirKeys, query);
  const items = page.kind === "page" ? page.items : [];
  const item = items.length === 0 ? undefined : pick(prng, items);
  if (item?.kind !== "version" || prng.chance(1, 6)) return "null";
  return item.entry.version;
}

function actOfPosix(world: World): Operation {
  const { prng, tree, refs } = world;
  const place = tree.place(randomPath(prng));
  const client = pick(prng, clients);
  const mayOpen = prng.chance(1, 3) ? { client } : {};
  const file = refs.length === 0 ? tree.get("").ref : pick(prng, refs);
  const base = { namespace, file } as const;
  switch (prng.below(13)) {
    case 0:
    case 1: {
      const type = pick(prng, ["file", "file", "directory", "symlink", "fifo"] as const);
      const target = type === "symlink" ? { target: toUtf8("t") } : {};
      const open = type === "file" ? mayOpen : {};
      const given = { type, isExclusive: prng.chance(1, 2), mode: 0o644, uid: 0, gid: 0 } as const;
      return { kind: "make_node", namespace, ...place, ...given, ...target, ...open };
    }
    case 2:
      return { kind: "unlink", namespace, ...place, ...mayOpen };
    case 3:
      return { kind: "rmdir", namespace, ...place };
    case 4:
    case 5:
    case 6: {
      const to = tree.place(randomPath(prng));
      const flag = pick(prng, [{}, {}, { flag: "noreplace" }, { flag: "exchange" }] as const);
      return { kind: "rename", namespace, from: place, to, ...flag, ...mayOpen };
    }
    case 7:
      return { kind: "link", ...base, ...place };
    case 8:
      return { ...base, kind: "set_attributes", mode: 0o600, mtime: "now" };
    case 9:
      return { ...base, kind: prng.chance(1, 2) ? "open_file" : "close_file", client };
    case 10:
      return { ...base, kind: "truncate_file", size: prng.below(150) };
    case 11: {
      const attribute = toUtf8("user.a");
      return { ...base, kind: "set_xattr", attribute, value: Uint8Array.of(prng.below(9)) };
    }
    default:
      if (prng.chance(1, 4)) return { kind: "close_session", client };
      return { ...base, kind: "write_file", pieces: [somePiece(world)] };
  }
}
function somePiece(world: World) {
  const { prng } = world;
  const n = world.nextSeal++;
  const offset = prng.below(120);
  const range = { offset, length: 1 + prng.below(100), chunkOffset: 0 };
  if (prng.chance(1, 2)) {
    const ref = { ...testAddress(1_000_000 + n), ...testSeal(n, 100) };
    return { kind: "small", ...range, ref } as const;
  }
  return { kind: "chunk", ...range, ...testAddress(n % 7), seal: testSeal(n) } as const;
}

/** Versions that compliance keeps now. */
function noteLocked({ tree, locked }: World): void {
  const nothing = new Uint8Array(0);
  const query = { namespace, prefix: nothing, delimiter: nothing, countMax: 1000 };
  const page = listVersions(tree.bed.map, testDirKeys, query);
  if (page.kind !== "page") throw new TypeError("Cannot list versions");
  for (const item of page.items) {
    if (item.kind !== "version" || item.entry.kind !== "object") continue;
    const { version } = item.entry;
    const found = lookupObject(tree.bed.map, testDirKeys, { namespace, key: item.key, version });
    const retention = found.kind === "object" ? found.cold.attributes.retention : undefined;
    if (retention === undefined) continue;
    const key = toHex(item.key);
    locked.set(`${key} ${version}`, { key, version, until: retention.until });
  }
}
function checkLocked({ tree, locked }: World): void {
  for (const [id, { key, version, until }] of locked) {
    if (until <= tree.bed.now) locked.delete(id);
    else {
      const query = { namespace, key: Uint8Array.fromHex(key), version };
      const found = lookupObject(tree.bed.map, testDirKeys, query);
      expect([id, found.kind]).toEqual([id, "object"]);
    }
  }
}
function changeNamespace({ tree, prng }: World, at: number): void {
  const versioning = pick(prng, ["enabled", "suspended", "enabled"] as const);
  if (at === 350) {
    tree.bed.decide({ kind: "set_versioning", namespace, versioning: "enabled" });
    tree.bed.decide({ kind: "set_object_lock", namespace });
  } else if (at === 500) {
    const byDefault = { mode: "compliance", unit: "days", count: 1 } as const;
    tree.bed.decide({ kind: "set_object_lock", namespace, byDefault });
  } else tree.bed.decide({ kind: "set_versioning", namespace, versioning });
}

test(`no order of operations leaves rows that disagree, seed ${seed}`, () => {
  const tree = new Tree();
  const prng = prngFromSeed(seed);
  const world: World = { prng, tree, refs: [], locked: new Map(), nextSeal: 1 };
  tree.bed.keeper = () => (prng.chance(1, 4) ? pick(prng, clients) : undefined);
  let taken = 0;
  for (let i = 0; i < operationsCount; i++) {
    if (i >= 150 && i % 50 === 0) changeNamespace(world, i);
    noteRef(world);
    const operation = prng.chance(1, 3) ? actOfS3(world) : actOfPosix(world);
    const once = prng.chance(1, 20) ? { once: operationId(prng.fill(new Uint8Array(16))) } : {};
    const answer = tree.bed.decide("file" in operation ? { ...operation, ...once } : operation);
    if (typeof answer !== "string") taken += 1;
    checkLocked(world);
    if (i > 350) noteLocked(world);
    if (i % 20 === 0) checkMap(tree.bed.map, testDirKeys);
  }
  checkMap(tree.bed.map, testDirKeys);
  replay(tree.bed);
  expect(taken).toBeGreaterThan(operationsCount / 5);
});
