import { assert, sameBytes, type WallTime } from "@kiseki/base";
import { changedAt, listVersions, lookupObject } from "@kiseki/composition";
import type { NamespaceRow, ObjectEntry, VersionNumber } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { VersionState } from "@kiseki/s3";
import type { OpenTenant } from "../object/types.ts";

/** A version as rules look at it, and what names it in the shard. */
export interface SeenVersion extends VersionState {
  readonly version: VersionNumber;
  /** The key's newest version or marker when this one was seen. */
  readonly newest: VersionNumber;
}

/** What is known of the key that a page ended in. */
interface OpenKey {
  readonly key: Uint8Array;
  readonly newest: VersionNumber;
  /** Of the version seen last. */
  readonly version: VersionNumber;
  readonly modified: WallTime;
  /** Versions seen so far that are noncurrent. */
  readonly noncurrentCount: number;
}
/** Where the next page begins. */
export interface VersionCursor {
  readonly after: { readonly key: Uint8Array; readonly version?: VersionNumber };
  readonly open: OpenKey | undefined;
}
export interface VersionPage {
  readonly versions: readonly SeenVersion[];
  readonly next: VersionCursor | undefined;
  /** The last key all of whose versions are seen; undefined: none on this page. */
  readonly doneUpTo: Uint8Array | undefined;
}

export interface VersionQuery {
  readonly namespace: NamespaceRow["id"];
  readonly cursor: VersionCursor | undefined;
  readonly countMax: number;
  /** Tags are in another row than the rest. */
  readonly withTags: boolean;
}

/** Some versions in order of their keys, each key's from the newest on. Rows touched are bounded by `countMax`. */
export function readVersions(tenant: OpenTenant, query: VersionQuery): VersionPage {
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  return tenant.store.view((map) => readPage(map, dirKeys, query));
}

type DirKeys = ReturnType<OpenTenant["dirKeys"]>;
const none: Uint8Array = new Uint8Array(0);

function readPage(map: MapReader, dirKeys: DirKeys, query: VersionQuery): VersionPage {
  const { namespace, cursor, countMax, withTags } = query;
  const list = (after: VersionCursor["after"] | undefined, count: number, prefix = none) =>
    listVersions(map, dirKeys, { namespace, prefix, delimiter: none, after, countMax: count });
  const page = list(cursor?.after, countMax);
  if (page.kind === "refused") return { versions: [], next: undefined, doneUpTo: undefined };
  // A directory that mkdir made and nobody filled is no object of anybody's: it has no version.
  const items = page.items
    .filter((item) => item.kind === "version")
    .filter(({ entry }) => entry.version > 0n);
  const versions: SeenVersion[] = [];
  let open = cursor?.open;
  items.forEach(({ key, entry }, i) => {
    if (open !== undefined && !sameBytes(open.key, key)) open = undefined;
    const isFirst = open === undefined;
    const follower = items[i + 1];
    const isFollowed =
      follower === undefined
        ? isContinued(list({ key, version: entry.version }, 1, key), key)
        : sameBytes(follower.key, key);
    const { version: number } = entry;
    versions.push({
      key,
      version: number,
      newest: open?.newest ?? number,
      isDeleteMarker: entry.kind === "delete_marker",
      storageClass: entry.storageClass ?? "STANDARD",
      size: entry.size,
      tags: withTags ? tagsOf(map, dirKeys, { namespace, key, entry }) : [],
      modified: changedAt(entry),
      noncurrentSince: open?.modified,
      newerNoncurrentCount: open?.noncurrentCount ?? 0,
      isOnly: isFirst && !isFollowed,
    });
    open = {
      key,
      newest: open?.newest ?? number,
      version: number,
      modified: changedAt(entry),
      noncurrentCount: isFirst ? 0 : open!.noncurrentCount + 1,
    };
  });
  return { versions, ...positionOf(page.next, open, versions) };
}

/** Whether a page holds more of `key`. */
function isContinued(page: ReturnType<typeof listVersions>, key: Uint8Array): boolean {
  if (page.kind === "refused") return false;
  const item = page.items[0];
  return item?.kind === "version" && sameBytes(item.key, key);
}

function positionOf(
  next: { readonly key: Uint8Array; readonly version?: unknown } | undefined,
  open: OpenKey | undefined,
  versions: readonly SeenVersion[],
): Pick<VersionPage, "next" | "doneUpTo"> {
  const last = versions.at(-1)?.key;
  if (next === undefined) return { next: undefined, doneUpTo: last };
  // The page's own end names a version; where the listing stopped between keys, all before it is done.
  const isInside = open !== undefined && sameBytes(open.key, next.key);
  if (!isInside) return { next: { after: { key: next.key }, open: undefined }, doneUpTo: next.key };
  const before = versions.findLast(({ key }) => !sameBytes(key, open.key))?.key;
  const after = { key: next.key, version: open.version };
  return { next: { after, open }, doneUpTo: before };
}

function tagsOf(
  map: MapReader,
  dirKeys: DirKeys,
  { namespace, key, entry }: Pick<SeenKey, "namespace" | "key" | "entry">,
): VersionState["tags"] {
  if (entry.kind === "delete_marker") return [];
  const found = lookupObject(map, dirKeys, { namespace, key, version: entry.version });
  assert(found.kind !== "refused", "what the listing shows is there in the same view");
  const tags = found.kind === "object" ? (found.cold.attributes.tags ?? []) : [];
  return tags.map(([name, value]) => ({ key: name, value }));
}
interface SeenKey {
  readonly namespace: NamespaceRow["id"];
  readonly key: Uint8Array;
  readonly entry: ObjectEntry;
}
