import { assert, newBytes } from "@kiseki/base";
import { encodeRecordHeader, recordHeaderSize } from "@kiseki/format";
import { fragmentsNeeded } from "@kiseki/placement";
import type { FragmentReport, FragmentSource, OpenJob, Profile } from "@kiseki/ports";
import { segmentSize } from "@kiseki/ports";
import type { Pool } from "./pool.ts";
import type { Fragment, Row } from "./row.ts";
import { bestSet, payloadSizeOf, profileOf, rowKey, withoutSpareBad } from "./row.ts";
import { roomFor } from "./ranges.ts";
import type { GetOutcome, GetRequest, SealRef } from "./types.ts";

/** Each try found faults that leave other fragments; more of them are for scrub and repair. */
const triesMax = 4;

/** Opens a range of a chunk. What moved under the read, or is there twice, is tried before it counts as lost. */
export async function getChunk(pool: Pool, request: GetRequest): Promise<GetOutcome> {
  for (let left = triesMax - 1; ; left--) {
    const { outcome, read } = await tryGet(pool, request);
    if (outcome.kind === "lost" && left > 0 && hasOthers(pool, request, read)) continue;
    if (outcome.kind === "lost") pool.ports.metrics.add("kiseki_chunk_reads_lost_total", 1);
    return outcome;
  }
}
/** Whether the row names a fragment that counts and is not among `read`. */
export function hasOthers(pool: Pool, ref: SealRef, read: readonly Fragment[]): boolean {
  const row = pool.row(rowKey(ref.chunkId, ref.sealId));
  if (row === undefined) return false;
  return inOrder(pool, bestSet(row, pool.usable).fragments).some(
    (fragment) => !fragment.bad && !read.some((other) => sameSpot(other, fragment)),
  );
}

interface Tried {
  readonly outcome: GetOutcome;
  readonly read: readonly Fragment[];
}
/** Where a request's bytes are. */
function findRow(pool: Pool, request: GetRequest): Row | undefined {
  pool.checkOpen();
  const { start, end } = rangeOf(request);
  assert(start >= 0 && start < end, "a range is not empty");
  assert(end <= request.size, "a range lies in the chunk");
  assert(request.target.size >= roomFor({ start, end }, request.size), "the target has room");
  const row = pool.rowOf(request, request.name);
  return row?.plainSize === request.size ? row : undefined;
}
const rangeOf = (request: GetRequest): NonNullable<GetRequest["range"]> =>
  request.range ?? { start: 0, end: request.size };
function jobOf(
  request: GetRequest,
  profile: Profile,
  fragments: readonly FragmentSource[],
): OpenJob {
  const { start, end } = rangeOf(request);
  return {
    identity: request,
    profile,
    size: request.size,
    fragments,
    segmentFirst: Math.floor(start / segmentSize),
    segmentEnd: Math.ceil(end / segmentSize),
    target: request.target,
  };
}
function readOutcome(request: GetRequest): GetOutcome {
  const { start, end } = rangeOf(request);
  const offset = request.target.offset + (start % segmentSize);
  return { kind: "read", offset, size: end - start };
}

/** Opens a range in the caller's thread if nothing is to be waited for; all else is `getChunk`'s. */
export function getChunkNow(pool: Pool, request: GetRequest): GetOutcome | undefined {
  const row = findRow(pool, request);
  const plan = row && planRead(pool, request, row);
  if (plan?.sources === undefined) return undefined;
  const opened = pool.ports.datapath.openNow(jobOf(request, plan.profile, plan.sources));
  return opened && readOutcome(request);
}

async function tryGet(pool: Pool, request: GetRequest): Promise<Tried> {
  const row = findRow(pool, request);
  if (row === undefined) {
    pool.ports.index.condemn(); // a shard names it: the devices may know better than the index
    return { outcome: { kind: "not_found" }, read: [] };
  }
  const { profile, readable, sources } = planRead(pool, request, row);
  if (sources === undefined) return { outcome: { kind: "lost" }, read: readable };
  hold(pool, readable, 1);
  let outcome;
  try {
    outcome = await pool.ports.datapath.open(jobOf(request, profile, sources));
  } finally {
    hold(pool, readable, -1);
  }
  if (outcome.faults.length > 0) noteFaults(pool, request, readable, outcome.faults);
  switch (outcome.kind) {
    case "opened":
      return { outcome: readOutcome(request), read: readable };
    case "lost":
      return { outcome: { kind: "lost" }, read: readable };
    case "tampered":
      pool.ports.metrics.add("kiseki_chunk_tampered_total", 1);
      return { outcome: { kind: "tampered" }, read: readable };
  }
}

/** What a read asks for; no sources: too few fragments are left. */
interface ReadPlan {
  readonly profile: Profile;
  readonly readable: readonly Fragment[];
  readonly sources: readonly FragmentSource[] | undefined;
}
/** Of rows that were whole when they were read: rows are never changed, so a plan holds while the devices do. */
const plansOfWhole = new WeakMap<Row, ReadPlan>();

