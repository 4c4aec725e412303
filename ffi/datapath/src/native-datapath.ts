import type { Pointer } from "bun:ffi";
import { assert, toUtf8 } from "@kiseki/base";
import type {
  AppendJob,
  ArenaRange,
  CodedChunk,
  CodeJob,
  Datapath,
  DeviceOpenOptions,
  DeviceSlot,
  FetchJob,
  FetchOutcome,
  FragmentFault,
  FragmentReport,
  FragmentSource,
  HashAlgorithm,
  HashState,
  OpenJob,
  OpenOutcome,
  Profile,
  RebuildJob,
  RebuildOutcome,
  SealedFragment,
  SealIdentity,
  SealJob,
  UnsealJob,
} from "@kiseki/ports";
import {
  DatapathError,
  fragmentStoredSize,
  fragmentStride,
  segmentOverhead,
  segmentSize,
} from "@kiseki/ports";
import { addressOf, addressOutside, NativeArena } from "./arena.ts";
import { NativeHashState } from "./hash.ts";
import { JobPool } from "./pool.ts";
import type { JobRecord } from "./records.ts";
import { flag, fragmentsMax, headerSizeMax, outcomes, pathSizeMax, rangesMax } from "./records.ts";
import type { Native } from "./symbols.ts";
import { loadNative } from "./symbols.ts";

export interface DatapathOptions {
  /** Where `scripts/native` put the library. */
  readonly directory: string;
  /** Bytes of arena, rounded up to 2 MiB. */
  readonly arenaSize: number;
  /** Threads that hash and seal; 1 … 128. */
  readonly computeThreads: number;
  /** Threads that read, write, sync and open: as many jobs as these wait for devices at once; 1 … 128. */
  readonly deviceThreads: number;
  /** Keep the arena out of swap (RLIMIT_MEMLOCK must allow it). */
  readonly lockArena?: boolean;
  /** Told how long the parts of jobs that went well took; `profile`: of what was coded. */
  readonly timed?: (part: TimedPart, seconds: number, profile?: Profile) => void;
}
export type TimedPart = "ec_encode" | "extent_io" | "device_sync";
/** What another Worker of this process needs to join: goes through `postMessage`. */
export interface DatapathHandle {
  readonly directory: string;
  readonly address: number;
}
export interface NativeDatapath extends Datapath {
  readonly handle: DatapathHandle;
}

/** Hashing this much takes about as long as waking a thread. */
const hashHereSize = 16 * 1024;
/** So does sealing or opening this much, with what goes with it. */
const sealHereSize = segmentSize;

/** @throws {DatapathError} `io` when threads or memory are not to be had. */
export function openDatapath(options: DatapathOptions): NativeDatapath {
  const native = loadNative(options.directory);
  const datapath = native.kiseki_datapath_open(
    options.arenaSize,
    options.computeThreads,
    options.deviceThreads,
    options.lockArena === true ? 1 : 0,
  );
  if (datapath === null)
    throw new DatapathError("io", 0, "Cannot open a datapath: no memory, no threads, or no lock");
  return new Driver(native, datapath as Pointer, options.directory, true, options.timed);
}

/** Joins this Worker; the thread that opened closes last, when all others have. */
export function attachDatapath(handle: DatapathHandle): NativeDatapath {
  return new Driver(
    loadNative(handle.directory),
    handle.address as Pointer,
    handle.directory,
    false,
    undefined,
  );
}

const cannotFetch = (): string => "Cannot fetch a chunk";
const cannotOpen = (): string => "Cannot open a chunk";

class Driver implements NativeDatapath {
  readonly arena: NativeArena;
  readonly handle: DatapathHandle;
  readonly #native: Native;
  readonly #datapath: Pointer;
  readonly #pool: JobPool;
  readonly #isOwner: boolean;
  readonly #timed: DatapathOptions["timed"];
  /** Block devices that were opened here. */
  readonly #blocks = new Set<DeviceSlot>();

