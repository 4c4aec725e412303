import type { ArenaLease, Profile, SealedFragment } from "@kiseki/ports";
import type { Device } from "./device.ts";
import type { RecordChunk, RecordPlace } from "./group-writer.ts";
import type { Fragment } from "./row.ts";

interface WriteRequest {
  readonly device: Device;
  readonly chunk: RecordChunk;
  readonly profile: Profile;
  /** Of the fragment or copy. */
  readonly index: number;
  readonly piece: SealedFragment;
  /** Where the piece lies, with room for its header before it when it is a fragment. Borrowed until `settle`. */
  readonly lease: ArenaLease;
  /** Zones of the device that must stay free. */
  readonly zonesLeft: number;
  /** The fragment as the index is to hold it, once it is synced; called once. */
  readonly settle: (outcome: Fragment | "no_space" | "failed") => void;
}

/** Hands one fragment or copy of a chunk to its device's writer. */
export function writeRecord(request: WriteRequest): void {
  const { device, chunk, profile, index, piece, lease, zonesLeft, settle } = request;
  const isCopy = profile.kind === "copies";
  const data = isCopy ? 0 : profile.data;
  const parity = isCopy ? profile.copies : profile.parity;
  device.writer!.enqueue({
    chunk,
    kind: isCopy ? "copy" : "fragment",
    index,
    data,
    parity,
    lease,
    payloadOffset: piece.offset,
    payloadSize: piece.size,
    payloadCrc: piece.crc32c,
    headerInPlace: !isCopy, // copies share one piece
    zonesLeft,
    settle(outcome: RecordPlace | "no_space" | "failed") {
      if (typeof outcome === "string") return settle(outcome);
      const { zone, generation, offset, group, durable } = outcome;
      const place = { zone, generation, offset, group, durable };
      const fragment = { device: device.ordinal, index, data, parity, bad: false };
      settle({ ...fragment, ...place, crc: piece.crc32c });
    },
  });
}
