import { sameBytes, toHex } from "@kiseki/base";
import type { RecordHeader } from "@kiseki/format";
import { deviceBlockSize, deviceDataOffset, encodeZoneHeader } from "@kiseki/format";
import type { ArenaLease } from "@kiseki/ports";
import { DatapathError, fragmentStoredSize } from "@kiseki/ports";
import type { Device } from "./device.ts";
import type { WriterResume } from "./group-writer.ts";
import type { Pool } from "./pool.ts";
import { readNumber, writeFault } from "./pool.ts";
import type { Fragment, Row } from "./row.ts";
import { profileOf, rowFragmentsMax, rowKey, rowVersion, samePart } from "./row.ts";
import { ZoneTable } from "./zone-table.ts";
import type { ScanSource, ZoneFindings } from "./zone-scan.ts";
import { generationAt, readZone, scanWindowMin } from "./zone-scan.ts";
import type { ZoneTail } from "./zone-tail.ts";
import { decodeTail, readHeadersBefore, readTail } from "./zone-tail.ts";

const never = new AbortController().signal;

/** True when the index is of this pool and version and not older than the last start; else it has been emptied. */
export function loadIndex(pool: Pool): boolean {
  const { index } = pool.ports;
  const own = index.meta("pool");
  const fits =
    own !== undefined &&
    own.byteLength === 24 &&
    readNumber(own) === rowVersion &&
    sameBytes(own.subarray(8), pool.clusterId) &&
    isOfLastStart(pool);
  if (!fits) {
    index.clear();
    return false;
  }
  const table = index.meta("devices") ?? new Uint8Array(0);
  for (let at = 0; at + 16 <= table.byteLength; at += 16)
    pool.deviceTable.push(table.slice(at, at + 16) as Device["id"]);
  const counts = index.meta("counts");
  if (counts !== undefined) {
    pool.rows = readNumber(counts, 0);
    pool.candidates = readNumber(counts, 1);
  }
  const failures = index.meta("failed") ?? new Uint8Array(0);
  for (let at = 0; at + 16 <= failures.byteLength; at += 16)
    pool.failuresNoted.add(toHex(failures.subarray(at, at + 16)));
  const shards = index.meta("shards");
  if (shards !== undefined) pool.loadShards(shards);
  return true;
}

/**
 * The devices remember each start after the index does. One that knows of fewer was put back: zones that it calls
 * full have been begun anew since, and what lies in them would not be looked for.
 */
function isOfLastStart(pool: Pool): boolean {
  const epoch = pool.ports.index.meta("epoch");
  return (epoch === undefined ? 0 : readNumber(epoch)) >= Number(pool.epoch);
}

/** Brings zones and rows of a believed device up to date and starts its writer. @throws {DatapathError} */
export async function recoverDevice(pool: Pool, device: Device): Promise<void> {
  const { zoneSize, zoneCount } = device.superblock!;
  const mark = loadZones(pool, device);
  if (mark === undefined) device.zones = new ZoneTable(zoneCount, zoneSize);
  const findings = await scanDevice(pool, device, mark);
  if (mark !== undefined && pool.safeties.distrustReturning) {
    const reason = findings.some((found) => isBegunAnew(device, found))
      ? "a zone in use was begun anew on it"
      : (await isRolledBack(pool, device, findings, mark)) &&
        "its content is older than what was synced to it";
    if (reason !== false) {
      device.state = "resyncing";
      device.reason = reason;
      return;
    }
  }
  adoptZones(device, findings);
  judgeDamage(pool, findings);
  for (const zone of findings)
    for (const record of zone.records)
      if (mark === undefined || record.group > mark) mergeRecord(pool, device, record);
  const open = findings.filter((zone) => device.zones.state(zone.zone) === "open");
  const last = open.toSorted((a, b) => b.groupLast - a.groupLast)[0];
  for (const zone of open) if (zone !== last) device.zones.set(zone.zone, "full");
  if (last?.headless === true && !(await writeHeader(pool, device, last))) return;
  const seen = device.zones.groupsLast.reduce((most, group) => Math.max(most, group), 0);
  const resume = last && resumeAt(pool, device, last);
  await pool.startWriter(device, highestGroup(device, seen, mark), resume);
}
/** Begins a zone again that is gone on with: without its header nobody would look into it. False when the device fails. */
async function writeHeader(pool: Pool, device: Device, found: ZoneFindings): Promise<boolean> {
  const { datapath, crypto } = pool.ports;
  const { zone, generation, groupFirst } = found;
  const { zoneSize } = device.zones;
  using room = await datapath.arena.borrow(deviceBlockSize, never);
  const block = room.bytes.subarray(0, deviceBlockSize).fill(0);
  const header = { device: device.id, zone, generation, groupFirst, zoneSize };
  encodeZoneHeader(header, block, (source) => crypto.crc32c(0, source));
  const ranges = [{ lease: room, offset: 0, size: deviceBlockSize }];
  try {
    const offset = device.offsetOf(zone, 0);
    await datapath.append({ device: device.slot!, offset, ranges, sync: true });
    return true;
  } catch (reason) {
    if (!(reason instanceof DatapathError)) throw reason;
    pool.failDevice(device, reason, writeFault(reason));
    return false;
  }
}
/**
 * Learns what a failed device shows, so that it is read where nothing else has it; nothing of it counts and it is not
 * written. @throws {DatapathError}
 */
