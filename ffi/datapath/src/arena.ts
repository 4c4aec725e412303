import { type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { assert, GiB } from "@kiseki/base";
import type { Arena, ArenaLease, ArenaRange } from "@kiseki/ports";
import { DatapathError } from "@kiseki/ports";
import type { Native } from "./symbols.ts";

/** As in `native/arena.c`: no loan crosses a border of windows. */
const windowSize = 1 * GiB;

interface Borrower {
  readonly size: number;
  readonly settle: (lease: ArenaLease) => void;
}

/**
 * Loans of the native arena. Threads share it; those of one thread wait in the order they asked, and
 * while one waits `lend` refuses, so that no small loan starves a large one.
 */
export class NativeArena implements Arena {
  readonly sizeTotal: number;
  readonly #native: Native;
  readonly #datapath: Pointer;
  readonly #windows: ArrayBuffer[] = [];
  readonly #borrowers: Borrower[] = [];
  #context: Pointer | undefined;

  constructor(native: Native, datapath: Pointer) {
    this.#native = native;
    this.#datapath = datapath;
    this.sizeTotal = native.kiseki_datapath_arena_size(datapath);
    const base = native.kiseki_datapath_arena(datapath) as Pointer;
    for (let at = 0; at < this.sizeTotal; at += windowSize)
      this.#windows.push(toArrayBuffer(base, at, Math.min(windowSize, this.sizeTotal - at)));
  }
  /** The thread whose callback says that room came back; `undefined` once it is gone. */
  set context(context: Pointer | undefined) {
    this.#context = context;
  }
  get isOpen(): boolean {
    return this.#context !== undefined;
  }
  get sizeLent(): number {
    return !this.isOpen ? 0 : this.#native.kiseki_datapath_lent(this.#datapath);
  }
  #checkSize(size: number): void {
    const sizeMax = Math.min(windowSize, this.sizeTotal);
    if (Number.isSafeInteger(size) && size >= 1 && size <= sizeMax) return;
    throw new DatapathError("bad_argument", 0, `Cannot lend ${size} bytes: from 1 to ${sizeMax}`);
  }
  #take(size: number): ArenaLease | undefined {
    if (this.#context === undefined)
      throw new DatapathError("closed", 0, "Cannot lend from the arena: the datapath is closed");
    const offset = this.#native.kiseki_datapath_lend(this.#datapath, size);
    if (offset < 0) return undefined;
    const window = this.#windows[Math.floor(offset / windowSize)]!;
    return new NativeLease(this, offset, new Uint8Array(window, offset % windowSize, size));
  }
  lend(size: number): ArenaLease | undefined {
    this.#checkSize(size);
    return this.#borrowers.length > 0 ? undefined : this.#take(size);
  }
  async borrow(size: number, signal: AbortSignal): Promise<ArenaLease> {
    this.#checkSize(size);
    signal.throwIfAborted();
    const lease = this.lend(size);
    if (lease) return lease;
    return await new Promise<ArenaLease>((resolve, reject) => {
      const borrower: Borrower = {
        size,
        settle: (found) => {
          signal.removeEventListener("abort", leave);
          resolve(found);
        },
      };
      const leave = () => {
        this.#borrowers.splice(this.#borrowers.indexOf(borrower), 1);
        reject(signal.reason);
        this.serve(); // those behind may fit where this one did not
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#borrowers.push(borrower);
      this.serve(); // another thread may have given back before C knew that one waits here
    });
  }
  /** Lends to those who wait, first come first served. */
  serve(): void {
    if (this.#context === undefined) return;
    if (this.#borrowers.length > 0) this.#native.kiseki_datapath_starve(this.#context, 1);
    for (;;) {
      const first = this.#borrowers[0];
      const lease = first && this.#take(first.size);
      if (!first || !lease) break;
      this.#borrowers.shift();
      first.settle(lease);
    }
    if (this.#borrowers.length === 0) this.#native.kiseki_datapath_starve(this.#context, 0);
  }
  giveBack(offset: number): void {
    if (this.#context === undefined) return; // the whole arena is gone
    const result = this.#native.kiseki_datapath_give_back(this.#context, offset);
    assert(result === 0, "what comes back was lent");
    if (this.#borrowers.length > 0) this.serve();
  }
}

class NativeLease implements ArenaLease {
  readonly offset: number;
  readonly #arena: NativeArena;
  #bytes: Uint8Array | undefined;
  constructor(arena: NativeArena, offset: number, bytes: Uint8Array) {
    this.#arena = arena;
    this.offset = offset;
    this.#bytes = bytes;
  }
  get bytes(): Uint8Array {
    assert(this.#bytes !== undefined, "the lease is still held");
    assert(this.#arena.isOpen, "the arena is still there");
    return this.#bytes;
  }
  isOf(arena: NativeArena): boolean {
    return this.#arena === arena;
  }
  [Symbol.dispose](): void {
    if (this.#bytes === undefined) return;
    this.#bytes = undefined;
    this.#arena.giveBack(this.offset);
  }
}

/** Smaller arrays may lie where the engine moves them. */
const outsideSizeMin = 64 * 1024;
/** Where memory of the caller's own is. @throws {DatapathError} `bad_argument` when it may not stay there. */
export function addressOutside(target: Uint8Array): number {
  const size = target.byteLength;
  const { buffer } = target;
  const stays = buffer instanceof ArrayBuffer && !buffer.resizable;
  if (size < outsideSizeMin || !stays)
    throw new DatapathError("bad_argument", 0, `Cannot use ${size} bytes outside the arena`);
  return ptr(target);
}

/** Offset in the arena of a range. @throws {DatapathError} `bad_argument` when it is not one of this arena. */
export function addressOf(arena: NativeArena, range: ArenaRange): number {
  const { lease, offset, size } = range;
  assert(lease instanceof NativeLease && lease.isOf(arena), "a lease belongs to its datapath");
  const whole = lease.bytes.byteLength;
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(size) && offset >= 0 && size >= 0) {
    if (size <= whole && offset <= whole - size) return lease.offset + offset;
  }
  throw new DatapathError(
    "bad_argument",
    0,
    `Cannot use bytes ${offset} and ${size} on of a lease: it has ${whole}`,
  );
}
