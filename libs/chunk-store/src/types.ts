import type {
  Bytes,
  ChunkId,
  DeviceId,
  Epoch,
  Keyset,
  OperationId,
  Prng,
  SealId,
  ShardId,
  TenantId,
} from "@kiseki/base";
import type {
  ArenaRange,
  Clock,
  Crypto,
  Datapath,
  FragmentFault,
  Metrics,
  Profile,
} from "@kiseki/ports";
import type { DeviceClass } from "@kiseki/format";
import type { CapacityState } from "@kiseki/placement";
import type { FragmentIndex } from "./fragment-index.ts";

/** What the store asks of the world; built once in `main`. */
export interface ChunkStorePorts {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly crypto: Crypto;
  readonly datapath: Datapath;
  readonly metrics: Metrics;
  /** A checkpoint of where fragments lie; may be empty, old or lost, never wrong for long. Owned by the store. */
  readonly index: FragmentIndex;
}

/**
 * Rules that the simulator may switch off one by one to see that its checkers find what follows.
 * All are true in production.
 */
export interface Safeties {
  /** A put is answered only after the sync of its groups. */
  readonly syncBeforeAcknowledge: boolean;
  /** Records, summaries and footers of another generation of a zone are not believed. */
  readonly checkGeneration: boolean;
  /** A device that was away is resynced before its fragments count. */
  readonly distrustReturning: boolean;
  /** Open scans the zones behind the index's mark. */
  readonly scanTail: boolean;
  /** Compaction moves the living before it gives a zone away. */
  readonly copyLiving: boolean;
  /** A put with fewer than k+1 synced fragments is refused or goes to other devices. */
  readonly refuseThin: boolean;
}
export const allSafeties: Safeties = {
  syncBeforeAcknowledge: true,
  checkGeneration: true,
  distrustReturning: true,
  scanTail: true,
  copyLiving: true,
  refuseThin: true,
};

export interface DevicePath {
  readonly path: string;
  /** O_DIRECT; off for files on a file system that lacks it. */
  readonly direct?: boolean;
}

export interface FormatOptions {
  readonly devices: readonly (DevicePath & {
    /** `auto` is `ssd`. */
    readonly class?: DeviceClass;
  })[];
  /** 16 bytes each. */
  readonly clusterId: Uint8Array;
  readonly nodeId: Uint8Array;
  /** Which of the node's pools they make; 0 by default. */
  readonly pool?: number;
  /** Bytes, a multiple of 4096; by default chosen from the size of the device. */
  readonly zoneSize?: number;
  /** Overwrites a superblock of ours or a foreign file system. Never an open device. */
  readonly force?: boolean;
  /** All of them may be overwritten; nothing was written yet. */
  readonly onBlank?: () => Promise<void>;
  /** An earlier format of these paths was cut short: superblocks of this cluster, and torn ones, are what it left. */
  readonly unfinished?: readonly string[];
}

export interface OpenOptions {
  readonly devices: readonly DevicePath[];
  /** Refuses devices of another cluster. */
  readonly clusterId: Uint8Array;
  /** Refuses devices of another pool; 0 by default. */
  readonly pool?: number;
  /** With one device of two left, single copies are taken only when this is set (STORE §4). */
  readonly allowSingleCopy: boolean;
  readonly safeties?: Safeties;
}

export type ChunkStoreErrorCode =
  /** Every device that could take it is at its threshold; deletes still work. */
  | "no_space"
  /** Too few devices are healthy for what was asked; try again later. */
  | "unavailable"
  /** The store is closed or closing. */
  | "closed"
  /** A file system or another program's signature is on the device; its name is in the message. */
  | "foreign_signature"
  /** The device is ours already; needs `force`. */
  | "already_formatted"
  /** The superblock's version is not known to this program. */
  | "unknown_version"
  /** Both superblocks are damaged or absent: the device is not usable. */
  | "bad_superblock"
  /** A device of another cluster. */
  | "foreign_cluster"
  /** A device of another pool: it is never moved, its content would be lost there. */
  | "other_pool"
  /** The device is too small or the sizes do not fit. */
  | "bad_size"
  /** No such device. */
  | "unknown_device"
  /** The device holds what no other does. */
  | "not_empty"
  /** Without the device the pool would survive fewer losses. */
  | "less_redundancy"
  /** Not enough good fragments are left of a chunk. */
  | "lost"
  /** Sealed bytes did not arrive as they were sent; nothing is stored. */
  | "bad_checksum";

