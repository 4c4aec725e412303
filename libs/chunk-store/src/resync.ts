import type { RecordHeader } from "@kiseki/format";
import { DatapathError } from "@kiseki/ports";
import type { Device } from "./device.ts";
import { sameSpot } from "./get.ts";
import type { Pool } from "./pool.ts";
import {
  highestGroup,
  loadZones,
  markOf,
  mergeRecord,
  recoverDevice,
  scanDevice,
} from "./recover.ts";
import type { Fragment } from "./row.ts";
import { decodeRow, keyChunkId, keySealId, withoutSpareBad } from "./row.ts";
import { scanRows } from "./scan-rows.ts";
import type { ZoneFindings } from "./zone-scan.ts";
import { ZoneTable } from "./zone-table.ts";

/**
 * Finds out what a device that was away really holds: every zone is read, and rows that name it keep
 * only what was found. Then it is believed and written again. A device that fails meanwhile stays failed.
 */
export async function resync(pool: Pool, device: Device): Promise<void> {
  if (!pool.safeties.distrustReturning) return await believe(pool, device);
  device.state = "resyncing";
  const { zoneCount, zoneSize } = device.superblock!;
  if (device.zones.count === 0) loadZones(pool, device); // it was missing when the pool was opened
  const known = device.zones;
  device.zones = new ZoneTable(zoneCount, zoneSize);
  device.zones.keepAbove(known);
  try {
    const findings = (await scanDevice(pool, device, undefined)).filter(isInUse(known));
    const { zones } = device;
    // Numbers that the index has seen are not given again: a row must never fit another record.
    let groupLast = device.writer?.durable ?? 0;
    for (const found of findings) {
      zones.set(found.zone, "full"); // what follows its tail is not looked into again
      zones.generations[found.zone] = found.generation;
      zones.ends[found.zone] = found.end;
      zones.groupsFirst[found.zone] = found.groupFirst;
      zones.groupsLast[found.zone] = found.groupLast;
      groupLast = Math.max(groupLast, found.groupLast);
    }
    for (let zone = 0; zone < Math.min(zones.count, known.count); zone++)
      if (zones.state(zone) === "free") zones.generations[zone] = known.generations[zone]!;
    const places = new Set<number>();
    for (const found of findings)
      for (const record of found.records) places.add(placeOf(record, zoneSize));
    await dropUnfound(pool, device, places);
    device.state = "healthy";
    device.reason = undefined;
    for (const found of findings)
      for (const record of found.records) mergeRecord(pool, device, record);
    await pool.startWriter(
      device,
      highestGroup(device, groupLast, markOf(pool, device)),
      undefined,
    );
    pool.changeMembers();
    await pool.membersSettled();
    pool.flush();
    pool.ports.index.checkpoint(); // before it is written: an older index would take its new groups for known
  } catch (reason) {
    if (!(reason instanceof DatapathError)) throw reason;
    pool.failDevice(device, reason, "read");
  }
}
/** What a mutant does: the index says what the device holds, whatever it holds. */
async function believe(pool: Pool, device: Device): Promise<void> {
  device.state = "healthy";
  device.reason = undefined;
  try {
    await recoverDevice(pool, device);
    pool.changeMembers();
  } catch (reason) {
    if (!(reason instanceof DatapathError)) throw reason;
    pool.failDevice(device, reason, "read");
  }
}
/**
 * Whether a zone was begun since it came free: what it held was moved or is dead. Were it taken for full, a device
 * that came back would have no zone to write to, and none to empty others into.
 */
const isInUse =
  (known: ZoneTable) =>
  ({ zone, generation }: ZoneFindings): boolean =>
    zone >= known.count || known.state(zone) !== "free" || generation > known.generations[zone]!;
const placeOf = (spot: Pick<RecordHeader, "zone" | "offset">, zoneSize: number): number =>
  spot.zone * zoneSize + spot.offset;

/** Takes fragments out of the rows that the device does not hold; counts the living of the others. */
async function dropUnfound(pool: Pool, device: Device, places: ReadonlySet<number>): Promise<void> {
  const { zones } = device;
  const holds = (fragment: Fragment): boolean =>
    fragment.zone < zones.count &&
    zones.generations[fragment.zone] === fragment.generation &&
    places.has(placeOf(fragment, zones.zoneSize));
  await scanRows(pool, (key, value) => {
    const row = decodeRow(value);
    const here = row.fragments.filter((fragment) => fragment.device === device.ordinal);
    if (here.length === 0) return;
    const gone = here.filter((fragment) => !holds(fragment));
    for (const fragment of here) device.addLiving(fragment, row.plainSize); // the table is new: count once
    if (gone.length === 0) return;
    const fragments = row.fragments.map((fragment) =>
      gone.some((other) => sameSpot(other, fragment)) ? { ...fragment, bad: true } : fragment,
    );
    pool.setRow(key, row, { ...row, fragments: withoutSpareBad(fragments, pool.usable) });
    pool.queueRepair({ chunkId: keyChunkId(key), sealId: keySealId(key) });
  });
}