export function planRead(pool: Pool, ref: SealRef, row: Row): ReadPlan {
  const known = plansOfWhole.get(row);
  if (known !== undefined && holds(pool, known)) return known;
  const { profile, fragments } = bestSet(row, pool.usable);
  const readable = inOrder(pool, fragments);
  const isEnough = readable.length >= fragmentsNeeded(profile);
  const sources = isEnough ? sourcesOf(pool, ref, row, readable) : undefined;
  const plan = { profile, readable, sources };
  if (isEnough && readable.length === row.fragments.length && readable.every(pool.usable)) {
    plansOfWhole.set(row, plan);
  }
  return plan;
}
/** Every fragment lies where it did, on a device that counts. */
function holds(pool: Pool, { readable, sources }: ReadPlan): boolean {
  for (let i = 0; i < readable.length; i++) {
    const device = pool.byOrdinal[readable[i]!.device];
    if (device?.trusted !== true || device.slot !== sources?.[i]?.device) return false;
  }
  return true;
}

/**
 * One readable fragment per index of one profile, the best of each: believed ones before those of resyncing devices
 * and bad ones. Failed devices are asked only when the others are not enough.
 */
export function inOrder(pool: Pool, fragments: readonly Fragment[]): Fragment[] {
  const [first] = fragments;
  if (first === undefined) return [];
  const counted = new Set(fragments.filter(pool.usable).map(({ index }) => index));
  const isEnough = counted.size >= fragmentsNeeded(profileOf(first));
  const rank = (fragment: Fragment): number => (pool.usable(fragment) ? 0 : fragment.bad ? 2 : 1);
  const best = new Map<number, Fragment>();
  for (const fragment of fragments) {
    const device = pool.byOrdinal[fragment.device];
    if (device?.readable !== true && (isEnough || device?.isLastResort !== true)) continue;
    const other = best.get(fragment.index);
    if (other === undefined || rank(fragment) < rank(other)) best.set(fragment.index, fragment);
  }
  return [...best.values()].toSorted((a, b) => rank(a) - rank(b) || a.index - b.index);
}
/** Keeps (1) or releases (-1) the zones of `fragments` from being begun anew. */
export function hold(pool: Pool, fragments: readonly Fragment[], change: 1 | -1): void {
  for (const fragment of fragments) {
    const zones = pool.byOrdinal[fragment.device]?.zones;
    if (zones === undefined || fragment.zone >= zones.count) continue;
    zones.readers[fragment.zone]! += change;
    if (zones.readers[fragment.zone] === 0 && zones.state(fragment.zone) === "draining")
      zones.set(fragment.zone, "free");
  }
}
/** Sources with the exact headers that must stand on the devices. */
export function sourcesOf(
  pool: Pool,
  ref: SealRef,
  row: Row,
  fragments: readonly Fragment[],
): FragmentSource[] {
  const headers = newBytes(fragments.length * recordHeaderSize);
  const view = new DataView(headers.buffer);
  const crc32c = (source: Uint8Array): number => pool.ports.crypto.crc32c(0, source);
  return fragments.map((fragment, i) => {
    const device = pool.byOrdinal[fragment.device]!;
    const payloadSize = payloadSizeOf(fragment, row.plainSize);
    encodeRecordHeader(
      {
        kind: fragment.data === 0 ? "copy" : "fragment",
        device: device.id,
        zone: fragment.zone,
        generation: fragment.generation,
        offset: fragment.offset,
        group: fragment.group,
        durable: fragment.durable,
        tenant: row.tenant,
        shard: row.shard,
        epoch: row.epoch,
        operationId: row.operationId,
        chunkId: ref.chunkId,
        sealId: ref.sealId,
        index: fragment.index,
        data: fragment.data,
        parity: fragment.parity,
        payloadSize,
        plainSize: row.plainSize,
        keyset: row.keyset,
        payloadCrc: fragment.crc,
      },
      headers,
      view,
      i * recordHeaderSize,
      crc32c,
    );
    return {
      index: fragment.index,
      device: device.slot!,
      offset: device.offsetOf(fragment.zone, fragment.offset + recordHeaderSize),
      size: payloadSize,
      crc32c: fragment.crc,
      header: headers.subarray(i * recordHeaderSize, (i + 1) * recordHeaderSize),
    };
  });
}
const sameSpot = (a: Fragment, b: Fragment): boolean =>
  a.device === b.device &&
  a.zone === b.zone &&
  a.offset === b.offset &&
  a.generation === b.generation;

/** Counts faults per device, marks the fragments, queues the chunk for repair. */
export function noteFaults(
  pool: Pool,
  ref: SealRef,
  read: readonly Fragment[],
  faults: readonly FragmentReport[],
): void {
  const key = rowKey(ref.chunkId, ref.sealId);
  const row = pool.row(key);
  const bad: Fragment[] = [];
  for (const { index, fault } of faults) {
    const fragment = read.find((other) => other.index === index);
    const device = fragment && pool.byOrdinal[fragment.device];
    if (fragment === undefined || device === undefined) continue;
    if (fragment.bad && fault !== "io") continue; // known, counted when it was found
    pool.ports.metrics.add("kiseki_fragment_faults_total", 1, { fault });
    if (device.noteFault(fault)) pool.failDevice(device, "too many read errors", "read");
    if (fault !== "io") bad.push(fragment);
  }
  if (row === undefined) return;
  if (bad.length > 0) {
    const fragments = row.fragments.map((fragment) =>
      bad.some((other) => sameSpot(other, fragment)) ? { ...fragment, bad: true } : fragment,
    );
    pool.setRow(key, row, { ...row, fragments: withoutSpareBad(fragments, pool.usable) });
  }
  pool.queueRepair(ref);
}
export { sameSpot };
