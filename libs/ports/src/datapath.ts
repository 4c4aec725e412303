import type { ChunkId, SealId } from "@kiseki/base";

/**
 * Bulk bytes: an arena, jobs over it, and devices. Drivers: `ffi/datapath` (C threads) and `sim`.
 * Jobs run elsewhere; a promise settles on the caller's thread. A job borrows its leases until it
 * settles: dispose a lease only after that. Object content passes TypeScript only as views of the arena.
 */

/** Segments of a chunk: 64 KiB of plaintext each (KEYS §2). */
export const segmentSize = 64 * 1024;
export const nonceSize = 12;
export const tagSize = 16;
/** What a segment grows by when sealed: nonce and tag. */
export const segmentOverhead = nonceSize + tagSize;
export const chunkSizeMax = 4 * 1024 * 1024;

/** A loan of arena memory, aligned to 4096. Reading `bytes` after disposal throws. */
export interface ArenaLease extends Disposable {
  readonly bytes: Uint8Array;
}
export interface Arena {
  /** `undefined` when there is no room: the caller waits or refuses. Bytes are not zeroed. */
  lend(size: number): ArenaLease | undefined;
  /** Resolves with a lease as soon as there is room, in the order asked; rejects when aborted. */
  borrow(size: number, signal: AbortSignal): Promise<ArenaLease>;
  readonly sizeTotal: number;
  readonly sizeLent: number;
}
/** `[offset, offset + size)` of a lease. */
export interface ArenaRange {
  readonly lease: ArenaLease;
  readonly offset: number;
  readonly size: number;
}

export type HashAlgorithm = "md5" | "sha256" | "sha1" | "crc32" | "crc32c" | "crc64nvme";
/** A running digest over a stream, fed by `hash` jobs, one at a time. */
export interface HashState extends Disposable {
  readonly algorithms: ReadonlySet<HashAlgorithm>;
}

/** How one sealed chunk becomes fragments. `copies` n: fragment 0 .. n-1 are equal and whole. */
export type Profile =
  | { readonly kind: "copies"; readonly copies: number }
  | { readonly kind: "ec"; readonly data: number; readonly parity: number };

/** What binds a sealing: all of it is in the AAD or in the key (KEYS §2). */
export interface SealIdentity {
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  /** 32 bytes, borrowed for the job; wiped from native memory when it ends. */
  readonly dek: Uint8Array;
}

/**
 * Cuts `source` (1 B … 4 MiB of plaintext) into segments, seals each and codes fragments into `target`:
 * fragment i lies at `i * fragmentStride(profile, size)` + `headerRoom`. For copies there is one payload.
 */
export interface SealJob {
  readonly source: ArenaRange;
  readonly identity: SealIdentity;
  readonly profile: Profile;
  readonly headerRoom: number;
  readonly target: ArenaLease;
}
export interface SealedFragment {
  readonly index: number;
  /** Where the payload starts in `target`; `headerRoom` bytes are free before it. */
  readonly offset: number;
  readonly size: number;
  readonly crc32c: number;
}

/**
 * Opens segments `[segmentFirst, segmentEnd)` of a chunk whose sealed bytes lie one after another in `source`, as they
 * came over a wire, into `target`. `SealJob` with one copy and no room for headers makes such bytes.
 */
export interface UnsealJob {
  readonly identity: SealIdentity;
  /** Plaintext size of the whole chunk. */
  readonly size: number;
  readonly segmentFirst: number;
  readonly segmentEnd: number;
  /** The sealed segments, no byte more. */
  readonly source: ArenaRange;
  /** Of another lease, or elsewhere in the same; or memory of the caller's own, 64 KiB at least, out of `newBytes`. */
  readonly target: ArenaRange | Uint8Array;
}

/** As `SealJob`, of a chunk that somebody else has sealed. */
export interface CodeJob {
  /** All sealed bytes of the chunk, no byte more; apart from the target. */
  readonly source: ArenaRange;
  /** Plaintext size of the chunk. */
  readonly size: number;
  readonly profile: Profile;
  readonly headerRoom: number;
  readonly target: ArenaLease;
}
export interface CodedChunk {
  /** Of the source. */
  readonly sourceCrc: number;
  readonly fragments: readonly SealedFragment[];
}

