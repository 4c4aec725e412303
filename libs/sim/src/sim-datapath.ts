import type { Prng } from "@kiseki/base";
import { assert } from "@kiseki/base";
import type {
  AppendJob,
  ArenaRange,
  CodedChunk,
  CodeJob,
  Crypto,
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
  fragmentSize,
  fragmentStoredSize,
  fragmentStride,
  sealedSize,
  segmentOverhead,
  segmentSize,
} from "@kiseki/ports";
import { SimArena } from "./sim-datapath-arena.ts";
import { codeFragment, decodeFragments } from "./sim-datapath-coder.ts";
import { openDigest } from "./sim-datapath-hash.ts";
import type { SimDisk } from "./sim-disk.ts";
import { SimDiskError } from "./sim-disk.ts";

/** What a job does to a device, in this order. */
export type SimDatapathEffect = "write_begins" | "written" | "synced";

/**
 * The data path in one thread: deterministic, over `SimDisk`s named by path. Each job ends a few turns
 * later than it began, by the seed, so that jobs overlap as they do on threads.
 */
export class SimDatapath implements Datapath {
  readonly arena: SimArena;
  readonly #crypto: Crypto;
  readonly #prng: Prng;
  readonly #disks: ReadonlyMap<string, SimDisk>;
  readonly #open = new Map<DeviceSlot, SimDisk>();
  readonly #failed = new Set<DeviceSlot>();
  #slotNext = 1;
  #closed = false;
  /** Told right before a write, right after it, and right after its sync: where a process may be killed. */
  onEffect: (effect: SimDatapathEffect) => void = () => {};

  constructor(
    prng: Prng,
    crypto: Crypto,
    disks: ReadonlyMap<string, SimDisk>,
    arenaSize = 64 * 1024 * 1024,
  ) {
    this.#prng = prng;
    this.#crypto = crypto;
    this.#disks = disks;
    this.arena = new SimArena(arenaSize);
  }
  /** What happens to this datapath's jobs after a crash of its process: none settles any more. */
  crash(): void {
    this.#closed = true;
  }
  async #turns(): Promise<void> {
    for (let left = 1 + this.#prng.below(6); left > 0; left--) await Promise.resolve();
    if (this.#closed) await new Promise<never>(() => {}); // a dead process answers nothing
  }
  #disk(slot: DeviceSlot): SimDisk {
    const disk = this.#open.get(slot);
    if (disk === undefined) throw new DatapathError("closed", 0, "Cannot use a closed device");
    return disk;
  }

  openHash(algorithms: Iterable<HashAlgorithm>): HashState {
    return new SimHashState(algorithms);
  }
  async hash(job: {
    readonly state?: HashState;
    readonly source: ArenaRange;
    readonly own: boolean;
  }): Promise<{ readonly sha256: Uint8Array | undefined }> {
    const source = slice(job.source);
    if (job.state !== undefined) stateOf(job.state).update(source);
    const sha256 = job.own ? this.#crypto.sha256(source) : undefined;
    await this.#turns();
    return { sha256 };
  }
  digest(state: HashState): ReadonlyMap<HashAlgorithm, Uint8Array> {
    return stateOf(state).digests();
  }

