import { assert, failpoint } from "@kiseki/base";
import { deviceBlockSize, recordHeaderSize, recordSize } from "@kiseki/format";
import type { RecordHeader } from "@kiseki/format";
import { planRepair } from "@kiseki/placement";
import type { ArenaLease } from "@kiseki/ports";
import { DatapathError } from "@kiseki/ports";
import { type Device, takenBy } from "./device.ts";
import { noteFaults, sameSpot } from "./get.ts";
import type { RecordPlace } from "./group-writer.ts";
import { toBlock } from "./group-writer.ts";
import type { Pool } from "./pool.ts";
import { release } from "./put.ts";
import { fragmentOf, scanSource } from "./recover.ts";
import type { Fragment } from "./row.ts";
import { rowKey } from "./row.ts";
import { readZone, scanWindowMin } from "./zone-scan.ts";

const never = new AbortController().signal;
const movesAtOnce = 32;

export interface Compacted {
  readonly zones: number;
  readonly bytesMoved: number;
}

/**
 * Empties full zones with at least `deadShareMin` dead, the deadest first, until `freeWanted` zones of
 * each device are free. A zone is given away only when what lived in it is synced elsewhere and the
 * index that says so is checkpointed (STORE §5).
 */
export async function compactPool(
  pool: Pool,
  deadShareMin: number,
  freeWanted: number,
  signal: AbortSignal = never,
): Promise<Compacted> {
  let zones = 0;
  let bytesMoved = 0;
  for (const device of pool.devices) {
    if (!device.trusted || device.isLeaving || device.slot === undefined) continue;
    try {
      const done = await compactDevice(pool, device, deadShareMin, freeWanted, signal);
      zones += done.zones;
      bytesMoved += done.bytesMoved;
    } catch (reason) {
      if (!(reason instanceof DatapathError)) throw reason;
      pool.failDevice(device, reason, "read");
    }
  }
  pool.ports.metrics.add("kiseki_zones_reclaimed_total", zones);
  return { zones, bytesMoved };
}

async function compactDevice(
  pool: Pool,
  device: Device,
  deadShareMin: number,
  freeWanted: number,
  signal: AbortSignal,
): Promise<Compacted> {
  const { zones } = device;
  const worth = (zone: number): boolean => {
    const used = zones.zoneSize - 2 * deviceBlockSize;
    return zones.state(zone) === "full" && 1 - zones.living[zone]! / used >= deadShareMin;
  };
  const order = Array.from({ length: zones.count }, (_, zone) => zone)
    .filter(worth)
    .toSorted((a, b) => zones.living[a]! - zones.living[b]!);
  let count = 0;
  let bytesMoved = 0;
  for (const zone of order) {
    signal.throwIfAborted();
    if (zones.freeCount >= freeWanted || !device.trusted || pool.closed) break;
    const moved = await device.inTurn(() =>
      device.zones === zones && worth(zone)
        ? freeZone(pool, device, zone)
        : Promise.resolve("stays" as const),
    );
    if (moved === "no_room" && zones.freeCount > 0) break;
    if (typeof moved === "string") continue;
    bytesMoved += moved;
    count += 1;
  }
  return { zones: count, bytesMoved };
}

/** Moves what lives in a full zone and gives the zone away. */
async function freeZone(pool: Pool, device: Device, zone: number): Promise<Moved> {
  const { zones } = device;
  const moved = pool.safeties.copyLiving ? await makeEmpty(pool, device, zone) : 0;
  if (typeof moved === "string") return moved;
  if (device.zones !== zones) return "stays"; // the device went and came back
  assert(zones.state(zone) === "full", "nobody else gives the zone away");
  zones.set(zone, "draining"); // so the checkpoint says: whatever is in it is to be looked at anew
  failpoint("compact-moved");
  zones.readers[zone]! += 1; // and nobody begins it before the checkpoint is synced
  pool.flush();
  pool.ports.index.checkpoint();
  failpoint("compact-checkpointed");
  const discarding = discardZone(pool, device, zone);
  if (discarding !== undefined) await discarding;
  zones.readers[zone]! -= 1;
  if (zones.readers[zone] === 0) zones.set(zone, "free");
  return moved;
}

/** Block devices alone hear of it; a zone that somebody still reads keeps what it has until it is begun anew. */
function discardZone(pool: Pool, device: Device, zone: number): Promise<void> | undefined {
  const { zones, slot } = device;
  if (slot === undefined || zones.readers[zone] !== 1) return undefined;
  const discarding = pool.ports.datapath.discard(slot, device.offsetOf(zone, 0), zones.zoneSize);
  return discarding?.catch((reason: unknown) => {
    if (!(reason instanceof DatapathError)) throw reason; // it has gone: nothing of the zone is missed
  });
}

/** Bytes moved; or why not all: nowhere to, or something in it is bad and must stay. */
export type Moved = number | "no_room" | "stays";
/** What a move needs to know of a record. */
export type Movable = Omit<RecordHeader, "device">;
/** The device that takes a record. */
type Destination = (record: Movable) => Device | undefined;

/**
 * Empties a zone into others of its device. Each kill in the middle of that leaves less room where it went on, until no
 * zone is free and no full one fits: then other devices take what lives in it.
 */
