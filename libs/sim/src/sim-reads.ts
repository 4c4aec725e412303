import { AssertionError, millis, namespaceId, fromHex, toHex, toUtf8 } from "@kiseki/base";
import {
  type ContentPage,
  type FoundObject,
  etagText,
  listObjects,
  listVersions,
  lookupObject,
  readContent,
  type VersionRef,
} from "@kiseki/composition";
import type { SealRef } from "@kiseki/chunk-store";
import { ContentReader, DamagedContentError } from "@kiseki/node/sim";
import { type Body, sizeOf, sliceBody } from "./sim-body.ts";
import {
  currentOf,
  type ModelBucket,
  type ModelVersion,
  type PlainModel,
  textOf,
} from "./sim-model.ts";
import { openForCustomer } from "./sim-customer.ts";
import { must, type SimNode } from "./sim-node.ts";

export interface ReadQuery {
  readonly bucket: string;
  readonly key: string;
  readonly version?: VersionRef;
}
/** What a look-up shows: an ETag, or why there is none. */
type Seen = { readonly text: string; readonly body: Body };

function expectedRead(model: PlainModel, { bucket, key, version }: ReadQuery): Seen {
  const found = model.buckets.get(bucket);
  if (found === undefined) return { text: "no_such_namespace", body: [] };
  const versions = found.keys.get(key);
  const one = pick(versions, version);
  if (one === undefined) {
    return { text: version === undefined ? "no_such_key" : "no_such_version", body: [] };
  }
  return one.isMarker ? { text: "marker", body: [] } : { text: one.etag, body: one.body };
}
function pick(
  versions: readonly ModelVersion[] | undefined,
  version: VersionRef | undefined,
): ModelVersion | undefined {
  if (version === undefined) return versions?.[0];
  return versions?.find((one) => (version === "null" ? one.isNull : one.number === version));
}

/** One GET: looks up, compares with what may be there, reads a range, slowly if asked. Answers what it saw. */
export async function readObject(
  node: SimNode,
  query: ReadQuery,
  range: { readonly from: number; readonly length: number } | undefined,
  pause: number,
): Promise<string> {
  const { tenant, world } = node;
  using held = new DisposableStack();
  const place = held.use(tenant.readers.enter());
  const name = {
    namespace: namespaceId(fromHex(query.bucket)),
    key: toUtf8(query.key),
    ...(query.version !== undefined && { version: query.version }),
  };
  const found = tenant.store.view((map) => lookupObject(map, node.dirKeys, name));
  const text =
    found.kind === "refused"
      ? found.code
      : found.kind === "object"
        ? etagText(found.entry.etag)
        : "marker";
  let seen: Seen | undefined;
  const wanted: string[] = [];
  for (const model of node.possible()) {
    const expected = expectedRead(model, query);
    wanted.push(expected.text);
    if (expected.text !== text) continue;
    seen = expected;
    break;
  }
  must(seen !== undefined, `${query.key} reads as ${wanted.join(" or ")}, not ${text}`);
  if (found.kind !== "object") return text;
  const size = sizeOf(seen.body);
  must(found.entry.size === size, `${query.key} has ${size} bytes, not ${found.entry.size}`);
  const start = range === undefined ? 0 : Math.min(range.from, size);
  const end = range === undefined ? size : Math.min(size, start + range.length);
  if (start === end) return text;
  held.move(); // the reader leaves in its own time
  const bytes = await readBytes(node, found, { start, end, place, pause });
  if (bytes === undefined) {
    const seals = world.shape.rots ? "" : describeSeals(node, found);
    must(world.shape.rots, `${query.key} is readable, what was damaged is redundant (${seals})`);
    world.count("damage detected by a read");
    return `${text} damaged`;
  }
  must(Buffer.compare(bytes, sliceBody(seen.body, start, end)) === 0, `${query.key} has its bytes`);
  return text;
}

/** What the devices have of a seal, for whoever looks for the fault. */
export function describeSeal(node: SimNode, { chunkId, sealId }: SealRef): string {
  const inspection = node.ports.chunkStore.inspect(chunkId, sealId);
  const name = toHex(sealId).slice(0, 12);
  if (inspection === undefined) return `${name} is not in the index`;
  const { profile, fragments, candidate, epoch } = inspection;
  const counted = fragments.map(({ index, present, device }) => {
    const path = node.ports.chunkStore
      .status()
      .devices.find((one) => toHex(one.id) === toHex(device))?.path;
    return `${index} on ${path}${present ? "" : " not present"}`;
  });
  const kind =
    profile.kind === "ec" ? `${profile.data}+${profile.parity}` : `${profile.copies} copies`;
  return `${name} epoch ${epoch} ${kind}: ${counted.join(", ")}${candidate ? ", candidate" : ""}`;
}