  async seal(job: SealJob): Promise<readonly SealedFragment[]> {
    const sealed = this.#sealSegments(job.identity, slice(job.source));
    await this.#turns();
    return this.#code({ ...job, size: job.source.size }, sealed);
  }
  async code(job: CodeJob): Promise<CodedChunk> {
    await this.#turns();
    const isSane = job.size >= 1 && job.source.size === sealedSize(job.size);
    if (!isSane) throw new DatapathError("bad_argument", 0, "Cannot code: the job makes no sense");
    const sealed = slice(job.source).slice();
    const sourceCrc = this.#crypto.crc32c(0, sealed);
    return { sourceCrc, fragments: this.#code(job, sealed) };
  }
  #code(job: Omit<CodeJob, "source">, sealed: Uint8Array): readonly SealedFragment[] {
    const { profile, headerRoom } = job;
    const size = fragmentSize(profile, job.size);
    const payloads = profile.kind === "copies" ? [sealed] : split(profile, sealed, size);
    const stride = fragmentStride(profile, job.size, headerRoom);
    return payloads.map((payload, index) => {
      const stored = payload.subarray(0, fragmentStoredSize(profile, job.size, index));
      const offset = index * stride + headerRoom;
      job.target.bytes.set(stored, offset);
      const crc32c = this.#crypto.crc32c(0, stored);
      return { index, offset, size: stored.byteLength, crc32c };
    });
  }
  #sealSegments(identity: SealIdentity, plain: Uint8Array): Uint8Array {
    assert(plain.byteLength > 0, "there is something to seal");
    const sealed = new Uint8Array(sealedSize(plain.byteLength));
    const count = Math.ceil(plain.byteLength / segmentSize);
    let offset = 0;
    for (let i = 0; i < count; i++) {
      const nonce = segmentNonce(i);
      const body = this.#crypto.seal(
        identity.dek,
        nonce,
        segmentAad(identity, i, count, plain.byteLength),
        plain.subarray(i * segmentSize, (i + 1) * segmentSize),
      );
      sealed.set(nonce, offset);
      sealed.set(body, offset + 12);
      offset += 12 + body.byteLength;
    }
    return sealed;
  }

  async open(job: OpenJob): Promise<OpenOutcome> {
    await this.#turns();
    const faults: FragmentReport[] = [];
    const good = this.#readGood(job.fragments, faults);
    const sets = candidateSets(job.profile, good);
    if (sets.length === 0) return { kind: "lost", faults };
    for (const set of sets) {
      const sealed = join(job.profile, set, job.size);
      if (this.#openSegments(job, sealed)) return { kind: "opened", faults };
    }
    return { kind: "tampered", faults };
  }
  async readSealed(job: FetchJob): Promise<FetchOutcome> {
    await this.#turns();
    const faults: FragmentReport[] = [];
    const set = candidateSets(job.profile, this.#readGood(job.fragments, faults))[0];
    if (set === undefined) return { kind: "lost", faults };
    const step = segmentSize + segmentOverhead;
    const sealed = join(job.profile, set, job.size);
    const wanted = sealed.subarray(job.segmentFirst * step, job.segmentEnd * step);
    assert(wanted.byteLength <= job.target.size, "the target has room");
    slice(job.target).set(wanted);
    return { kind: "fetched", faults };
  }
  /** A simulated device is always waited for: that is where other things happen meanwhile. */
  openNow(): undefined {
    return undefined;
  }
  readSealedNow(): boolean {
    return false;
  }
  #openSegments(job: OpenJob, sealed: Uint8Array): boolean {
    const start = job.segmentFirst * (segmentSize + segmentOverhead);
    return this.#unsealSegments(job, sealed.subarray(start), slice(job.target));
  }
  async unseal(job: UnsealJob): Promise<"opened" | "tampered"> {
    await this.#turns();
    const { size, segmentFirst, segmentEnd, source, target } = job;
    const into = target instanceof Uint8Array ? target : slice(target);
    const plainSize = Math.min(size, segmentEnd * segmentSize) - segmentFirst * segmentSize;
    const isSane =
      segmentFirst >= 0 &&
      segmentFirst < segmentEnd &&
      segmentEnd <= Math.ceil(size / segmentSize) &&
      source.size === sealedSize(plainSize) &&
      plainSize <= into.byteLength &&
      (into !== target || into.byteLength >= segmentSize);
    if (!isSane)
      throw new DatapathError("bad_argument", 0, "Cannot unseal: the job makes no sense");
    if (this.#unsealSegments(job, slice(source), into)) return "opened";
    into.fill(0);
    return "tampered";
  }
  /** Segments `[segmentFirst, segmentEnd)`, the first of which begins where `sealed` does. */
  #unsealSegments(
    job: Omit<OpenJob, "profile" | "fragments" | "target">,
    sealed: Uint8Array,
    target: Uint8Array,
  ): boolean {
    const count = Math.ceil(job.size / segmentSize);
    let at = 0;
    for (let i = job.segmentFirst; i < job.segmentEnd; i++) {
      const start = (i - job.segmentFirst) * (segmentSize + segmentOverhead);
      const size = Math.min(segmentSize, job.size - i * segmentSize) + segmentOverhead;
      const plain = this.#crypto.open(
        job.identity.dek,
        sealed.subarray(start, start + 12),
        segmentAad(job.identity, i, count, job.size),
        sealed.subarray(start + 12, start + size),
      );
      if (plain === undefined) return false;
      assert(at + plain.byteLength <= target.byteLength, "the target has room");
      target.set(plain, at);
      at += plain.byteLength;
    }
    return true;
  }
  #readGood(sources: readonly FragmentSource[], faults: FragmentReport[]): GoodFragment[] {
    const good: GoodFragment[] = [];
    for (const source of sources) {
      const payload = this.#readFragment(source);
      if (typeof payload === "string") faults.push({ index: source.index, fault: payload });
      else good.push({ index: source.index, payload });
    }
    return good;
  }
  #readFragment(source: FragmentSource): Uint8Array | FragmentFault {
    const headerSize = source.header.byteLength;
    const bytes = new Uint8Array(headerSize + source.size);
    try {
      this.#disk(source.device).read(source.offset - headerSize, bytes);
    } catch (reason) {
      if (reason instanceof SimDiskError || reason instanceof DatapathError) return "io";
      throw reason;
    }
    for (let i = 0; i < headerSize; i++) if (bytes[i] !== source.header[i]) return "header";
    const payload = bytes.subarray(headerSize);
    return this.#crypto.crc32c(0, payload) === source.crc32c ? payload : "crc";
  }
  async verify(source: FragmentSource): Promise<FragmentFault | undefined> {
    await this.#turns();
    const payload = this.#readFragment(source);
    return typeof payload === "string" ? payload : undefined;
  }
  async rebuild(job: RebuildJob): Promise<RebuildOutcome> {
    await this.#turns();
    const faults: FragmentReport[] = [];
    const good = this.#readGood(job.fragments, faults);
    const set = candidateSets(job.profile, good)[0];
    if (set === undefined) return { kind: "lost", faults };
    const sealed = join(job.profile, set, job.size);
    const size = fragmentSize(job.profile, job.size);
    const stride = fragmentStride(job.profile, job.size, job.headerRoom);
    const { profile } = job;
    const all = profile.kind === "copies" ? [sealed] : split(profile, sealed, size);
    const fragments: SealedFragment[] = [];
    for (const index of job.wanted) {
      const place = profile.kind === "copies" ? 0 : index;
      const payload = all[place]!.subarray(0, fragmentStoredSize(profile, job.size, index));
      const offset = place * stride + job.headerRoom;
      job.target.bytes.set(payload, offset);
      const crc32c = this.#crypto.crc32c(0, payload);
      fragments.push({ index, offset, size: payload.byteLength, crc32c });
    }
    return { kind: "rebuilt", fragments, faults };
  }

  async openDevice(
    options: DeviceOpenOptions,
  ): Promise<{ readonly slot: DeviceSlot; readonly size: number }> {
    await this.#turns();
    const disk = this.#disks.get(options.path);
    if (disk === undefined || disk.gone)
      throw new DatapathError("io", 2, `Cannot open ${options.path}: it is not there`);
    disk.forgetCache();
    const slot = this.#slotNext++;
    this.#open.set(slot, disk);
    return { slot, size: disk.size };
  }
  async closeDevice(slot: DeviceSlot): Promise<void> {
    await this.#turns();
    this.#open.delete(slot);
  }
  async read(device: DeviceSlot, offset: number, target: ArenaRange): Promise<void> {
    await this.#turns();
    this.#guard(() => this.#disk(device).read(offset, slice(target)));
  }
  async append(job: AppendJob): Promise<void> {
    await this.#turns();
    if (this.#failed.has(job.device))
      throw new DatapathError("io", 5, "Cannot append: a sync of this device has failed");
    const disk = this.#disk(job.device);
    const size = job.ranges.reduce((sum, range) => sum + range.size, 0);
    assert(job.offset % 4096 === 0 && size % 4096 === 0, "appends are whole blocks");
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const range of job.ranges) {
      bytes.set(slice(range), at);
      at += range.size;
    }
    await this.#effect("write_begins");
    this.#guard(() => disk.write(job.offset, bytes));
    await this.#effect("written");
    if (!job.sync) return;
    await this.#turns();
    try {
      this.#guard(() => disk.sync());
    } catch (reason) {
      this.#failed.add(job.device);
      throw reason;
    }
    await this.#effect("synced");
  }
  discard(device: DeviceSlot, offset: number, size: number): Promise<void> | undefined {
    const disk = this.#disk(device);
    if (!disk.takesDiscard) return undefined;
    return this.#turns().then(() => this.#guard(() => disk.discard(offset, size)));
  }
  async #effect(effect: SimDatapathEffect): Promise<void> {
    this.onEffect(effect);
    if (this.#closed) await new Promise<never>(() => {});
  }
  #guard(act: () => void): void {
    try {
      act();
    } catch (reason) {
      if (!(reason instanceof SimDiskError)) throw reason;
      const full = reason.fault === "no_space";
      throw new DatapathError(full ? "no_space" : "io", full ? 28 : 5, reason.message);
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turns();
    this.#open.clear();
  }
}

