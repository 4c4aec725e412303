import type { DirectoryEntry, HeadRow, ObjectEntry } from "@kiseki/format";
import { keyAfterPrefix } from "@kiseki/format";
import { sameBytes } from "@kiseki/base";
import type { MapReader } from "@kiseki/ports";
import { getHead, isLive } from "./directories.ts";
import { emptyEtag } from "./inodes.ts";
import { lookupObject } from "./lookup.ts";
import { getNamespace } from "./namespaces.ts";
import type { DirKeys, Refusal, VersionRef } from "./operation.ts";
import { refuse } from "./operation.ts";
import type {
  ListItem,
  ListPage,
  ListQuery,
  VersionListItem,
  VersionListPage,
  VersionListQuery,
} from "./reading.ts";
import { beforeDirectory, commonPrefix, startOf, startsWith } from "./roll-up.ts";
import type { WalkEvent } from "./walk.ts";
import { KeyWalk } from "./walk.ts";

/** Events of one call at most: a page ends early rather than walk over many dead directories. */
const eventsMax = 10_000;

type Item = Extract<WalkEvent, { kind: "object" }> | Extract<ListItem, { kind: "prefix" }>;
interface RawPage {
  readonly items: readonly Item[];
  /** Position behind the last event that can be named; `isItem`: it is the last item. */
  readonly next: { readonly after: Uint8Array; readonly isItem: boolean } | undefined;
}

/** A directory that mkdir made and nobody filled, as S3 sees it. */
function emptyDirectory(head: HeadRow): ObjectEntry {
  const { inode, modified, mode, uid, gid } = head;
  const constant = { kind: "object", version: 0n, isNull: true, home: undefined, size: 0 } as const;
  return { ...constant, etag: emptyEtag, created: modified, inode, modified, mode, uid, gid };
}

/** Walks from where `walk` stands and builds a page. */
function collect(
  walk: KeyWalk,
  headOf: (entry: DirectoryEntry) => HeadRow,
  query: Omit<ListQuery, "after">,
  withOld: boolean,
): RawPage {
  const items: Item[] = [];
  /** Where a page may end early; undefined while no `after` says where the walk is. */
  let stop: RawPage["next"];
  let last: RawPage["next"];
  /** True: one item more than fits. */
  const add = (item: Item, after: Uint8Array): boolean => {
    if (items.length === query.countMax) return true;
    items.push(item);
    last = { after, isItem: true };
    stop = last;
    return false;
  };
  for (let count = 0; ; count++) {
    if (count >= eventsMax && stop !== undefined) return { items, next: stop };
    const event = walk.next();
    if (event === undefined) return { items, next: undefined };
    const path = event.kind === "object" ? event.key : event.path;
    if (!startsWith(path, query.prefix)) {
      // A directory on the way to the prefix is never met: the walk began behind it.
      return { items, next: undefined };
    }
    const rolled = commonPrefix(query, path);
    if (event.kind === "directory") {
      const head =
        rolled === undefined && !event.entry.isExplicit ? undefined : headOf(event.entry);
      const isShown = withOld || head === undefined || isLive(head);
      if (rolled === undefined) {
        stop = { after: beforeDirectory(path), isItem: false };
        const isEmpty = head !== undefined && (withOld ? head.total === 0 : head.live === 0);
        if (!isEmpty) continue;
        const entry = emptyDirectory(head);
        if (add({ kind: "object", key: path, entry, isLatest: true }, path)) break;
        continue;
      }
      walk.skip();
      if (!isShown) {
        stop = sameBytes(rolled, path) ? { after: path, isItem: false } : undefined;
        continue;
      }
    }
    if (rolled === undefined) {
      if (event.kind === "object" && add(event, path)) break;
      continue;
    }
    if (add({ kind: "prefix", prefix: rolled }, rolled)) break;
    if (event.kind === "directory" && sameBytes(rolled, path)) continue;
    const bound = keyAfterPrefix(rolled);
    if (bound === undefined) return { items, next: undefined };
    walk.seek(bound);
  }
  return { items, next: last };
}

/**
 * One page of keys and common prefixes in key order. The rows touched are bounded by the page, whatever
 * prefix, delimiter and tree: a common prefix is passed with one seek, a directory of it with none.
 */
export function listObjects(
  map: MapReader,
  dirKeys: DirKeys,
  query: ListQuery,
): ListPage | Refusal {
  const namespace = getNamespace(map, query.namespace);
  if (namespace === undefined) return refuse("no_such_namespace");
  const start = startOf(query, query.after);
  if (query.countMax < 1 || start === undefined)
    return { kind: "page", items: [], next: undefined };
  const walk = new KeyWalk(map, dirKeys, namespace.root, false);
  walk.seek(start);
  const headOf = (entry: DirectoryEntry) => getHead(map, dirKeys.dirKey(entry.inode));
  const page = collect(walk, headOf, query, false);
  const items = page.items.map((item): ListItem =>
    item.kind === "prefix" ? item : { kind: "object", key: item.key, entry: item.entry },
  );
  return { kind: "page", items, next: page.next?.after };
}

/** One page of versions and delete markers: keys in order, each from its newest version to its oldest. */
export function listVersions(
  map: MapReader,
  dirKeys: DirKeys,
  query: VersionListQuery,
): VersionListPage | Refusal {
  const namespace = getNamespace(map, query.namespace);
  if (namespace === undefined) return refuse("no_such_namespace");
  const walk = new KeyWalk(map, dirKeys, namespace.root, true);
  const empty: VersionListPage = { kind: "page", items: [], next: undefined };
  const { after } = query;
  const start = startOf(query, after?.key);
  if (query.countMax < 1 || start === undefined) return empty;
  const isWithin =
    after?.version !== undefined &&
    startsWith(after.key, query.prefix) &&
    commonPrefix(query, after.key) === undefined;
  const version = isWithin ? versionNumber(map, dirKeys, query) : undefined;
  if (after !== undefined && version !== undefined) walk.seekVersion(after.key, version);
  else walk.seek(start);
  const headOf = (entry: DirectoryEntry) => getHead(map, dirKeys.dirKey(entry.inode));
  const page = collect(walk, headOf, query, true);
  const items = page.items.map((item): VersionListItem =>
    item.kind === "prefix" ? item : { ...item, kind: "version" },
  );
  return { kind: "page", items, next: versionNext(page, items.at(-1)) };
}

/** The number behind the version that the page goes on after; `undefined`: it is gone, go on behind the key. */
function versionNumber(
  map: MapReader,
  dirKeys: DirKeys,
  { namespace, after }: VersionListQuery,
): bigint | undefined {
  if (after?.version !== "null") return after?.version;
  const found = lookupObject(map, dirKeys, { namespace, key: after.key, version: "null" });
  return found.kind === "refused" ? undefined : found.entry.version;
}

function versionNext(
  { next }: RawPage,
  last: VersionListItem | undefined,
): { readonly key: Uint8Array; readonly version?: VersionRef } | undefined {
  if (next === undefined) return undefined;
  if (!next.isItem || last?.kind !== "version") return { key: next.after };
  return { key: next.after, version: last.entry.version };
}
