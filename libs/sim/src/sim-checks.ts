import {
  fromHex,
  logIndex,
  type NamespaceId,
  namespaceId,
  newBytes,
  toHex,
  toUtf8,
} from "@kiseki/base";
import type { SealRef } from "@kiseki/chunk-store";
import {
  apply,
  decodeChange,
  listNamespaces,
  listParts,
  listReferences,
  listUploads,
  lookupHolds,
  lookupObject,
  lookupSetting,
} from "@kiseki/composition";
import { checkMap, memoryMap, type MemoryMap } from "@kiseki/composition/contract";
import { checkEntry, emptyChain, type LogChain, openDelta } from "@kiseki/log";
import { collectGarbage, matchOrphans } from "@kiseki/node/sim";
import type { MapReader } from "@kiseki/ports";
import type { ModelBucket, ModelExtras, PlainModel } from "./sim-model.ts";
import { extrasOf, extrasText, textOf, uploadName } from "./sim-model.ts";
import { must, SimFinding, type SimNode } from "./sim-node.ts";
import { allVersions, describeSeal, listPage, readObject } from "./sim-reads.ts";

const pageSize = 7;

/** One thing that a listing shows; the number is a version's. */
interface StateLine {
  readonly text: string;
  readonly number: bigint | undefined;
}
const plainLines = (lines: readonly string[]): StateLine[] =>
  lines.toSorted().map((text) => ({ text, number: undefined }));

/** The store as its listings show it, in the words of `modelState`. */
function storeState(node: SimNode): StateLine[] {
  const lines: StateLine[] = [];
  const { namespaces } = node.tenant.store.view((map) => listNamespaces(map, undefined, 1000));
  for (const { id, name, versioning, isLockEnabled } of namespaces) {
    const bucket = toHex(id);
    const { holds, isTold } = node.tenant.store.view((map) => ({
      holds: lookupHolds(map, id).map((hold) => hold.id),
      isTold: lookupSetting(map, id, "notification") !== undefined,
    }));
    const text = `bucket ${bucket} ${name} ${versioning} ${isLockEnabled} ${holds.join()} ${isTold}`;
    lines.push({ text, number: undefined });
    for (const one of allVersions(node, bucket, pageSize)) {
      const extras = extrasText(storedExtras(node, id, one));
      const text = `${one.key} ${one.isNull} ${one.isMarker} ${one.etag} ${extras}`;
      lines.push({ text, number: one.number });
    }
    lines.push(...plainLines(storedUploads(node, bucket)));
  }
  return lines;
}
/** What is kept beside a version's content. */
function storedExtras(
  node: SimNode,
  namespace: NamespaceId,
  { key, number, isMarker }: ReturnType<typeof allVersions>[number],
): ModelExtras {
  if (isMarker) return {};
  const query = { namespace, key: toUtf8(key), version: number };
  const found = node.tenant.store.view((map) => lookupObject(map, node.dirKeys, query));
  must(found.kind === "object", "a version that is listed is there");
  return extrasOf(found.cold.attributes);
}
function openUploads(
  node: SimNode,
  bucket: string,
): { readonly key: Uint8Array; readonly upload: Uint8Array }[] {
  const namespace = namespaceId(fromHex(bucket));
  const page = node.tenant.store.view((map) =>
    listUploads(map, node.dirKeys, {
      namespace,
      prefix: toUtf8(""),
      delimiter: toUtf8(""),
      countMax: 1000,
    }),
  );
  must(page.kind === "page" && page.next === undefined, "a bucket's uploads are listed");
  return page.items.map((item) => {
    must(item.kind === "upload", "without delimiter there are no prefixes");
    return item;
  });
}
function storedUploads(node: SimNode, bucket: string): string[] {
  const namespace = namespaceId(fromHex(bucket));
  return openUploads(node, bucket).map(({ key, upload }) => {
    const parts = node.tenant.store.view((map) =>
      listParts(map, node.dirKeys, { namespace, key, upload, after: 0, countMax: 1000 }),
    );
    must(parts.kind === "page", "an open upload's parts are listed");
    const list = parts.parts.map(({ part, row }) => `${part}=${toHex(row.md5)}`).join(",");
    return `upload ${uploadName(upload)} ${textOf(key)} ${list}`;
  });
}
const compareText = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));

