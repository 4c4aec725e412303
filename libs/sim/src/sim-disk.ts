import type { Prng } from "@kiseki/base";
import { assert } from "@kiseki/base";

/**
 * A disk that keeps what was synced and, at a crash, a random part of what was not. Injects: lost,
 * late, torn and misdirected writes, lying syncs, bit rot, errors, no space, a device gone, zeroed,
 * away and back, old contents put back. Counts each.
 */
export type DiskFault =
  | "lost_write"
  | "late_write"
  | "torn_write"
  | "misdirected_write"
  | "lying_sync"
  | "bit_rot"
  | "read_error"
  | "write_error"
  | "sync_error"
  | "no_space"
  | "gone"
  | "zeroed"
  | "old_content";

/** Chances out of 10,000, per call; 0 where left out. */
export interface DiskFaultRates {
  /** The write is answered and never happens. */
  readonly lostWrite?: number;
  /** The write is seen at once and becomes durable one sync later than promised. */
  readonly lateWrite?: number;
  /** Some of its blocks never happen though it is answered. */
  readonly tornWrite?: number;
  /** It lands elsewhere, on a block boundary. */
  readonly misdirectedWrite?: number;
  /** The sync is answered, nothing becomes durable. */
  readonly lyingSync?: number;
  readonly readError?: number;
  readonly writeError?: number;
  readonly syncError?: number;
}

/** Thrown by the disk; the datapath over it makes a `DatapathError` of it. */
export class SimDiskError extends Error {
  override readonly name = "SimDiskError";
  readonly fault: DiskFault;
  constructor(fault: DiskFault) {
    super(`Cannot reach the disk: ${fault}`);
    this.fault = fault;
  }
}

interface PendingWrite {
  readonly offset: number;
  readonly size: number;
  late: boolean;
}
const block = 4096;

export class SimDisk {
  readonly size: number;
  /** Set by tests at any time. */
  rates: DiskFaultRates = {};
  /** Every call fails while set; contents stay. */
  gone = false;
  /** Appends fail with no space while set. */
  full = false;
  /** A block device, not a file; set by tests before it is used. */
  takesDiscard = false;
  readonly struck: Record<DiskFault, number> = {
    lost_write: 0,
    late_write: 0,
    torn_write: 0,
    misdirected_write: 0,
    lying_sync: 0,
    bit_rot: 0,
    read_error: 0,
    write_error: 0,
    sync_error: 0,
    no_space: 0,
    gone: 0,
    zeroed: 0,
    old_content: 0,
  };
  readonly #prng: Prng;
  readonly #durable: Uint8Array;
  readonly #current: Uint8Array;
  #pending: PendingWrite[] = [];
  /** What a failed sync left: reads show it and no later sync writes it, as Linux does with its page cache. */
  #dropped: PendingWrite[] = [];
  syncs = 0;
  writes = 0;

