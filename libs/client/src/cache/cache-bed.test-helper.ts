import { chunkId, fromHex, newBytes } from "@kiseki/base";
import { systemClock } from "@kiseki/host";
import type { ContentStore } from "@kiseki/vfs";
import { type DiskCache, type DiskCacheOptions, openDiskCache } from "./disk-cache.ts";

export const tenant = "ab".repeat(16);
export const namespace = "cd".repeat(16);
export type Chunk = Parameters<ContentStore["read"]>[0];

/** The node: each chunk has bytes that its id tells, and nothing is there twice. */
export function byteOf(piece: Chunk, position: number): number {
  return (piece.chunkId[0]! * 31 + (piece.chunkId[31]! + 1) * (position >> 3)) & 0xff;
}
export function rightBytes(piece: Chunk, start: number, size: number): Uint8Array {
  return newBytes(size).map((_, i) => byteOf(piece, start + i));
}
export class Origin implements ContentStore {
  reads = 0;
  isGone = false;
  /** Answers wait for it. */
  gate: Promise<void> = Promise.resolve();
  write(): never {
    throw new Error("Nothing is written here");
  }
  async read(piece: Chunk, start: number, target: Uint8Array): ReturnType<ContentStore["read"]> {
    this.reads += 1;
    await this.gate;
    if (this.isGone) return { kind: "refused", code: "unreachable" };
    target.set(rightBytes(piece, piece.chunkOffset + start, target.byteLength));
    return { kind: "read" };
  }
}

export function chunkOf(number: number, length = 65_536): Chunk {
  const id = chunkId(fromHex(number.toString(16).padStart(2, "0").repeat(32)));
  return { ...({} as Chunk), kind: "chunk", chunkId: id, offset: 0, length, chunkOffset: 0 };
}

export function openAtDirectory(
  directory: string,
  ports: Pick<Parameters<typeof openDiskCache>[0], "crypto" | "prng" | "readNow"> & {
    readonly content?: ContentStore;
  },
  change: Partial<DiskCacheOptions> = {},
): Promise<DiskCache> {
  const options = { directory, tenant, namespace, mode: "organic", sizeMax: 1 << 22 } as const;
  return openDiskCache(
    { clock: systemClock, content: new Origin(), ...ports },
    { ...options, onFault: () => undefined, ...change },
  );
}
export async function keepOne(cache: DiskCache): Promise<void> {
  await cache.content.read(chunkOf(1), 0, newBytes(65_536));
  await cache.idle();
}