function modelState(model: PlainModel): StateLine[] {
  const lines: StateLine[] = [];
  const buckets = [...model.buckets.values()].toSorted((a, b) => compareText(a.name, b.name));
  for (const bucket of buckets) {
    const { id, name, versioning, isLockEnabled, told } = bucket;
    const holds = [...bucket.holds].toSorted().join();
    const text = `bucket ${id} ${name} ${versioning} ${isLockEnabled} ${holds} ${told !== undefined}`;
    lines.push({ text, number: undefined });
    for (const key of [...bucket.keys.keys()].toSorted(compareText))
      for (const one of bucket.keys.get(key)!)
        lines.push({
          text: `${key} ${one.isNull} ${one.isMarker} ${one.etag} ${extrasText(one.extras)}`,
          number: one.number,
        });
    lines.push(...plainLines(modelUploads(bucket)));
  }
  return lines;
}
const modelUploads = (bucket: ModelBucket): string[] =>
  [...bucket.uploads].map(([name, { key, parts }]) => {
    const numbers = [...parts.keys()].toSorted((a, b) => a - b);
    return `upload ${name} ${key} ${numbers.map((n) => `${n}=${parts.get(n)!.md5}`).join(",")}`;
  });

/** Where both differ first, in words; `undefined` when nowhere. Numbers that the model does not know fit. */
function difference(
  stored: readonly StateLine[],
  wanted: readonly StateLine[],
): string | undefined {
  for (let i = 0; i < Math.max(stored.length, wanted.length); i++) {
    const a = stored[i];
    const b = wanted[i];
    const isSame = a?.text === b?.text && (b?.number === undefined || a?.number === b.number);
    if (!isSame) return `stored "${wordsOf(a)}", acknowledged "${wordsOf(b)}"`;
  }
  return undefined;
}
const wordsOf = (line: StateLine | undefined): string =>
  line === undefined ? "nothing" : `${line.text} ${line.number ?? ""}`;

/**
 * After a start: what is stored is what was acknowledged and, of what was submitted and not answered, a
 * prefix. Answers the model of that.
 */
export function settleAfterCrash(
  node: SimNode,
  before: { readonly model: PlainModel; readonly pending: SimNode["pending"] },
): PlainModel {
  const stored = storeState(node);
  const model = before.model.clone();
  const first = difference(stored, modelState(model));
  if (first === undefined) {
    doubt(stored, model, before.pending);
    return adoptNumbers(node, model);
  }
  for (const [i, pending] of before.pending.entries()) {
    model.apply(pending);
    if (difference(stored, modelState(model)) !== undefined) continue;
    node.world.count("applied without an answer");
    doubt(stored, model, before.pending.slice(i + 1));
    return adoptNumbers(node, model);
  }
  throw new SimFinding(
    `Must hold: after a crash the store holds what was acknowledged and a prefix of what was submitted ` +
      `(${before.pending.length} submitted): ${first}`,
  );
}
/** Notes what `rest` would tell, as far as the store would look the same if it had been applied. */
function doubt(stored: readonly StateLine[], model: PlainModel, rest: SimNode["pending"]): void {
  const further = model.clone();
  for (const pending of rest) {
    further.apply(pending);
    if (difference(stored, modelState(further)) !== undefined) continue;
    model.perhapsTold.length = 0;
    model.perhapsTold.push(...further.perhapsTold);
    for (const [bucket, { notices }] of further.buckets) {
      const known = model.buckets.get(bucket)?.notices.length ?? 0;
      for (const notice of notices.slice(known)) model.perhapsTold.push({ ...notice, bucket });
    }
  }
}
/** Version numbers that no answer told. */
function adoptNumbers(node: SimNode, model: PlainModel): PlainModel {
  for (const [id, { keys, uploads }] of model.buckets) {
    for (const { upload } of openUploads(node, id)) {
      const one = uploads.get(uploadName(upload));
      must(one !== undefined, "uploads were compared before");
      one.id ??= upload;
    }
    const ranks = new Map<string, number>();
    for (const { key, number } of allVersions(node, id, 1000)) {
      const rank = ranks.get(key) ?? 0;
      ranks.set(key, rank + 1);
      const one = keys.get(key)?.[rank];
      must(one !== undefined, "versions were compared before");
      one.number ??= number;
      must(one.number === number, `${key} keeps the numbers of its versions`);
    }
  }
  return model;
}

