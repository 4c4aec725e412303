import { assert, type ChunkId, chunkId, newBytes, type SealId, sealId } from "@kiseki/base";
import { capabilitySize } from "./chunk-capability.ts";

/** What a `read_many` frame brings: whole chunks of one segment each. Drawn in `docs/formats/bulk-frame.md`. */
export interface BulkEntry {
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  /** 80 bytes, see `ChunkCapability`. */
  readonly capability: Uint8Array;
  /** Plaintext bytes of the chunk, `[1, 64 KiB]`. */
  readonly size: number;
}
export const bulkEntrySize = 136;
/** Entries of one frame. */
export const bulkEntriesMax = 128;

const segmentSize = 64 * 1024;
const segmentOverhead = 28;
const [sealAt, capabilityAt, sizeAt] = [32, 48, 128];

/** Sealed bytes of one entry's chunk. */
export const bulkEntrySealedSize = ({ size }: Pick<BulkEntry, "size">): number =>
  size + segmentOverhead;

export function encodeBulkEntries(entries: readonly BulkEntry[]): Uint8Array {
  assert(entries.length > 0 && entries.length <= bulkEntriesMax, "a frame has so many entries");
  const target = newBytes(entries.length * bulkEntrySize);
  const view = new DataView(target.buffer);
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    assert(entry.capability.byteLength === capabilitySize, "a capability has its size");
    const at = i * bulkEntrySize;
    target.set(entry.chunkId, at);
    target.set(entry.sealId, at + sealAt);
    target.set(entry.capability, at + capabilityAt);
    view.setUint32(at + sizeAt, entry.size, true);
  }
  return target;
}

/** What they hold are copies. `undefined`: they are none, or ask for more than one segment of a chunk. */
export function decodeBulkEntries(source: Uint8Array): readonly BulkEntry[] | undefined {
  const count = source.byteLength / bulkEntrySize;
  if (!Number.isInteger(count) || count < 1 || count > bulkEntriesMax) return undefined;
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const entries: BulkEntry[] = [];
  for (let at = 0; at < source.byteLength; at += bulkEntrySize) {
    const size = view.getUint32(at + sizeAt, true);
    const isRight = size >= 1 && size <= segmentSize && view.getUint32(at + sizeAt + 4, true) === 0;
    if (!isRight) return undefined;
    entries.push({
      chunkId: chunkId(source.slice(at, at + sealAt)),
      sealId: sealId(source.slice(at + sealAt, at + capabilityAt)),
      capability: source.slice(at + capabilityAt, at + sizeAt),
      size,
    });
  }
  return entries;
}
