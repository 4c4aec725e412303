import { failpoint, toUuid } from "@kiseki/base";
import { countStaying, defaultProfile, lossesSurvived, roomBelowCritical } from "@kiseki/placement";
import { DatapathError } from "@kiseki/ports";
import { type Movable, type Moved, moveRecord, otherDevice } from "./compact.ts";
import type { Device } from "./device.ts";
import { countNarrow, isNarrow } from "./narrow.ts";
import type { Pool } from "./pool.ts";
import type { Fragment, Row } from "./row.ts";
import {
  bestSet,
  decodeRow,
  keyChunkId,
  keySealId,
  lacking,
  payloadSizeOf,
  profileOf,
  rowKey,
} from "./row.ts";
import { scanRows } from "./scan-rows.ts";
import { findThin } from "./repair.ts";
import type { Evacuation } from "./types.ts";
import { ChunkStoreError } from "./types.ts";

const movesAtOnce = 16;
/** What is sealed anew for fewer devices takes a little more. */
const roomFactor = 1.15;

/** Notes that a device is to be emptied, over restarts too; nothing new is placed there from now on. */
export async function beginEvacuation(
  pool: Pool,
  device: Device,
  mayLoseRedundancy: boolean,
): Promise<void> {
  if (device.isLeaving) return;
  checkEvacuation(pool, device, mayLoseRedundancy);
  device.isLeaving = true;
  pool.changeMembers();
  await pool.membersSettled();
  pool.flush();
  await countNarrow(pool);
}
/** @throws {ChunkStoreError} when the rest of the pool cannot take what the device holds. */
function checkEvacuation(pool: Pool, device: Device, mayLoseRedundancy: boolean): void {
  const refuse = (code: ChunkStoreError["code"], why: string): never => {
    throw new ChunkStoreError(code, `Cannot evacuate ${device.label}: ${why}`);
  };
  if (!device.trusted) refuse("unavailable", `it is ${device.state}; replace or remove it`);
  const rest = pool.devices.filter((other) => other !== device && !other.isLeaving);
  const out = rest.find((other) => !other.trusted);
  if (out !== undefined) refuse("unavailable", `${out.label} is ${out.state}; replace it first`);
  if (rest.length === 0) refuse("less_redundancy", "it is the only device of its pool");
  const before = lossesSurvived(defaultProfile(countStaying(pool.devices)));
  const after = lossesSurvived(defaultProfile(rest.length));
  if (after < before && !mayLoseRedundancy) {
    const words = `${rest.length} devices survive the loss of ${after}, not of ${before}`;
    refuse("less_redundancy", `${words}; add a device first, or say that this may be`);
  }
  const room = rest.reduce(
    (sum, other) => sum + roomBelowCritical(other.class, other.zones.livingTotal, other.usable),
    0,
  );
  if (room < device.zones.livingTotal * roomFactor)
    refuse("no_space", "the other devices of its pool have no room for what it holds");
}
/** Ends an evacuation: the device takes part again, with what is still there. */
export async function endEvacuation(pool: Pool, device: Device): Promise<void> {
  if (!device.isLeaving) return;
  device.isLeaving = false;
  pool.changeMembers();
  await pool.membersSettled();
  pool.flush();
  await countNarrow(pool);
}

/** One walk over what devices that leave hold: whatever another device may take goes there. */
export async function moveLeaving(
  pool: Pool,
  progress: ((now: Evacuation) => void) | undefined,
  signal: AbortSignal | undefined,
): Promise<Evacuation> {
  const total = { moved: 0, left: 0, waiting: 0 };
  for (const device of pool.devices) {
    if (!device.isLeaving || !device.trusted) continue;
    try {
      await moveAll(pool, device, total, () => progress?.({ ...total }), signal);
    } catch (reason) {
      if (!(reason instanceof DatapathError)) throw reason;
      pool.failDevice(device, reason, "read");
    }
  }
  pool.flush();
  return total;
}