async function makeEmpty(pool: Pool, device: Device, zone: number): Promise<Moved> {
  const moved = await emptyZone(pool, device, zone, () => device);
  if (moved !== "no_room" || device.zones.freeCount > 0) return moved;
  return emptyZone(pool, device, zone, (record) => otherDevice(pool, record));
}

/** One that repair could choose; it holds nothing else of the chunk. */
export function otherDevice(
  pool: Pool,
  record: Pick<Movable, "chunkId" | "sealId" | "index">,
): Device | undefined {
  const fragments = pool.row(rowKey(record.chunkId, record.sealId))?.fragments ?? [];
  const holders = new Set(
    fragments.map(({ device }) => pool.devices.indexOf(pool.byOrdinal[device]!)),
  );
  const candidates = pool.devices.map((device) => ({
    id: device.id,
    writable: device.takesRepair,
  }));
  const [spot] = planRepair(record.chunkId, candidates, [record.index], holders);
  return spot && pool.devices[spot.device];
}

/** Copies what lives in a zone elsewhere, unless it is clear that the zone would not come free. */
async function emptyZone(
  pool: Pool,
  device: Device,
  zone: number,
  destination: Destination,
): Promise<Moved> {
  if (device.zones.living[zone] === 0) return 0;
  const source = scanSource(pool, device);
  const size = Math.max(Math.min(scanWindowMin, source.zoneSize), 8 * deviceBlockSize);
  let records: readonly RecordHeader[];
  {
    using room = await pool.ports.datapath.arena.borrow(size, never);
    records = (await readZone(source, zone, room)).records;
  }
  const living = records.filter((record) => livesHere(pool, device, record));
  const found = living.reduce((sum, record) => sum + takenBy(record.payloadSize), 0);
  if (found < device.zones.living[zone]!) return "stays";
  const isBad = (record: RecordHeader): boolean => livesHere(pool, device, record)?.bad === true;
  const batches = living.filter(isBad).map((record) => [record]);
  const rest = living.filter((record) => !isBad(record));
  for (let at = 0; at < rest.length; at += movesAtOnce) {
    batches.push(rest.slice(at, at + movesAtOnce));
  }
  let moved = 0;
  for (const batch of batches) {
    const results = await Promise.all(
      batch.map((record) => moveRecord(pool, device, record, destination)),
    );
    if (results.includes("no_room")) return "no_room";
    if (results.includes("stays")) return "stays";
    for (const result of results) if (typeof result === "number") moved += result;
  }
  return device.zones.living[zone]! > 0 ? "stays" : moved;
}
function livesHere(pool: Pool, device: Device, record: Movable): Fragment | undefined {
  const row = pool.row(rowKey(record.chunkId, record.sealId));
  const spot = fragmentOf(device, record);
  return row?.fragments.find((fragment) => sameSpot(fragment, spot));
}

/** 0 when it died meanwhile. */
export async function moveRecord(
  pool: Pool,
  device: Device,
  record: Movable,
  destination: Destination,
): Promise<Moved> {
  const { datapath } = pool.ports;
  const whole = recordSize(record.payloadSize);
  const start = Math.floor(record.offset / deviceBlockSize) * deviceBlockSize;
  const size = toBlock(record.offset + whole) - start;
  using lease = await datapath.arena.borrow(size, never);
  device.zones.readers[record.zone]! += 1;
  try {
    await datapath.read(device.slot!, device.offsetOf(record.zone, start), {
      lease,
      offset: 0,
      size,
    });
  } finally {
    device.zones.readers[record.zone]! -= 1;
  }
  const payloadOffset = record.offset - start + recordHeaderSize;
  const old = livesHere(pool, device, record);
  if (old === undefined) return 0;
  if (!payloadHolds(pool, lease, payloadOffset, record)) {
    noteFaults(pool, record, [old], [{ index: old.index, fault: "crc" }]);
    return "stays";
  }
  const target = destination(record);
  if (target?.trusted !== true) return "no_room";
  const { promise, resolve } = Promise.withResolvers<RecordPlace | "no_space" | "failed">();
  target.writer!.enqueue({
    chunk: record,
    kind: record.kind,
    index: record.index,
    data: record.data,
    parity: record.parity,
    lease,
    payloadOffset,
    payloadSize: record.payloadSize,
    payloadCrc: record.payloadCrc,
    headerInPlace: true,
    zonesLeft: target === device ? 0 : 1,
    settle: resolve,
  });
  const place = await promise;
  if (typeof place === "string") return "no_room";
  const fresh: Fragment = { ...old, ...place, device: target.ordinal, bad: false };
  const key = rowKey(record.chunkId, record.sealId);
  const row = pool.row(key);
  const isTaken = row?.fragments.some(
    (fragment) => target !== device && fragment.device === target.ordinal,
  );
  if (isTaken !== true && row?.fragments.some((fragment) => sameSpot(fragment, old))) {
    const fragments = row.fragments.map((one) => (sameSpot(one, old) ? fresh : one));
    pool.setRow(key, row, { ...row, fragments });
  }
  release(pool, [fresh]);
  return whole;
}
function payloadHolds(pool: Pool, lease: ArenaLease, offset: number, record: Movable): boolean {
  const payload = lease.bytes.subarray(offset, offset + record.payloadSize);
  return pool.ports.crypto.crc32c(0, payload) >>> 0 === record.payloadCrc;
}