/** While nobody works: listings, and every acknowledged byte. */
export async function checkContents(node: SimNode): Promise<void> {
  const wrong = difference(storeState(node), modelState(node.model));
  must(wrong === undefined, `the store holds what was acknowledged: ${wrong}`);
  adoptNumbers(node, node.model);
  for (const [bucket, { keys }] of node.model.buckets) {
    for (const delimiter of ["", "/"]) {
      listPage(node, bucket, { prefix: "", delimiter, after: undefined, countMax: 1000 });
    }
    for (const [key, versions] of keys) {
      for (const { number } of versions) {
        if (number !== undefined)
          await readObject(node, { bucket, key, version: number }, undefined, 0);
      }
    }
  }
}

/** Counts of rows, and that what the map names is on the devices. `isWhole`: with every fragment. */
export function checkReferences(node: SimNode, isWhole: boolean): ReadonlySet<string> {
  const { tenant, ports, dirKeys, world } = node;
  const named = tenant.store.view((map) => checkMap(map, dirKeys));
  let after: Uint8Array | undefined;
  do {
    const from = after;
    const page = tenant.store.view((map) => listReferences(map, from, 1000));
    for (const { chunkId, sealId, from: table, missing } of page.references) {
      // A collection that was cut short may have taken it from the devices already.
      if (table === "drop" || table === "condemned") continue;
      if (world.shape.rots) continue;
      must(ports.chunkStore.has(chunkId, sealId), "what is named has enough fragments of one seal");
      const inspection = ports.chunkStore.inspect(chunkId, sealId);
      must(inspection !== undefined, "what is named is in the index");
      must(!isWhole || inspection.missing === 0, "after repair nothing lacks a fragment");
      const isTold = table !== "chunk" || missing === 0;
      must(!isWhole || isTold, "after repair the shard knows that nothing lacks a fragment");
    }
    after = page.next;
  } while (after !== undefined);
  return named;
}

/** Those of `refs` that something living names; the rest is garbage. */
export function namedOf(node: SimNode, refs: readonly SealRef[]): readonly SealRef[] {
  if (refs.length === 0) return refs;
  const page = node.tenant.store.view((map) => listReferences(map, undefined, 1_000_000));
  const living = page.references.filter(({ from }) => from !== "drop" && from !== "condemned");
  const named = new Set(living.map(({ sealId }) => toHex(sealId)));
  return refs.filter(({ sealId }) => named.has(toHex(sealId)));
}
/** Of what repair calls lost, nothing may be named: else more was lost than the redundancy allows. */
export function checkLost(node: SimNode, lost: readonly SealRef[]): void {
  if (lost.length === 0 || node.world.shape.rots) return;
  const named = namedOf(node, lost);
  const words = named.map((ref) => describeSeal(node, ref)).join("; ");
  must(named.length === 0, `repair finds nothing lost: ${words}`);
}

/** A device that a write or sync failed on stays out until it is replaced, whatever is restarted. */
export function checkFailed({ ports, world }: SimNode): void {
  for (const { id, path, state, mustReplace } of ports.chunkStore.status().devices) {
    if (mustReplace) world.failed.add(toHex(id));
    must(mustReplace || !world.failed.has(toHex(id)), `${path} failed and is ${state} again`);
  }
}
/** What sound disks are believed to hold is there: one that was away or shows an old state was compared first. */
export function checkBelieved({ ports, world }: SimNode): void {
  if (world.shape.rots) return;
  for (const { path, faults } of ports.chunkStore.status().devices) {
    const disk = path === undefined ? undefined : world.disks.get(path);
    if (disk === undefined || world.damaged.has(disk)) continue;
    const count = faults.header + faults.crc;
    must(count === 0, `what ${path} is believed to hold is there (${count} are not)`);
  }
}