interface GoodFragment {
  readonly index: number;
  readonly payload: Uint8Array;
}
class SimHashState implements HashState {
  readonly algorithms: ReadonlySet<HashAlgorithm>;
  readonly #digests: ReadonlyMap<HashAlgorithm, ReturnType<typeof openDigest>>;
  constructor(algorithms: Iterable<HashAlgorithm>) {
    this.algorithms = new Set(algorithms);
    this.#digests = new Map([...this.algorithms].map((name) => [name, openDigest(name)]));
  }
  update(source: Uint8Array): void {
    for (const digest of this.#digests.values()) digest.update(source);
  }
  digests(): ReadonlyMap<HashAlgorithm, Uint8Array> {
    return new Map([...this.#digests].map(([name, digest]) => [name, digest.digest()]));
  }
  [Symbol.dispose](): void {}
}
function stateOf(state: HashState): SimHashState {
  assert(state instanceof SimHashState, "a hash state belongs to its datapath");
  return state;
}
const slice = (range: ArenaRange): Uint8Array =>
  range.lease.bytes.subarray(range.offset, range.offset + range.size);

function segmentNonce(segment: number): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(0, segment, true);
  return nonce;
}
/** Chunk id, seal id, segment number, segment count, total length (KEYS §2). */
function segmentAad(
  identity: SealIdentity,
  segment: number,
  count: number,
  size: number,
): Uint8Array {
  const aad = new Uint8Array(64);
  aad.set(identity.chunkId, 0);
  aad.set(identity.sealId, 32);
  const view = new DataView(aad.buffer);
  view.setUint32(48, segment, true);
  view.setUint32(52, count, true);
  view.setBigUint64(56, BigInt(size), true);
  return aad;
}
/** All fragments of sealed bytes, each padded to the fragment size. */
function split(
  profile: Extract<Profile, { kind: "ec" }>,
  sealed: Uint8Array,
  size: number,
): Uint8Array[] {
  const data = Array.from({ length: profile.data }, (_, i) =>
    padded(sealed.subarray(i * size, (i + 1) * size), size),
  );
  const parity = Array.from({ length: profile.parity }, (_, i) =>
    codeFragment(profile, data, profile.data + i, size),
  );
  return [...data, ...parity];
}
function padded(source: Uint8Array, size: number): Uint8Array {
  const target = new Uint8Array(size);
  target.set(source);
  return target;
}
/** Sets of fragments that are enough, the plainest first. */
function candidateSets(profile: Profile, good: readonly GoodFragment[]): GoodFragment[][] {
  if (profile.kind === "copies") return good.map((fragment) => [fragment]);
  const sorted = [...good].toSorted((a, b) => a.index - b.index);
  const sets: GoodFragment[][] = [];
  const extend = (chosen: GoodFragment[], from: number): void => {
    if (chosen.length === profile.data) sets.push(chosen);
    else for (let i = from; i < sorted.length; i++) extend([...chosen, sorted[i]!], i + 1);
  };
  extend([], 0);
  return sets;
}
/** The sealed bytes of the chunk out of a set. */
function join(profile: Profile, set: readonly GoodFragment[], plainSize: number): Uint8Array {
  if (profile.kind === "copies") return set[0]!.payload;
  const size = fragmentSize(profile, plainSize);
  const whole = set.map(({ index, payload }) => ({ index, payload: padded(payload, size) }));
  const plain = whole.every(({ index }) => index < profile.data);
  const data = plain ? whole.map(({ payload }) => payload) : decodeFragments(profile, whole, size);
  const sealed = new Uint8Array(sealedSize(plainSize));
  data.forEach((payload, i) => {
    const start = i * size;
    if (start < sealed.byteLength)
      sealed.set(payload.subarray(0, Math.min(size, sealed.byteLength - start)), start);
  });
  return sealed;
}