  constructor(
    native: Native,
    datapath: Pointer,
    directory: string,
    isOwner: boolean,
    timed: DatapathOptions["timed"],
  ) {
    this.#timed = timed;
    this.#native = native;
    this.#datapath = datapath;
    this.#isOwner = isOwner;
    this.handle = { directory, address: datapath };
    this.arena = new NativeArena(native, datapath);
    this.#pool = new JobPool(native, datapath, () => this.arena.serve());
    this.arena.context = this.#pool.context;
  }

  openHash(algorithms: Iterable<HashAlgorithm>): HashState {
    assert(!this.#pool.isClosed, "the datapath is open");
    return new NativeHashState(this.#native, this.#datapath, algorithms, () => this.#pool.isClosed);
  }
  async hash(job: {
    readonly state?: HashState;
    readonly source: ArenaRange;
    readonly own: boolean;
  }): Promise<{ readonly sha256: Uint8Array | undefined }> {
    const state = job.state === undefined ? undefined : stateOf(job.state);
    assert(!state?.isBusy, "a hash state takes one job at a time");
    const fill = (record: JobRecord) => {
      record.begin("hash");
      record.setWide("sourceOffset", addressOf(this.arena, job.source));
      record.setWide("sourceSize", job.source.size);
      record.set("flags", (job.own ? flag.own : 0) | (state ? flag.state : 0));
      if (state) record.set("state", state.place);
    };
    const take = (record: JobRecord) => ({
      sha256: job.own ? record.digest(0, 32) : undefined,
    });
    const what = () => `Cannot hash ${job.source.size} bytes`;
    if (job.source.size <= hashHereSize) {
      const run = (n: Native, number: number) => n.kiseki_datapath_run(this.#pool.context, number);
      return this.#pool.runHere(fill, run, take, what);
    }
    if (state) state.isBusy = true;
    try {
      return await this.#pool.run(fill, take, what);
    } finally {
      if (state) state.isBusy = false;
    }
  }
  digest(hashState: HashState): ReadonlyMap<HashAlgorithm, Uint8Array> {
    const state = stateOf(hashState);
    assert(!state.isBusy, "a digest is asked for between jobs");
    return this.#pool.runHere(
      (record) => {
        record.begin("hash");
        record.set("state", state.place);
      },
      (native, number) => native.kiseki_datapath_digest(this.#pool.context, number),
      (record) => state.digests(record),
      () => "Cannot compute digests",
    );
  }

  async seal(job: SealJob): Promise<readonly SealedFragment[]> {
    const { source, profile, headerRoom, target } = job;
    const fill = (record: JobRecord) => {
      record.begin("seal");
      setIdentity(record, job.identity);
      setProfile(record, profile);
      record.setWide("sourceOffset", addressOf(this.arena, source));
      record.setWide("sourceSize", source.size);
      record.set("chunkSize", source.size);
      record.set("headerRoom", headerRoom);
      this.#setTarget(record, wholeOf(target));
    };
    const indexes = payloadsOf(profile);
    const take = (record: JobRecord) => {
      if (profile.kind === "ec")
        this.#timed?.("ec_encode", record.seconds("codingMicros"), profile);
      return takeMade(record, profile, source.size, headerRoom, indexes);
    };
    const what = () => `Cannot seal ${source.size} bytes`;
    if (source.size > sealHereSize) return this.#pool.run(fill, take, what);
    const made = this.#pool.tryHere(fill, take, what);
    assert(made !== undefined, "sealing waits for no device");
    return made;
  }
  code(job: CodeJob): Promise<CodedChunk> {
    const { source, size, profile, headerRoom, target } = job;
    return this.#pool.run(
      (record) => {
        record.begin("code");
        setProfile(record, profile);
        record.setWide("sourceOffset", addressOf(this.arena, source));
        record.setWide("sourceSize", source.size);
        record.set("chunkSize", size);
        record.set("headerRoom", headerRoom);
        this.#setTarget(record, wholeOf(target));
      },
      (record) => {
        if (profile.kind === "ec")
          this.#timed?.("ec_encode", record.seconds("codingMicros"), profile);
        const sourceCrc = new DataView(record.digest(0, 4).buffer).getUint32(0, true);
        const indexes = payloadsOf(profile);
        return { sourceCrc, fragments: takeMade(record, profile, size, headerRoom, indexes) };
      },
      () => `Cannot code ${source.size} sealed bytes`,
    );
  }
  async unseal(job: UnsealJob): Promise<"opened" | "tampered"> {
    const { source, target } = job;
    const fill = (record: JobRecord) => {
      record.begin("unseal");
      setIdentity(record, job.identity);
      setProfile(record, { kind: "copies", copies: 1 });
      record.setWide("sourceOffset", addressOf(this.arena, source));
      record.setWide("sourceSize", source.size);
      record.set("chunkSize", job.size);
      record.set("segmentFirst", job.segmentFirst);
      record.set("segmentEnd", job.segmentEnd);
      if (target instanceof Uint8Array) setOutside(record, target);
      else this.#setTarget(record, target);
    };
    const take = (record: JobRecord) => {
      if (target instanceof Uint8Array) addressOutside(target); // it lives until here
      const outcome = outcomes[record.get("outcome")];
      assert(outcome === "opened" || outcome === "tampered", "what is here is not lost");
      return outcome;
    };
    const what = () => `Cannot unseal ${source.size} bytes`;
    if (source.size > sealHereSize + segmentOverhead) return this.#pool.run(fill, take, what);
    const outcome = this.#pool.tryHere(fill, take, what);
    assert(outcome !== undefined, "unsealing waits for no device");
    return outcome;
  }
  open(job: OpenJob): Promise<OpenOutcome> {
    return this.#pool.run(
      (record) => this.#setOpening(record, job, 0),
      (record) => takeOpening(record, job),
      () => `Cannot open a chunk of ${job.size} bytes`,
    );
  }
  /** Waking a thread for a segment that the page cache holds would cost several times as much as opening it. */
  openNow(job: OpenJob): Extract<OpenOutcome, { readonly kind: "opened" }> | undefined {
    if ((job.segmentEnd - job.segmentFirst) * segmentSize > sealHereSize) return undefined;
    const record = this.#pool.here;
    this.#setOpening(record, job, flag.cached);
    if (!this.#pool.tryRun(cannotOpen)) return undefined;
    const outcome = takeOpening(record, job);
    return outcome.kind === "opened" && outcome.faults.length === 0 ? outcome : undefined;
  }
  readSealedNow(job: FetchJob): boolean {
    const isSmall = (job.segmentEnd - job.segmentFirst) * segmentSize <= sealHereSize;
    if (!isSmall || job.isVerifying) return false;
    const record = this.#pool.here;
    record.begin("fetch");
    this.#setReading(record, job, flag.cached);
    if (!this.#pool.tryRun(cannotFetch)) return false;
    const isFetched = outcomes[record.get("outcome")] !== "lost";
    return isFetched && takeFaults(record, job.fragments).length === 0;
  }
  readSealed(job: FetchJob): Promise<FetchOutcome> {
    return this.#pool.run(
      (record) => {
        record.begin("fetch");
        this.#setReading(record, job, job.isVerifying ? flag.verify : 0);
      },
      (record) => {
        const isLost = outcomes[record.get("outcome")] === "lost";
        return { kind: isLost ? "lost" : "fetched", faults: takeFaults(record, job.fragments) };
      },
      () => `Cannot fetch a chunk of ${job.size} bytes`,
    );
  }
  #setOpening(record: JobRecord, job: OpenJob, flags: number): void {
    record.begin("open");
    setIdentity(record, job.identity);
    this.#setReading(record, job, flags);
  }
  #setReading(record: JobRecord, job: Omit<OpenJob, "identity">, flags: number): void {
    setProfile(record, job.profile);
    setFragments(record, job.fragments);
    record.set("chunkSize", job.size);
    record.set("segmentFirst", job.segmentFirst);
    record.set("segmentEnd", job.segmentEnd);
    record.set("flags", flags);
    this.#setTarget(record, job.target);
  }
  rebuild(job: RebuildJob): Promise<RebuildOutcome> {
    return this.#pool.run(
      (record) => {
        record.begin("rebuild");
        setProfile(record, job.profile);
        setFragments(record, job.fragments);
        record.set("chunkSize", job.size);
        record.set("headerRoom", job.headerRoom);
        record.set("wanted", bitsOf(job.wanted));
        this.#setTarget(record, wholeOf(job.target));
      },
      (record): RebuildOutcome => {
        const faults = takeFaults(record, job.fragments);
        if (outcomes[record.get("outcome")] === "lost") return { kind: "lost", faults };
        const fragments = takeMade(record, job.profile, job.size, job.headerRoom, job.wanted);
        return { kind: "rebuilt", fragments, faults };
      },
      () => `Cannot rebuild fragments of a chunk of ${job.size} bytes`,
    );
  }
  verify(source: FragmentSource): Promise<FragmentFault | undefined> {
    return this.#pool.run(
      (record) => {
        record.begin("verify");
        setFragments(record, [source]);
      },
      (record) => record.fault(0),
      () => `Cannot verify fragment ${source.index}`,
    );
  }

  async openDevice(
    options: DeviceOpenOptions,
  ): Promise<{ readonly slot: DeviceSlot; readonly size: number }> {
    const path = toUtf8(options.path);
    if (path.byteLength === 0 || path.byteLength > pathSizeMax || path.includes(0))
      throw new DatapathError("bad_argument", 0, "Cannot open a device: its path is no path");
    return await this.#pool.run(
      (record) => {
        record.begin("deviceOpen");
        record.setPath(path);
        const direct = options.direct ? flag.direct : 0;
        record.set("flags", direct | (options.readOnly === true ? flag.readOnly : 0));
      },
      (record) => {
        const slot = record.get("device");
        if ((record.get("flags") & flag.block) !== 0) this.#blocks.add(slot);
        return { slot, size: record.getWide("deviceSize") };
      },
      () => `Cannot open device ${options.path}`,
    );
  }
  closeDevice(slot: DeviceSlot): Promise<void> {
    this.#blocks.delete(slot);
    return this.#pool.run(
      (record) => {
        record.begin("deviceClose");
        record.set("device", slot);
      },
      () => {},
      () => `Cannot close device ${slot}`,
    );
  }
  read(device: DeviceSlot, offset: number, target: ArenaRange): Promise<void> {
    return this.#pool.run(
      (record) => {
        record.begin("read");
        record.set("device", device);
        record.setWide("deviceOffset", offset);
        this.#setTarget(record, target);
      },
      () => {},
      () => `Cannot read ${target.size} bytes at ${offset} of device ${device}`,
    );
  }
  async append(job: AppendJob): Promise<void> {
    let { offset } = job;
    for (let first = 0; first < job.ranges.length || first === 0; first += rangesMax) {
      const ranges = job.ranges.slice(first, first + rangesMax);
      const isLast = first + rangesMax >= job.ranges.length;
      await this.#appendPart(job.device, offset, ranges, job.sync && isLast, first > 0);
      for (const range of ranges) offset += range.size;
    }
  }
  async #appendPart(
    device: DeviceSlot,
    offset: number,
    ranges: readonly ArenaRange[],
    sync: boolean,
    hasWritten: boolean,
  ): Promise<void> {
    const part = this.#pool.run(
      (record) => {
        record.begin("append");
        record.set("device", device);
        record.setWide("deviceOffset", offset);
        record.set("rangeCount", ranges.length);
        record.set("flags", sync ? flag.sync : 0);
        ranges.forEach((range, i) => record.setRange(i, addressOf(this.arena, range), range.size));
      },
      (record) => {
        this.#timed?.("extent_io", record.seconds("writeMicros"));
        if (sync) this.#timed?.("device_sync", record.seconds("syncMicros"));
      },
      () => `Cannot append at ${offset} of device ${device}`,
    );
    try {
      await part;
    } catch (reason) {
      if (!hasWritten || !(reason instanceof DatapathError) || reason.code !== "no_space")
        throw reason;
      throw new DatapathError("io", reason.errno, reason.message); // an earlier part was written
    }
  }
  discard(device: DeviceSlot, offset: number, size: number): Promise<void> | undefined {
    if (!this.#blocks.has(device)) return undefined;
    return this.#pool.run(
      (record) => {
        record.begin("discard");
        record.set("device", device);
        record.setWide("deviceOffset", offset);
        record.setWide("deviceSize", size);
      },
      () => {},
      () => `Cannot discard ${size} bytes at ${offset} of device ${device}`,
    );
  }
  #setTarget(record: JobRecord, target: ArenaRange): void {
    record.setWide("targetOffset", addressOf(this.arena, target));
    record.setWide("targetSize", target.size);
  }
  /** Waits for the jobs in flight. Leases and devices end with the last thread. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#pool.isClosed) return;
    await this.#pool.close();
    this.arena.context = undefined;
    if (!this.#isOwner) return;
    const result = this.#native.kiseki_datapath_close(this.#datapath);
    assert(result === 0, "the thread that opened a datapath closes it last");
  }
}

function stateOf(state: HashState): NativeHashState {
  assert(state instanceof NativeHashState, "a hash state belongs to its datapath");
  return state;
}
function takeOpening(record: JobRecord, job: OpenJob): OpenOutcome {
  const kind = outcomes[record.get("outcome")];
  assert(kind !== undefined, "an opening ends in a known way");
  return { kind, faults: takeFaults(record, job.fragments) };
}
const wholeOf = (lease: ArenaRange["lease"]): ArenaRange => ({
  lease,
  offset: 0,
  size: lease.bytes.byteLength,
});
/** Numbers of what a target of fragments holds: copies share one payload. */
const payloadsOf = (profile: Profile): readonly number[] =>
  profile.kind === "copies"
    ? [0]
    : Array.from({ length: profile.data + profile.parity }, (_, i) => i);