  constructor(prng: Prng, size: number) {
    assert(size % block === 0, "a disk is whole blocks");
    this.#prng = prng;
    this.size = size;
    this.#durable = new Uint8Array(size);
    this.#current = new Uint8Array(size);
  }
  #strikes(rate: number | undefined, fault: DiskFault): boolean {
    if (rate === undefined || rate === 0 || !this.#prng.chance(rate, 10_000)) return false;
    this.struck[fault] += 1;
    return true;
  }
  #check(): void {
    if (!this.gone) return;
    this.struck.gone += 1;
    throw new SimDiskError("gone");
  }
  /** @throws {SimDiskError} */
  read(offset: number, target: Uint8Array): void {
    this.#check();
    if (this.#strikes(this.rates.readError, "read_error")) throw new SimDiskError("read_error");
    if (offset < 0 || offset + target.byteLength > this.size) throw new SimDiskError("read_error");
    target.set(this.#current.subarray(offset, offset + target.byteLength));
  }
  /** @throws {SimDiskError} */
  write(offset: number, source: Uint8Array): void {
    this.#check();
    this.writes += 1;
    if (this.full) {
      this.struck.no_space += 1;
      throw new SimDiskError("no_space");
    }
    if (offset < 0 || offset + source.byteLength > this.size) throw new SimDiskError("no_space");
    if (this.#strikes(this.rates.writeError, "write_error")) {
      this.#apply(offset, source.subarray(0, this.#prng.below(source.byteLength + 1)), false);
      throw new SimDiskError("write_error");
    }
    if (this.#strikes(this.rates.lostWrite, "lost_write")) return;
    if (this.#strikes(this.rates.misdirectedWrite, "misdirected_write")) {
      const room = Math.floor((this.size - source.byteLength) / block);
      this.#apply(this.#prng.below(room + 1) * block, source, false);
      return;
    }
    if (this.#strikes(this.rates.tornWrite, "torn_write")) {
      for (let at = 0; at < source.byteLength; at += block) {
        if (!this.#prng.chance(1, 2)) continue;
        this.#apply(offset + at, source.subarray(at, at + block), false);
      }
      return;
    }
    this.#apply(offset, source, this.#strikes(this.rates.lateWrite, "late_write"));
  }
  #apply(offset: number, source: Uint8Array, late: boolean): void {
    this.#current.set(source, offset);
    this.#pending.push({ offset, size: source.byteLength, late });
  }
  /** @throws {SimDiskError} */
  sync(): void {
    this.#check();
    this.syncs += 1;
    if (this.#strikes(this.rates.syncError, "sync_error")) {
      this.#settleSome();
      this.#dropped.push(...this.#pending);
      this.#pending = [];
      throw new SimDiskError("sync_error");
    }
    if (this.#strikes(this.rates.lyingSync, "lying_sync")) return;
    const later: PendingWrite[] = [];
    for (const write of this.#pending) {
      if (write.late) {
        write.late = false;
        later.push(write);
      } else this.#settle(write.offset, write.size);
    }
    this.#pending = later;
  }
  /** Some of it is zeros at once, the rest never. @throws {SimDiskError} */
  discard(offset: number, size: number): void {
    this.#check();
    assert(offset % block === 0 && size % block === 0, "whole blocks are discarded");
    for (let at = offset; at < offset + size; at += block) {
      if (!this.#prng.chance(9, 10)) continue;
      this.#durable.fill(0, at, at + block);
      this.#current.fill(0, at, at + block);
    }
  }
  #settle(offset: number, size: number): void {
    this.#durable.set(this.#current.subarray(offset, offset + size), offset);
  }
  /** Power cut: of each unsynced write some blocks are kept. */
  crash(): void {
    this.#settleSome();
    this.#clean();
    this.#current.set(this.#durable);
  }
  #settleSome(): void {
    for (const write of this.#pending) {
      for (let at = 0; at < write.size; at += block) {
        if (this.#prng.chance(1, 2))
          this.#settle(write.offset + at, Math.min(block, write.size - at));
      }
    }
  }
  #clean(): void {
    this.#pending = [];
    this.#dropped = [];
  }
  /** Reads show what is on the disk from now on, and what is still to be written. */
  forgetCache(): void {
    const isPending = (at: number): boolean =>
      this.#pending.some(({ offset, size }) => offset <= at && at < offset + size);
    for (const { offset, size } of this.#dropped) {
      for (let at = offset; at < offset + size; at += block) {
        const end = Math.min(at + block, offset + size);
        if (!isPending(at)) this.#current.set(this.#durable.subarray(at, end), at);
      }
    }
    this.#dropped = [];
  }
  /** Flips one bit, in `[start, end)`. */
  rot(start = 0, end = this.size): void {
    const at = start + this.#prng.below(end - start);
    const bit = 1 << this.#prng.below(8);
    this.#durable[at]! ^= bit;
    this.#current[at]! ^= bit;
    this.struck.bit_rot += 1;
  }
  zero(): void {
    this.#durable.fill(0);
    this.#current.fill(0);
    this.#clean();
    this.struck.zeroed += 1;
  }
  /** What lies on it now, unsynced writes included. */
  copy(): Uint8Array {
    return this.#current.slice();
  }
  /** Puts an old `copy` of `[offset, offset + content.byteLength)` back. */
  restore(content: Uint8Array, offset = 0): void {
    this.#durable.set(content, offset);
    this.#current.set(content, offset);
    this.#clean();
    this.struck.old_content += 1;
  }
  /** A borrowed look at the bytes, for checkers. */
  get content(): Uint8Array {
    return this.#current;
  }
}
