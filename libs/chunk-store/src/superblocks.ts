import { sameBytes, toUuid } from "@kiseki/base";
import type { Superblock, SuperblockFault } from "@kiseki/format";
import { decodeSuperblock, superblockSecondOffset, superblockSize } from "@kiseki/format";
import type { ArenaLease, DeviceSlot } from "@kiseki/ports";
import { DatapathError } from "@kiseki/ports";
import type { ChunkStorePorts, DevicePath } from "./types.ts";
import type { ChunkStoreError } from "./types.ts";

/** A device file that could be opened and is ours. */
export interface OpenedDevice {
  readonly path: string;
  readonly slot: DeviceSlot;
  readonly superblock: Superblock;
}
/** One that could not: why, for status and logs. */
export interface UnusableDevice {
  readonly path: string;
  readonly code: ChunkStoreError["code"];
  readonly reason: string;
}

/** The newer valid one of two superblocks. */
export async function readSuperblock(
  ports: Pick<ChunkStorePorts, "datapath" | "crypto">,
  slot: DeviceSlot,
  room: ArenaLease,
): Promise<Superblock | SuperblockFault> {
  let best: Superblock | SuperblockFault = "absent";
  for (const offset of [0, superblockSecondOffset]) {
    await ports.datapath.read(slot, offset, { lease: room, offset: 0, size: superblockSize });
    const block = decodeSuperblock(room.bytes.subarray(0, superblockSize), (source) =>
      ports.crypto.sha256(source),
    );
    if (typeof block === "string") {
      if (typeof best === "string" && block !== "absent") best = block;
    } else if (typeof best === "string" || block.generation > best.generation) best = block;
  }
  return best;
}

export async function openOne(
  ports: Pick<ChunkStorePorts, "datapath" | "crypto">,
  device: DevicePath,
  of: { readonly clusterId: Uint8Array; readonly number: number },
  room: ArenaLease,
): Promise<OpenedDevice | UnusableDevice> {
  const { path } = device;
  let slot: DeviceSlot;
  let size: number;
  let block: Superblock | SuperblockFault;
  try {
    ({ slot, size } = await ports.datapath.openDevice({ path, direct: device.direct ?? false }));
  } catch (reason) {
    if (!(reason instanceof DatapathError)) throw reason;
    return { path, code: "unavailable", reason: reason.message };
  }
  const refuse = async (code: ChunkStoreError["code"], reason: string): Promise<UnusableDevice> => {
    await ports.datapath.closeDevice(slot);
    return { path, code, reason };
  };
  try {
    block = await readSuperblock(ports, slot, room);
  } catch (reason) {
    if (!(reason instanceof DatapathError)) throw reason;
    return await refuse("unavailable", reason.message);
  }
  if (block === "unknown_version")
    return await refuse("unknown_version", "its superblock was written by a newer program");
  if (typeof block === "string")
    return await refuse("bad_superblock", `its superblocks are unusable (${block})`);
  if (!sameBytes(block.cluster, of.clusterId))
    return await refuse("foreign_cluster", `it belongs to cluster ${toUuid(block.cluster)}`);
  if (block.pool !== of.number)
    return await refuse("other_pool", `it belongs to pool ${block.pool} of this cluster`);
  if (block.size > size)
    return await refuse("bad_size", `it has ${size} bytes, its superblock says ${block.size}`);
  return { path, slot, superblock: block };
}

/** The pool that a device of this cluster belongs to; `undefined` for one that cannot be read or is none of ours. */
export async function poolOfDevice(
  ports: Pick<ChunkStorePorts, "datapath" | "crypto">,
  device: DevicePath,
  clusterId: Uint8Array,
): Promise<number | undefined> {
  using room = await ports.datapath.arena.borrow(superblockSize, new AbortController().signal);
  try {
    const { path, direct = false } = device;
    const { slot } = await ports.datapath.openDevice({ path, direct });
    try {
      const block = await readSuperblock(ports, slot, room);
      if (typeof block === "string" || !sameBytes(block.cluster, clusterId)) return undefined;
      return block.pool;
    } finally {
      await ports.datapath.closeDevice(slot);
    }
  } catch (reason) {
    if (reason instanceof DatapathError) return undefined;
    throw reason;
  }
}