/** Number of an opened device in its datapath. */
export type DeviceSlot = number;
export interface DeviceOpenOptions {
  readonly path: string;
  /** O_DIRECT: offsets, sizes and memory are then whole blocks. */
  readonly direct: boolean;
  readonly readOnly?: boolean;
}
/** Adjacent ranges, written one after another from `offset`. */
export interface AppendJob {
  readonly device: DeviceSlot;
  readonly offset: number;
  readonly ranges: readonly ArenaRange[];
  /** fdatasync after the write; the promise settles after it. A failed sync fails the device for good. */
  readonly sync: boolean;
}

/** Where one fragment's payload lies, and the header that must stand before it. */
export interface FragmentSource {
  readonly index: number;
  readonly device: DeviceSlot;
  /** Offset of the payload on the device. */
  readonly offset: number;
  readonly size: number;
  readonly crc32c: number;
  /** The exact header bytes that must end right before `offset`; checked on every read. */
  readonly header: Uint8Array;
}
/**
 * Reads fragments, checks header and CRC, decodes if data fragments are missing, opens segments
 * `[segmentFirst, segmentEnd)` into `target`. A read that covers a fragment partly checks its
 * header and the segments' tags, not the CRC.
 */
export interface OpenJob {
  readonly identity: SealIdentity;
  readonly profile: Profile;
  /** Plaintext size of the whole chunk. */
  readonly size: number;
  readonly fragments: readonly FragmentSource[];
  readonly segmentFirst: number;
  readonly segmentEnd: number;
  readonly target: ArenaRange;
}
/** As `OpenJob`, without a key: the sealed segments come into `target` as they lie, one after another. */
export interface FetchJob extends Omit<OpenJob, "identity"> {
  /** Reads fragments whole and checks their CRCs: what did not open when parts of them were read. */
  readonly isVerifying: boolean;
}
export type FetchOutcome = {
  /** `lost`: too few good fragments. */
  readonly kind: "fetched" | "lost";
  readonly faults: readonly FragmentReport[];
};
/** `tag`: header and CRC are right, but what it holds was not sealed with the rest: tampering. */
export type FragmentFault = "io" | "header" | "crc" | "tag";
export interface FragmentReport {
  readonly index: number;
  readonly fault: FragmentFault;
}
export type OpenOutcome =
  /** `faults`: fragments found bad on the way; the plaintext is right all the same. */
  | { readonly kind: "opened"; readonly faults: readonly FragmentReport[] }
  /** Too few good fragments. */
  | { readonly kind: "lost"; readonly faults: readonly FragmentReport[] }
  /** Checksums right, a tag wrong, whatever set of fragments was tried: tampering. */
  | { readonly kind: "tampered"; readonly faults: readonly FragmentReport[] };

/** Reads enough good fragments and makes those of `wanted` into `target`, laid out as in `SealJob`. No keys. */
export interface RebuildJob {
  readonly profile: Profile;
  readonly size: number;
  readonly fragments: readonly FragmentSource[];
  readonly wanted: readonly number[];
  readonly headerRoom: number;
  readonly target: ArenaLease;
}
export type RebuildOutcome =
  | {
      readonly kind: "rebuilt";
      readonly fragments: readonly SealedFragment[];
      readonly faults: readonly FragmentReport[];
    }
  | { readonly kind: "lost"; readonly faults: readonly FragmentReport[] };

export class DatapathError extends Error {
  override readonly name = "DatapathError";
  readonly code: "io" | "no_space" | "closed" | "bad_argument";
  /** The system's number behind `io` and `no_space`, 0 if none. */
  readonly errno: number;
  constructor(code: DatapathError["code"], errno: number, message: string) {
    super(message);
    this.code = code;
    this.errno = errno;
  }
}