/** What the devices have of an object, for whoever looks for the fault. */
function describeSeals(node: SimNode, { cold, entry }: FoundObject): string {
  const range = { start: 0, end: entry.size };
  let page: ContentPage;
  try {
    page = node.tenant.store.view((map) => readContent(map, cold.content, range, 1000));
  } catch (reason) {
    if (!(reason instanceof AssertionError)) throw reason;
    return "deleted since";
  }
  const { chunkStore } = node.ports;
  const states = chunkStore.status().devices.map(({ path, state }) => `${path} ${state}`);
  const seals = page.pieces.map((piece) => {
    if (piece.kind === "hole") return "hole";
    return describeSeal(node, { chunkId: piece.address.chunkId, sealId: piece.seal.sealId });
  });
  return `${seals.join("; ")}; ${states.join(", ")}`;
}

async function readBytes(
  node: SimNode,
  found: FoundObject,
  how: {
    readonly start: number;
    readonly end: number;
    readonly place: Disposable;
    readonly pause: number;
  },
): Promise<Uint8Array | undefined> {
  const { start, end, place, pause } = how;
  using reader = new ContentReader(node.ports, node.tenant, {
    found,
    start,
    end,
    place,
    signal: node.signal,
    cipher: openForCustomer(node, found.cold.attributes),
  });
  const parts: Uint8Array[] = [];
  try {
    for (;;) {
      if (pause > 0) await node.alive(node.ports.clock.sleep(millis(pause), node.signal));
      const bytes = await node.alive(reader.next());
      if (bytes === undefined) return Buffer.concat(parts);
      parts.push(bytes.slice());
    }
  } catch (reason) {
    if (reason instanceof DamagedContentError) return undefined;
    throw reason;
  }
}

export interface SimListQuery {
  readonly prefix: string;
  readonly delimiter: string;
  readonly after: string | undefined;
  readonly countMax: number;
}
const compareText = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

function expectedPage(bucket: ModelBucket | undefined, query: SimListQuery): string {
  if (bucket === undefined) return "no_such_namespace";
  const { prefix, delimiter, after, countMax } = query;
  const items = new Set<string>();
  for (const [key, versions] of bucket.keys) {
    if (!key.startsWith(prefix) || currentOf(versions) === undefined) continue;
    const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    items.add(at < 0 ? `${key}\u0000k` : `${key.slice(0, at + delimiter.length)}\u0000p`);
  }
  const named = [...items].map((item) => ({ text: item.slice(0, -2), kind: item.slice(-1) }));
  const above = named.filter(({ text }) => after === undefined || compareText(text, after) > 0);
  const sorted = above.toSorted((a, b) => compareText(a.text, b.text));
  return sorted
    .slice(0, countMax)
    .map(({ text, kind }) => `${kind}${text}`)
    .join("|");
}
/** One page of a listing, compared with what may be there. */
export function listPage(node: SimNode, bucket: string, query: SimListQuery): string {
  const { prefix, delimiter, after, countMax } = query;
  const page = node.tenant.store.view((map) =>
    listObjects(map, node.dirKeys, {
      namespace: namespaceId(fromHex(bucket)),
      prefix: toUtf8(prefix),
      delimiter: toUtf8(delimiter),
      countMax,
      ...(after !== undefined && { after: toUtf8(after) }),
    }),
  );
  const text =
    page.kind === "refused"
      ? page.code
      : page.items
          .map((item) =>
            item.kind === "object" ? `k${textOf(item.key)}` : `p${textOf(item.prefix)}`,
          )
          .join("|");
  const wanted: string[] = [];
  for (const model of node.possible()) {
    const expected = expectedPage(model.buckets.get(bucket), query);
    if (expected === text) return text;
    wanted.push(expected);
  }
  must(false, `a listing shows ${wanted.join(" or ")}, not ${text}`);
}

/** Every version of a bucket, page by page of `countMax`. */
export function allVersions(node: SimNode, bucket: string, countMax: number) {
  const versions: {
    key: string;
    number: bigint;
    isNull: boolean;
    isMarker: boolean;
    etag: string;
    size: number;
  }[] = [];
  let after: { readonly key: Uint8Array; readonly version?: VersionRef } | undefined;
  do {
    const from = after;
    const page = node.tenant.store.view((map) =>
      listVersions(map, node.dirKeys, {
        namespace: namespaceId(fromHex(bucket)),
        prefix: toUtf8(""),
        delimiter: toUtf8(""),
        countMax,
        after: from,
      }),
    );
    must(page.kind === "page", "a bucket that is there is listed");
    for (const item of page.items) {
      must(item.kind === "version", "without delimiter there are no prefixes");
      const { entry } = item;
      const isMarker = entry.kind === "delete_marker";
      versions.push({
        key: textOf(item.key),
        number: entry.version,
        isNull: entry.isNull,
        isMarker,
        etag: isMarker ? "" : etagText(entry.etag),
        size: entry.size,
      });
    }
    after = page.next;
  } while (after !== undefined);
  return versions;
}