async function moveAll(
  pool: Pool,
  device: Device,
  total: { moved: number; left: number; waiting: number },
  report: () => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const keys = await keysOn(pool, device, signal);
  total.left += keys.length;
  report();
  let next = 0;
  let isFull = false;
  const work = async (): Promise<void> => {
    while (next < keys.length && device.isLeaving && device.trusted && !pool.closed) {
      signal?.throwIfAborted();
      const result = await moveFragment(pool, device, keys[next++]!);
      if (result === "no_room") isFull = true;
      if (typeof result === "number") {
        failpoint("device-moved");
        total.moved += 1;
        total.left -= 1;
      } else total.waiting += 1;
      report();
    }
  };
  await Promise.all(Array.from({ length: movesAtOnce }, work));
  if (isFull && !pool.closed) await pool.reclaimOnce();
}
/** Of rows that name a fragment there. */
export async function keysOn(
  pool: Pool,
  device: Device,
  signal: AbortSignal | undefined,
): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = [];
  const visit = (key: Uint8Array, value: Uint8Array): void => {
    if (isOn(device, decodeRow(value))) keys.push(key);
  };
  await scanRows(pool, visit, signal);
  return keys;
}
const isOn = ({ ordinal }: Device, { fragments }: Row): boolean =>
  fragments.some((fragment) => fragment.device === ordinal);

/** Everything of one row that lies on the device. A number: none does any more. */
async function moveFragment(pool: Pool, device: Device, key: Uint8Array): Promise<Moved> {
  for (;;) {
    const row = pool.row(key);
    const here = row?.fragments.find((one) => one.device === device.ordinal);
    if (row === undefined || here === undefined) return 0;
    if (dropSpare(pool, device, key, row)) continue;
    const ref = { chunkId: keyChunkId(key), sealId: keySealId(key) };
    if (here.bad || lacksAny(pool, row)) {
      pool.queueRepair(ref); // which writes it elsewhere
      return "stays";
    }
    const record = recordOf(key, row, here);
    const hasPlace = otherDevice(pool, record) !== undefined;
    if (!hasPlace && isNarrow(pool, profileOf(here), row.keyset)) return "stays"; // it is sealed anew
    const moved = await moveRecord(pool, device, record, (one) => otherDevice(pool, one));
    if (typeof moved === "string") return moved;
    const after = pool.row(rowKey(ref.chunkId, ref.sealId));
    if (after !== undefined && isOn(device, after) && after === row) return "stays";
  }
}
/**
 * Where it would go may be a device that lost its own fragment and has not got it back: until then what is there may
 * have to survive a second loss of the same device, so repair comes first.
 */
function lacksAny(pool: Pool, row: Row): boolean {
  const best = bestSet(row, pool.usable);
  return lacking(best.profile, best.fragments, pool.usable).length > 0;
}
/** Takes fragments of the device out of a row that is complete without them. */
function dropSpare(pool: Pool, device: Device, key: Uint8Array, row: Row): boolean {
  const fragments = row.fragments.filter((one) => one.device !== device.ordinal);
  if (fragments.length === 0) return false;
  const rest = { ...row, fragments };
  const best = bestSet(rest, pool.usable);
  if (lacking(best.profile, best.fragments, pool.usable).length > 0) return false;
  pool.setRow(key, row, rest);
  return true;
}
function recordOf(key: Uint8Array, row: Row, fragment: Fragment): Movable {
  const { crc: payloadCrc, ...place } = fragment;
  return {
    ...place,
    kind: fragment.data === 0 ? "copy" : "fragment",
    payloadCrc,
    payloadSize: payloadSizeOf(fragment, row.plainSize),
    chunkId: keyChunkId(key),
    sealId: keySealId(key),
    tenant: row.tenant,
    shard: row.shard,
    epoch: row.epoch,
    operationId: row.operationId,
    plainSize: row.plainSize,
    keyset: row.keyset,
  };
}

/**
 * Takes what is complete without the device off it. What one that is out holds may not be known: then nothing may lack a
 * fragment at all. @throws {ChunkStoreError} `not_empty`
 */
export async function leaveNothing(pool: Pool, device: Device): Promise<void> {
  let left = device.trusted ? 0 : (await findThin(pool)).length;
  for (const key of await keysOn(pool, device, undefined)) {
    const row = pool.row(key);
    if (row !== undefined && isOn(device, row) && !dropSpare(pool, device, key, row)) left += 1;
  }
  if (left === 0) return;
  throw new ChunkStoreError(
    "not_empty",
    `Cannot remove ${device.label} (${toUuid(device.id)}): ${left} chunks need what it holds; ${device.trusted ? "evacuate it" : "let repair end, or replace it"} first`,
  );
}