export interface Datapath extends AsyncDisposable {
  readonly arena: Arena;
  openHash(algorithms: Iterable<HashAlgorithm>): HashState;
  /** Feeds `source` to `state` and, if asked, also answers the SHA-256 of `source` alone. One pass where one serves both. */
  hash(job: {
    readonly state?: HashState;
    readonly source: ArenaRange;
    readonly own: boolean;
  }): Promise<{ readonly sha256: Uint8Array | undefined }>;
  /** The digests so far, big-endian for CRCs; the state can go on. */
  digest(state: HashState): ReadonlyMap<HashAlgorithm, Uint8Array>;
  seal(job: SealJob): Promise<readonly SealedFragment[]>;
  /** `tampered`: a tag or nonce is wrong, and the target holds no plaintext. @throws {DatapathError} `bad_argument` */
  unseal(job: UnsealJob): Promise<"opened" | "tampered">;
  /** @throws {DatapathError} `bad_argument` */
  code(job: CodeJob): Promise<CodedChunk>;
  open(job: OpenJob): Promise<OpenOutcome>;
  readSealed(job: FetchJob): Promise<FetchOutcome>;
  /**
   * As `open`, in the caller's thread, of a segment that the system's cache holds. `undefined` when it would have to wait
   * for a device, when there is more to open, or when anything is wrong with a fragment: `open` it, which finds out.
   */
  openNow(job: OpenJob): Extract<OpenOutcome, { readonly kind: "opened" }> | undefined;
  /** As `readSealed`, under the conditions of `openNow`; false: `readSealed` it. */
  readSealedNow(job: FetchJob): boolean;
  rebuild(job: RebuildJob): Promise<RebuildOutcome>;
  /** Header and CRC of one fragment. */
  verify(source: FragmentSource): Promise<FragmentFault | undefined>;
  /** Drops what the system has cached of it: reads show what is on it, not what a failed sync left. @throws {DatapathError} */
  openDevice(
    options: DeviceOpenOptions,
  ): Promise<{ readonly slot: DeviceSlot; readonly size: number }>;
  closeDevice(slot: DeviceSlot): Promise<void>;
  /** Fills `target` from `offset`. @throws {DatapathError} `io` also when the device ends before. */
  read(device: DeviceSlot, offset: number, target: ArenaRange): Promise<void>;
  /** @throws {DatapathError} after which nothing is known of the range (`io`) or nothing was written (`no_space`). */
  append(job: AppendJob): Promise<void>;
  /**
   * Tells a block device that nobody needs `[offset, offset + size)` any more, whole blocks; what it shows there afterwards
   * is not said. Resolves when the device has heard it, and also when it does not take it. `undefined` for a file, which
   * keeps what was preallocated. @throws {DatapathError} of a range outside, or of a device that is closed
   */
  discard(device: DeviceSlot, offset: number, size: number): Promise<void> | undefined;
}

/** Size of a chunk of `size` plaintext bytes once sealed. */
export function sealedSize(size: number): number {
  return size + Math.ceil(size / segmentSize) * segmentOverhead;
}

/**
 * Size of each fragment but the last data one, which may be shorter (down to 0) on the device;
 * coding treats it as padded with zeros. Chunks with at least k segments are cut only between segments.
 */
export function fragmentSize(profile: Profile, size: number): number {
  if (profile.kind === "copies") return sealedSize(size);
  const segments = Math.ceil(size / segmentSize);
  if (segments >= profile.data) {
    return Math.ceil(segments / profile.data) * (segmentSize + segmentOverhead);
  }
  const even = Math.ceil(sealedSize(size) / profile.data);
  return Math.ceil(even / 64) * 64; // whole cache lines, which the coder wants
}

/** Bytes of fragment `index` that are stored: data fragments end where the sealed bytes end. */
export function fragmentStoredSize(profile: Profile, size: number, index: number): number {
  const whole = fragmentSize(profile, size);
  if (profile.kind === "copies" || index >= profile.data) return whole;
  return Math.max(0, Math.min(whole, sealedSize(size) - index * whole));
}

/** Distance of fragments in the target of `SealJob`: room and payload, rounded up to 64. */
export function fragmentStride(profile: Profile, size: number, headerRoom: number): number {
  return Math.ceil((headerRoom + fragmentSize(profile, size)) / 64) * 64;
}