function setOutside(record: JobRecord, target: Uint8Array): void {
  record.set("flags", flag.outside);
  record.setWide("targetOffset", addressOutside(target));
  record.setWide("targetSize", target.byteLength);
}
function setIdentity(record: JobRecord, identity: SealIdentity): void {
  record.setBytes("dek", identity.dek, 32);
  record.setBytes("chunkId", identity.chunkId, 32);
  record.setBytes("sealId", identity.sealId, 16);
}
function setProfile(record: JobRecord, profile: Profile): void {
  if (profile.kind === "copies") return record.set("copies", profile.copies);
  record.set("data", profile.data);
  record.set("parity", profile.parity);
}
function setFragments(record: JobRecord, fragments: readonly FragmentSource[]): void {
  if (
    fragments.length > fragmentsMax ||
    fragments.some((source) => source.header.byteLength > headerSizeMax)
  ) {
    throw new DatapathError(
      "bad_argument",
      0,
      `Cannot read ${fragments.length} fragments: up to ${fragmentsMax}, headers up to ${headerSizeMax} bytes`,
    );
  }
  record.set("fragmentCount", fragments.length);
  fragments.forEach((source, i) => record.setFragment(i, source));
}
function takeFaults(
  record: JobRecord,
  fragments: readonly FragmentSource[],
): readonly FragmentReport[] {
  const reports: FragmentReport[] = [];
  fragments.forEach(({ index }, i) => {
    const fault = record.fault(i);
    if (fault !== undefined) reports.push({ index, fault });
  });
  return reports;
}
/** Where C put fragments, which must be where the port says. */
function takeMade(
  record: JobRecord,
  profile: Profile,
  size: number,
  headerRoom: number,
  indexes: readonly number[],
): readonly SealedFragment[] {
  const stride = profile.kind === "copies" ? 0 : fragmentStride(profile, size, headerRoom);
  return indexes.map((index) => {
    const made = record.made(index);
    assert(made.offset === index * stride + headerRoom, "C and the port agree on offsets");
    assert(made.size === fragmentStoredSize(profile, size, index), "C and the port agree on sizes");
    return { index, ...made };
  });
}
function bitsOf(indexes: readonly number[]): number {
  let bits = 0;
  for (const index of indexes) {
    if (!Number.isInteger(index) || index < 0 || index >= fragmentsMax)
      throw new DatapathError("bad_argument", 0, `Cannot rebuild fragment ${index}`);
    bits |= 1 << index;
  }
  return bits;
}