/** With nobody at work: collects, and finds that the devices hold what the map names and nothing else. */
export async function checkGarbage(node: SimNode): Promise<void> {
  const { ports, tenant, world } = node;
  for (let rounds = 0; rounds < 100; rounds++) {
    const deleted = await collectGarbage(ports, tenant);
    world.count("seals collected", deleted);
    if (deleted === 0) break;
  }
  const { removed } = await matchOrphans(ports, [tenant], { all: true, signal: node.signal });
  world.count("orphans removed", removed);
  const named = checkReferences(node, false);
  const leaked: string[] = [];
  await ports.chunkStore.matchCandidates(
    ({ sealId, inspection: { candidate, epoch, size } }) => {
      if (named.has(toHex(sealId))) return undefined;
      // What a device brought back of this epoch is left alone until the next start.
      if (candidate && epoch === tenant.owner.epoch) return undefined;
      leaked.push(
        `${toHex(sealId)} of ${size} bytes, epoch ${epoch}${candidate ? ", candidate" : ""}`,
      );
      return undefined;
    },
    { all: true },
  );
  must(
    leaked.length === 0,
    `nothing is left on the devices that nothing names (now epoch ${tenant.owner.epoch}: ${leaked.join("; ")})`,
  );
}

/** A second map made of the log alone, over all the processes of a run. */
export class SimReplay {
  #chain: LogChain | undefined;
  readonly map: MemoryMap = memoryMap();

  /** Applies what the log has got since and compares row by row. */
  check(node: SimNode): void {
    const { keyring, tenant, world } = node;
    this.#chain ??= emptyChain(tenant.shard);
    const chainKeyOf = (set: Parameters<typeof keyring.chainKey>[0]): Uint8Array =>
      keyring.chainKey(set, tenant.shard);
    for (;;) {
      const entries = tenant.store.read(logIndex(this.#chain.index + 1n), 1000, 1 << 24);
      if (entries.length === 0) break;
      for (const entry of entries) {
        const checked = checkEntry(world.crypto, chainKeyOf, this.#chain, entry);
        must(
          checked.kind === "accepted",
          `the log is a chain: ${checked.kind === "halt" ? checked.fault : ""}`,
        );
        for (const delta of checked.deltas) this.#apply(node, delta);
        this.#chain = checked.next;
      }
    }
    must(this.#chain.index === tenant.store.head().index, "the log is as long as its head says");
    tenant.store.view((map) => sameRows(map, this.map));
  }
  #apply(node: SimNode, delta: Parameters<typeof openDelta>[2]): void {
    const { keyring, world } = node;
    const keys = keyring.keyset(delta.header.keyset);
    must(keys !== undefined, "a delta is under a live keyset");
    const logKey = keys.logKey(delta.header.shard, delta.header.epoch);
    const opened = openDelta(world.crypto, logKey, delta);
    must(opened !== "bad_tag", "a delta opens");
    const rows = decodeChange(opened.payload);
    must(rows.kind === "rows", "a delta's payload is rows");
    apply(this.map, rows);
  }
}
function sameRows(map: MapReader, replayed: MemoryMap): void {
  const rows = replayed.rows();
  let at = 0;
  map.scan({ start: newBytes(0) }, (key, value) => {
    const row = rows[at++];
    must(
      row !== undefined && Buffer.compare(row[0], key) === 0 && Buffer.compare(row[1], value) === 0,
      `a replay of the log gives the same rows (table ${key[0]})`,
    );
    return true;
  });
  must(at === rows.length, "a replay of the log gives no more rows");
}
