import { sameBytes } from "@kiseki/base";
import {
  decodeSuperblock,
  decodeZoneHeader,
  deviceBlockSize,
  superblockSecondOffset,
  superblockSize,
} from "@kiseki/format";
import { DatapathError } from "@kiseki/ports";
import type { Device } from "./device.ts";
import type { Pool } from "./pool.ts";

const never = new AbortController().signal;

/** What a scrub found of the parts that recovery begins with. */
export interface HeadFindings {
  /** Superblocks that were not as written; what lies in a headless zone is counted record by record. */
  readonly faults: number;
  /** Zones whose header is not as written: a recovery with an older index, or none, may not look into them. */
  isHeadless(ordinal: number, zone: number): boolean;
}

/**
 * Reads the superblocks and the beginning of every zone in use of each believed device. Superblocks that are not as
 * written are written again, and a headless open zone is left. @throws what `signal` was aborted with.
 */
export async function checkHeads(pool: Pool, signal: AbortSignal): Promise<HeadFindings> {
  const headless = new Set<string>();
  let faults = 0;
  for (const device of pool.devices) {
    signal.throwIfAborted();
    if (!device.trusted || device.slot === undefined || device.superblock === undefined) continue;
    try {
      faults += await pool.betweenMembers(() => checkSuperblocks(pool, device));
      for (const zone of await findHeadless(pool, device)) {
        headless.add(`${device.ordinal}:${zone}`);
        device.writer?.leaveZone(zone);
      }
    } catch (reason) {
      if (!(reason instanceof DatapathError)) throw reason;
      if (device.noteFault("io")) pool.failDevice(device, "too many read errors", "read");
    }
  }
  if (faults > 0) {
    pool.writeMembers();
    await pool.membersSettled();
  }
  return { faults, isHeadless: (ordinal, zone) => headless.has(`${ordinal}:${zone}`) };
}

/** How many of the two are not as this process, or the one before, wrote them. @throws {DatapathError} */
async function checkSuperblocks(pool: Pool, device: Device): Promise<number> {
  const { datapath, crypto } = pool.ports;
  const known = device.superblock;
  if (known === undefined || device.slot === undefined) return 0;
  using room = await datapath.arena.borrow(superblockSize, never);
  let faults = 0;
  for (const offset of [0, superblockSecondOffset]) {
    await datapath.read(device.slot, offset, { lease: room, offset: 0, size: superblockSize });
    const source = room.bytes.subarray(0, superblockSize);
    const block = decodeSuperblock(source, (bytes) => crypto.sha256(bytes));
    const isOwn = typeof block !== "string" && sameBytes(block.device, device.id);
    if (!isOwn || block.generation !== known.generation) faults += 1;
  }
  return faults;
}

/** @throws {DatapathError} */
async function findHeadless(pool: Pool, device: Device): Promise<number[]> {
  const { zones } = device;
  const found: number[] = [];
  const size = deviceBlockSize;
  const crc32c = (piece: Uint8Array): number => pool.ports.crypto.crc32c(0, piece);
  using room = await pool.ports.datapath.arena.borrow(size, never);
  for (let zone = 0; zone < zones.count; zone++) {
    const { slot } = device;
    if (slot === undefined || !device.trusted) break;
    const generation = zones.generations[zone]!;
    const isWritten = (): boolean =>
      (zones.state(zone) === "open" || zones.state(zone) === "full") &&
      zones.generations[zone] === generation &&
      zones.groupsFirst[zone]! <= (device.writer?.durable ?? 0);
    if (!isWritten()) continue;
    const place = { lease: room, offset: 0, size };
    await pool.ports.datapath.read(slot, device.offsetOf(zone, 0), place);
    const header = decodeZoneHeader(room.bytes.subarray(0, size), crc32c);
    const isOwn = header?.zone === zone && sameBytes(header.device, device.id);
    if (isWritten() && !(isOwn && header.generation === generation)) found.push(zone);
  }
  return found;
}