/** What the store answers to bad input and to the world's faults; bugs are `AssertionError`. */
export class ChunkStoreError extends Error {
  override readonly name = "ChunkStoreError";
  readonly code: ChunkStoreErrorCode;
  constructor(code: ChunkStoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Names one sealing of one chunk. */
export interface SealRef {
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
}

interface PutCommon extends SealRef {
  readonly tenant: TenantId;
  readonly shard: ShardId;
  /** Epoch of the shard's owner; lies in the record headers. */
  readonly epoch: Epoch;
  readonly operationId: OperationId;
  readonly keyset: Keyset;
  /** Kept as copies instead of EC (one segment at most). */
  readonly small: boolean;
}
/** Ends a wait for arena memory; asked for when there is one. */
export type PutSignal = AbortSignal | (() => AbortSignal);

export interface PutRequest extends PutCommon {
  /** 32 bytes, borrowed until the promise settles. */
  readonly dek: Uint8Array;
  /** 1 B … 4 MiB of plaintext, borrowed until the promise settles. */
  readonly source: ArenaRange;
}
/** A chunk that somebody else has sealed. */
export interface PutSealedRequest extends PutCommon {
  /** Plaintext bytes, `[1, 4 MiB]`. */
  readonly size: number;
  /** All its sealed bytes, borrowed until the promise settles. */
  readonly sealed: ArenaRange;
  /** CRC-32C that they must have. */
  readonly sealedCrc: number;
}

/** Where a chunk went; what the delta that names it carries. */
export interface ChunkPlacement {
  readonly profile: Profile;
  readonly pool: number;
  /** Version of the placement map that chose the devices. */
  readonly placementEpoch: number;
  /** Fragments of the profile that are not stored yet; repair is queued for them. */
  readonly missing: number;
}

export interface GetRequest extends SealRef {
  /** `rowName` of this, for who reads it again and again. */
  readonly name?: string | undefined;
  /** 32 bytes, borrowed until the promise settles. */
  readonly dek: Uint8Array;
  /** Plaintext size of the whole chunk, as its reference says. */
  readonly size: number;
  /** `[start, end)` of the plaintext, not empty; whole chunk if left out. */
  readonly range?: { readonly start: number; readonly end: number };
  /** Room for the whole segments that the range touches: `roomFor(range, size)` bytes. */
  readonly target: ArenaRange;
}
export type GetOutcome =
  /** The asked range lies at `offset` of `target.lease.bytes`, `size` bytes. */
  | { readonly kind: "read"; readonly offset: number; readonly size: number }
  /** Nothing is known of this (chunk id, seal id), or it has another size. */
  | { readonly kind: "not_found" }
  /** Too few good fragments; counted, reported. */
  | { readonly kind: "lost" }
  /** Checksums right, tags wrong: someone changed it. Never the bytes. */
  | { readonly kind: "tampered" };

/** Sealed segments as they lie, without a key. */
export interface GetSealedRequest extends SealRef {
  /** Plaintext size of the whole chunk, as its reference says. */
  readonly size: number;
  /** `[segmentFirst, segmentEnd)`. */
  readonly segmentFirst: number;
  readonly segmentEnd: number;
  /** What came before did not open: whole fragments are read, and bad ones queued for repair. */
  readonly isVerifying: boolean;
  /** Room for the sealed segments, no byte less. */
  readonly target: ArenaRange;
}

/** What the index knows of one sealing. */
export interface ChunkInspection {
  readonly profile: Profile;
  /** Plaintext bytes. */
  readonly size: number;
  readonly tenant: TenantId;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly operationId: OperationId;
  readonly keyset: Keyset;
  /** True until `candidates` has matched it with the shards. */
  readonly candidate: boolean;
  readonly fragments: readonly {
    readonly index: number;
    readonly device: DeviceId;
    /** False while the device is missing, failed or not yet resynced. */
    readonly present: boolean;
  }[];
  /** Fragments of the profile that no usable device holds. */
  readonly missing: number;
}

/** healthy → degraded (slow or faulty, still used) → failed; missing: a member that is not here. */
export type DeviceState = "healthy" | "degraded" | "failed" | "missing" | "resyncing";
export interface DeviceStatus {
  readonly id: DeviceId;
  readonly path: string | undefined;
  readonly class: DeviceClass;
  readonly state: DeviceState;
  /** Why it is not healthy. */
  readonly reason: string | undefined;
  /** A write or sync of it failed: it stays out, over restarts too, until it is replaced. */
  readonly mustReplace: boolean;
  /** It is being emptied, and takes nothing new. */
  readonly isLeaving: boolean;
  readonly capacity: CapacityState;
  readonly size: Bytes;
  /** Bytes of zones that hold data, living or not, and cannot be written now. */
  readonly used: Bytes;
  /** Bytes of records that the index names. */
  readonly living: Bytes;
  readonly zonesFree: number;
  readonly zonesTotal: number;
  /** Faults of this device since it was opened. */
  readonly faults: Readonly<Record<FragmentFault, number>>;
}
export interface StoreStatus {
  readonly devices: readonly DeviceStatus[];
  /** Profile that the next chunk would take, `undefined` when writes are refused. */
  readonly profile: Profile | undefined;
  /** The whole pool's: the worst that still lets a put through decides. */
  readonly capacity: CapacityState;
  readonly placementEpoch: number;
  /** Chunks in the index. */
  readonly chunks: number;
  readonly candidates: number;
  /**
   * Sealings of a profile that survives fewer losses than the pool's own: written while devices were out,
   * and not under a customer's key. As last counted (`countNarrow`), and what was put since.
   */
  readonly narrow: number;
  readonly repairQueued: number;
  /** Records found damaged below a durable mark at open and by scrub since. */
  readonly damaged: number;
  /** Unsynced tails that open dropped. */
  readonly tornTails: number;
}

/** What devices that leave hold, counted by one walk over it. */
export interface Evacuation {
  /** Chunks that have nothing there any more. */
  readonly moved: number;
  readonly left: number;
  /** Of these: no device may take them now; they are sealed anew, repaired, or wait for room. */
  readonly waiting: number;
}
export interface RepairProgress {
  readonly done: number;
  /** 0 when not known. */
  readonly total: number;
  readonly repaired: number;
  readonly lost: number;
  /** The sealing that got fragments in this step, if it did. */
  readonly completed: SealRef | undefined;
}
export interface RepairOutcome {
  readonly repaired: number;
  /** Nothing to do: complete already, or unknown. */
  readonly skipped: number;
  /** Chunks of which too few fragments are left. */
  readonly lost: readonly SealRef[];
  /** Chunks that could not be completed now (no device takes the fragment). */
  readonly waiting: readonly SealRef[];
}
export interface ScrubOutcome {
  readonly records: number;
  readonly bytes: Bytes;
  /** Records with a fault; their chunks are in the repair queue. */
  readonly faults: number;
}