export async function recoverFailed(pool: Pool, device: Device): Promise<void> {
  const { zoneSize, zoneCount } = device.superblock!;
  const mark = loadZones(pool, device);
  if (mark === undefined) device.zones = new ZoneTable(zoneCount, zoneSize);
  const findings = await scanDevice(pool, device, mark);
  adoptZones(device, findings);
  for (const zone of findings)
    for (const record of zone.records)
      if (mark === undefined || record.group > mark) mergeRecord(pool, device, record);
}
/** Goes on in an open zone; headers that were not read are read when its summary is written. */
function resumeAt(pool: Pool, device: Device, found: ZoneFindings): WriterResume {
  const { zone, generation, start, end, headers, headersBefore, last } = found;
  return {
    ...{ zone, from: end, headers, headersBefore, last },
    readBefore: (room) =>
      readHeadersBefore(scanSource(pool, device), { zone, generation, start, headersBefore }, room),
  };
}
/**
 * No group above it is on the device. Without a mark there may be later ones than were seen: in a zone that was open and
 * whose beginning is gone, each at least a block.
 */
export function highestGroup(device: Device, seen: number, mark: number | undefined): number {
  if (mark !== undefined) return Math.max(seen, mark);
  return seen === 0 ? 0 : seen + device.zones.zoneSize / deviceBlockSize;
}

/** The zone table beside the rows, and the mark up to which the rows are complete; `undefined` without. */
export function loadZones(pool: Pool, device: Device): number | undefined {
  const { index } = pool.ports;
  const { zoneSize, zoneCount } = device.superblock!;
  const name = toHex(device.id);
  const mark = markOf(pool, device);
  if (mark === undefined) return undefined;
  const table = new ZoneTable(zoneCount, zoneSize);
  for (let page = 0; page < table.pageCount; page++) {
    const source = index.meta(`zones:${name}:${page}`);
    if (source !== undefined && !table.decodePage(page, source)) return undefined;
  }
  table.cleanPages();
  device.zones = table;
  return mark;
}

/** Highest group of the device that the index knows. */
export function markOf(pool: Pool, device: Device): number | undefined {
  const mark = pool.ports.index.meta(`mark:${toHex(device.id)}`);
  return mark === undefined ? undefined : readNumber(mark);
}

function tailOf(pool: Pool, device: Device): ZoneTail | undefined {
  return decodeTail(pool.ports.index.meta(`tail:${toHex(device.id)}`));
}

export function scanSource(pool: Pool, device: Device): ScanSource {
  return {
    datapath: pool.ports.datapath,
    crypto: pool.ports.crypto,
    slot: device.slot!,
    device: device.id,
    zoneSize: device.superblock!.zoneSize,
    offsetOf: (zone, offset) => deviceDataOffset + zone * device.superblock!.zoneSize + offset,
    checkGeneration: pool.safeties.checkGeneration,
  };
}

const windowSizeOf = ({ zoneSize }: ScanSource): number =>
  Math.max(Math.min(scanWindowMin, zoneSize), 8 * deviceBlockSize);

/** Zones that changed behind `mark`; all that were begun without one. */
export async function scanDevice(
  pool: Pool,
  device: Device,
  mark: number | undefined,
): Promise<ZoneFindings[]> {
  const source = scanSource(pool, device);
  using room = await pool.ports.datapath.arena.borrow(windowSizeOf(source), never);
  const findings: ZoneFindings[] = [];
  const tail = mark === undefined ? undefined : tailOf(pool, device);
  if (!pool.safeties.scanTail && mark !== undefined) return findings;
  for (let zone = 0; zone < device.superblock!.zoneCount; zone++) {
    if (mark !== undefined && !(await mayHaveChanged(source, device, zone, mark, room))) continue;
    const isTail = tail?.zone === zone && device.zones.state(zone) === "open";
    const found =
      (isTail ? await readTail(source, tail, room) : undefined) ??
      (await readZone(source, zone, room));
    if (found.generation > 0) findings.push(found);
  }
  return findings;
}
/** The table is right for full zones at or below the mark and for free ones not begun since. */
async function mayHaveChanged(
  source: ScanSource,
  device: Device,
  zone: number,
  mark: number,
  room: ArenaLease,
): Promise<boolean> {
  const { zones } = device;
  if (zones.state(zone) === "open") return true;
  if (zones.state(zone) === "full") return zones.groupsLast[zone]! > mark;
  await source.datapath.read(source.slot, source.offsetOf(zone, 0), {
    lease: room,
    offset: 0,
    size: 2 * deviceBlockSize,
  });
  const head = room.bytes.subarray(0, 2 * deviceBlockSize);
  const generation = generationAt(source, zone, head);
  if (generation === 0) return head.some((byte) => byte !== 0);
  return generation > zones.generations[zone]!;
}

/**
 * The zone has a later generation than the index knows of, which has not given it away: a write of an earlier use that
 * came late. What the rows name there would be written over.
 */
