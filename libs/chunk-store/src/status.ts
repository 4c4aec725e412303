import { bytes, storedKeyset } from "@kiseki/base";
import { planProfile, worstCapacity } from "@kiseki/placement";
import type { CapacityState } from "@kiseki/placement";
import type { Pool } from "./pool.ts";
import type { Row } from "./row.ts";
import { bestSet, lacking } from "./row.ts";
import type { ChunkInspection, StoreStatus } from "./types.ts";

export function inspectRow(pool: Pool, row: Row): ChunkInspection {
  const { profile, fragments } = bestSet(row, pool.usable);
  return {
    profile,
    size: row.plainSize,
    tenant: row.tenant,
    shard: row.shard,
    epoch: row.epoch,
    operationId: row.operationId,
    keyset: storedKeyset(row.keyset),
    candidate: row.candidate,
    fragments: fragments.map((fragment) => ({
      index: fragment.index,
      device: pool.deviceTable[fragment.device]!,
      present: pool.usable(fragment),
    })),
    missing: lacking(profile, fragments, pool.usable).length,
  };
}

export function statusOf(pool: Pool): StoreStatus {
  const { allowSingleCopy } = pool;
  let capacity: CapacityState = "healthy";
  for (const device of pool.devices)
    if (device.trusted && !device.isLeaving) capacity = worstCapacity(capacity, device.capacity);
  return {
    devices: pool.devices.map((device) => {
      const { zones } = device;
      return {
        id: device.id,
        path: device.path,
        class: device.class,
        state: device.state,
        reason: device.reason,
        mustReplace: device.mustReplace,
        isLeaving: device.isLeaving,
        capacity: device.capacity,
        size: bytes(device.size),
        used: bytes((zones.count - zones.freeCount) * zones.zoneSize),
        living: bytes(Math.max(0, zones.livingTotal)),
        zonesFree: zones.freeCount,
        zonesTotal: zones.count,
        faults: { ...device.faults },
      };
    }),
    profile: planProfile(pool.devices, { small: false, allowSingleCopy }),
    capacity,
    placementEpoch: pool.membersVersion,
    chunks: pool.rows,
    narrow: pool.narrow,
    candidates: pool.candidates,
    repairQueued: pool.repairQueue.size,
    damaged: pool.damaged,
    tornTails: pool.tornTails,
  };
}