const isBegunAnew = ({ zones }: Device, { zone, generation }: ZoneFindings): boolean =>
  zones.state(zone) !== "free" && generation > zones.generations[zone]!;

/** A device that lacks the last group that was synced to it shows an old state of itself. */
async function isRolledBack(
  pool: Pool,
  device: Device,
  findings: readonly ZoneFindings[],
  mark: number,
): Promise<boolean> {
  const { zones } = device;
  let zone = -1;
  let group = 0;
  for (let other = 0; other < zones.count; other++) {
    if (zones.state(other) === "free" || zones.groupsFirst[other]! > mark) continue; // of the latter nothing was synced
    const known = Math.min(zones.groupsLast[other]!, mark);
    if (known > group) [zone, group] = [other, known];
  }
  if (zone < 0) return false;
  const found =
    findings.find((other) => other.zone === zone) ?? (await readOne(pool, device, zone));
  const generation = zones.generations[zone]!;
  return (
    found.generation < generation || (found.generation === generation && found.groupLast < group)
  );
}
async function readOne(pool: Pool, device: Device, zone: number): Promise<ZoneFindings> {
  const source = scanSource(pool, device);
  using room = await pool.ports.datapath.arena.borrow(windowSizeOf(source), never);
  return await readZone(source, zone, room);
}

function adoptZones(device: Device, findings: readonly ZoneFindings[]): void {
  const { zones } = device;
  for (const found of findings) {
    const { zone } = found;
    if (zones.state(zone) === "free" && found.generation <= zones.generations[zone]!) continue;
    if (found.generation !== zones.generations[zone]) zones.addLiving(zone, -zones.living[zone]!);
    zones.set(zone, found.full ? "full" : "open");
    zones.generations[zone] = found.generation;
    zones.ends[zone] = found.end;
    if (found.headersBefore === 0) zones.groupsFirst[zone] = found.groupFirst;
    zones.groupsLast[zone] = found.groupLast;
    zones.touch(zone);
  }
}

/** STORE §5: at or below any `durable` seen it is damage, above it a torn tail. */
function judgeDamage(pool: Pool, findings: readonly ZoneFindings[]): void {
  const durable = findings.reduce((most, zone) => Math.max(most, zone.durable), 0);
  let torn = false;
  for (const zone of findings) {
    for (const group of zone.badGroups) {
      if (group <= durable) pool.damaged += 1;
      else torn = true;
    }
  }
  if (torn) pool.tornTails += 1;
}

export function fragmentOf(device: Device, record: Omit<RecordHeader, "device">): Fragment {
  return {
    device: device.ordinal,
    index: record.index,
    data: record.data,
    parity: record.parity,
    bad: false,
    zone: record.zone,
    generation: record.generation,
    offset: record.offset,
    group: record.group,
    durable: record.durable,
    crc: record.payloadCrc,
  };
}

/** Adds what a record says to the rows: a new row is a candidate, a known one is completed. */
export function mergeRecord(pool: Pool, device: Device, record: RecordHeader): void {
  if (record.kind !== "fragment" && record.kind !== "copy") return;
  const fragment = fragmentOf(device, record);
  const stored = fragmentStoredSize(profileOf(fragment), record.plainSize, record.index);
  if (record.payloadSize !== stored) return; // sizes that no writer of ours makes
  pool.noteShard(record.shard, record.epoch);
  const key = rowKey(record.chunkId, record.sealId);
  const row = pool.row(key);
  if (row === undefined) {
    pool.setRow(key, undefined, {
      candidate: true,
      plainSize: record.plainSize,
      keyset: record.keyset,
      tenant: record.tenant,
      shard: record.shard,
      epoch: record.epoch,
      operationId: record.operationId,
      fragments: [fragment],
    });
    return;
  }
  if (!sameChunk(row, record)) return; // a second writer of one sealing: the first stands
  const fragments = withFragment(pool, row.fragments, fragment);
  if (fragments !== undefined) pool.setRow(key, row, { ...row, fragments });
}
/**
 * `undefined` when nothing changes. A fragment of the same number on another device stays beside it while it
 * counts: which of the two is whole shows only when they are read, and a repair may have written the second
 * because the first is torn.
 */
function withFragment(
  pool: Pool,
  known: readonly Fragment[],
  fragment: Fragment,
): readonly Fragment[] | undefined {
  const others = known.filter((one) => samePart(one, fragment));
  const here = others.find((one) => one.device === fragment.device);
  if (here !== undefined && fragment.group <= here.group) return undefined;
  const replaced = here ?? others.find((one) => !pool.usable(one));
  if (replaced !== undefined) return known.map((one) => (one === replaced ? fragment : one));
  return known.length < rowFragmentsMax ? [...known, fragment] : undefined;
}
function sameChunk(row: Row, record: RecordHeader): boolean {
  return (
    row.plainSize === record.plainSize &&
    row.keyset === record.keyset &&
    row.epoch === record.epoch &&
    sameBytes(row.tenant, record.tenant) &&
    sameBytes(row.shard, record.shard) &&
    sameBytes(row.operationId, record.operationId)
  );
}
