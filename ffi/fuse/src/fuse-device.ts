import { JSCallback, type Pointer, toArrayBuffer } from "bun:ffi";
import { assert } from "@kiseki/base";
import { loadNative, type Native } from "./symbols.ts";

export interface DeviceOptions {
  /** Where `libkiseki-fuse` is. */
  readonly nativeDirectory: string;
  /** Requests that lie here at once: those being written or read into. Up to 256. */
  readonly slotCount: number;
  /** Of one request: the payload and a page of heads; whole pages. */
  readonly slotSize: number;
  /** Threads that read requests. */
  readonly readerCount: number;
}

/** One request in memory of the device, until it is released. */
export interface Slot {
  readonly number: number;
  /** Descriptor that the answer goes to. */
  readonly reader: number;
  /** All that one read brought. */
  readonly bytes: Uint8Array;
}

/** A handle that the device gave out by itself for a node that was vouched for. */
export interface QuickHandle {
  readonly number: number;
  readonly node: number;
  /** Of its open. */
  readonly flags: number;
}

/** Bytes of a node's file that lie in a file of this machine. */
export interface LentBlock {
  /** Of the file of this machine, which the device closes. */
  readonly descriptor: number;
  readonly node: number;
  /** Content that the node's file has while it has these bytes. */
  readonly version: bigint;
  /** Where they begin in the node's file. */
  readonly start: number;
  readonly length: number;
  /** Where they begin in the block, and the block's size; its checksums follow it. */
  readonly position: number;
  readonly blockSize: number;
  /** CRC-32C that the checksum of each segment goes on from. */
  readonly seed: number;
  /** The node's file ends with them. */
  readonly isEnd: boolean;
}

/** As in `native/fuse.h`. */
const slotsMax = 256;
const lentMax = 16_384;
/** Handles from here on the device gave out by itself. */
const quickBase = 2 ** 48;
/** Of them taken over by one call. */
const takenMax = 256;
/** How often memory of a burst is given back, where there was one; the timer keeps Bun's event loop alive, too. */
const trimMillis = 10_000;

/**
 * A mounted FUSE device. Threads of C read requests into slots; `onRequest` gets each, in this thread, in the order
 * in which they came. `onEnd` comes once, when the kernel sends no more: 19 (ENODEV) after an unmount.
 */
export class FuseDevice {
  readonly slotSize: number;
  readonly #native: Native;
  readonly #device: Pointer;
  readonly #callback: JSCallback;
  readonly #ring: Uint32Array;
  readonly #sizes: Uint32Array;
  readonly #readers: Uint32Array;
  readonly #isOpening: Uint32Array;
  readonly #lentReads: Uint32Array;
  /** Not 0: bytes of the slot's block were read since it was cleared. */
  readonly #lentUses: Uint8Array;
  readonly #taken = new Float64Array(3 * takenMax);
  readonly #slots: Uint8Array[] = [];
  readonly #keepAlive = setInterval(() => this.#trim(), trimMillis);
  #ringHead = 0;
  #handled = 0;
  #isClosed = false;
  #hasEnded = false;
  #onRequest: ((slot: Slot) => void) | undefined;
  #onEnd: ((errno: number) => void) | undefined;
  #onOpening: (() => void) | undefined;

  /** Takes `descriptor` over. */
  constructor(descriptor: number, options: DeviceOptions) {
    const { slotCount, slotSize, readerCount } = options;
    this.#native = loadNative(options.nativeDirectory);
    this.slotSize = slotSize;
    this.#callback = new JSCallback(() => this.#drain(), {
      args: [],
      returns: "void",
      threadsafe: true,
    });
    const started = this.#native.kiseki_fuse_start(
      descriptor,
      slotCount,
      slotSize,
      readerCount,
      this.#callback,
    );
    assert(started !== null, "the device starts with these sizes");
    this.#device = started as Pointer;
    const controlSize = this.#native.kiseki_fuse_control_size();
    const base = this.#native.kiseki_fuse_memory(this.#device) as Pointer;
    const memory = toArrayBuffer(base, 0, controlSize + slotCount * slotSize);
    [this.#ring, this.#sizes, this.#readers] = [0, 1, 2].map(
      (index) => new Uint32Array(memory, index * slotsMax * 4, slotsMax),
    ) as [Uint32Array, Uint32Array, Uint32Array];
    this.#isOpening = new Uint32Array(memory, 3 * slotsMax * 4, 1);
    this.#lentReads = new Uint32Array(memory, 3 * slotsMax * 4 + 4, 1);
    this.#lentUses = new Uint8Array(memory, 3 * slotsMax * 4 + 8, lentMax);
    for (let number = 0; number < slotCount; number++)
      this.#slots.push(new Uint8Array(memory, controlSize + number * slotSize, slotSize));
  }
  /**
   * Requests that came before are delivered now. `onOpening`: there are handles that the device gave out by itself; again at the
   * first one after `takeAll`.
   */
  serve(
    onRequest: (slot: Slot) => void,
    onEnd: (errno: number) => void,
    onOpening: () => void,
  ): void {
    this.#onRequest = onRequest;
    this.#onEnd = onEnd;
    this.#onOpening = onOpening;
    this.#drain();
  }
  #drain(): void {
    if (this.#isClosed || this.#onRequest === undefined) return;
    const tail = this.#native.kiseki_fuse_drain(this.#device);
    while (this.#ringHead !== tail) {
      const number = this.#ring[this.#ringHead % slotsMax]!;
      this.#ringHead = (this.#ringHead + 1) >>> 0;
      this.#handled += 1;
      const bytes = this.#slots[number]!.subarray(0, this.#sizes[number]);
      this.#onRequest({ number, reader: this.#readers[number]!, bytes });
      if (this.#isClosed) return;
    }
    if (this.#isOpening[0] !== 0) {
      this.#isOpening[0] = 0;
      this.#onOpening?.();
    }
    const errno = this.#native.kiseki_fuse_ended(this.#device);
    if (errno === 0 || this.#hasEnded) return;
    this.#hasEnded = true;
    this.#onEnd?.(errno);
  }
  #trim(): void {
    if (this.#handled > 0) this.#native.kiseki_fuse_trim(this.#device);
    this.#handled = 0;
  }
  /** All of the slot's memory, from its start on: the request lies there until it is overwritten. */
  memoryOf(slot: Slot): Uint8Array {
    return this.#slots[slot.number]!;
  }
  release(slot: Slot): void {
    if (this.#isClosed) return;
    const result = this.#native.kiseki_fuse_release(this.#device, slot.number);
    assert(result === 0, "a slot is released once");
  }
  /** Sends an answer; 0, or what the kernel refused it with, as a negative errno. */
  reply(reader: number, head: Uint8Array, data?: Uint8Array): number {
    if (this.#isClosed) return 0;
    const size = data?.byteLength ?? 0;
    return this.#native.kiseki_fuse_reply(
      this.#device,
      reader,
      head,
      head.byteLength,
      size === 0 ? null : data!,
      size,
    );
  }
  /** The same with the first `size` bytes of the slot's memory as data. */
  replySlot(slot: Slot, head: Uint8Array, size: number): number {
    if (this.#isClosed) return 0;
    return this.#native.kiseki_fuse_reply_slot(
      this.#device,
      slot.reader,
      head,
      head.byteLength,
      slot.number,
      size,
    );
  }
  /**
   * Tells the kernel something by a thread of its own, in order: a notification, or an answer to `reader` that comes after those
   * before it. False: too much waits there; try again.
   */
  notify(notification: Uint8Array, reader = 0): boolean {
    if (this.#isClosed) return true;
    const result = this.#native.kiseki_fuse_notify(
      this.#device,
      reader,
      notification,
      notification.byteLength,
    );
    return result === 0;
  }
  /** `isQuiet`: closing the handle stores nothing and ends no locks, so that FLUSH of it is answered without this thread. */
  setQuiet(handle: number, isQuiet: boolean): void {
    if (!this.#isClosed) this.#native.kiseki_fuse_quiet(this.#device, handle, isQuiet ? 1 : 0);
  }
  /** For so long opens of the node for reading are answered without this thread, with the kernel's pages kept. */
  vouch(node: number, milliseconds: number): void {
    if (!this.#isClosed) this.#native.kiseki_fuse_vouch(this.#device, node, milliseconds);
  }
  /** No longer, as soon as this returns. */
  withdraw(node: number): void {
    if (!this.#isClosed) this.#native.kiseki_fuse_withdraw(this.#device, node);
  }
  isQuick(handle: number): boolean {
    return handle >= quickBase;
  }
  /** Takes over a handle that the device gave out: from now on its requests come here. `undefined`: it was taken before. */
  take(handle: number): QuickHandle | undefined {
    if (this.#isClosed) return undefined;
    const isThere = this.#native.kiseki_fuse_take(this.#device, handle, this.#taken) !== 0;
    return isThere ? this.#takenAt(0) : undefined;
  }
  /** All that are open. */
  takeAll(): QuickHandle[] {
    const taken: QuickHandle[] = [];
    while (!this.#isClosed) {
      const count = this.#native.kiseki_fuse_take_all(this.#device, this.#taken, takenMax);
      for (let index = 0; index < count; index++) taken.push(this.#takenAt(index));
      if (count < takenMax) break;
    }
    return taken;
  }
  #takenAt(index: number): QuickHandle {
    const [number, node, flags] = this.#taken.subarray(3 * index);
    return { number: number!, node: node!, flags: flags! };
  }
  /** A number by which the kernel knows the file behind `descriptor`, to read it by itself; or a negative errno. */
  openBacking(descriptor: number): number {
    return this.#isClosed ? -1 : this.#native.kiseki_fuse_backing_open(this.#device, descriptor);
  }
  closeBacking(id: number): void {
    if (!this.#isClosed) this.#native.kiseki_fuse_backing_close(this.#device, id);
  }
  /** Slots that blocks may be lent in. */
  get lentMax(): number {
    return this.#isClosed ? 0 : this.#native.kiseki_fuse_lent_max(this.#device);
  }
  /** Reads that were answered out of lent blocks without this thread, ever; it starts again at 2^32. */
  get lentReads(): number {
    return this.#isClosed ? 0 : this.#lentReads[0]!;
  }
  /**
   * Reads of the node, while it is vouched for with this version, are answered out of the block without this thread. False: it is not
   * lent, and the descriptor stays the caller's. What the slot had is taken back.
   */
  lend(slot: number, block: LentBlock): boolean {
    if (this.#isClosed) return false;
    const { descriptor, node, version, start, position, length, blockSize, seed, isEnd } = block;
    const result = this.#native.kiseki_fuse_lend(
      this.#device,
      slot,
      ...([descriptor, node, version, start] as const),
      ...([position, length, blockSize, seed, isEnd ? 1 : 0] as const),
    );
    return result === 0;
  }
  /** Nothing is read out of the slot's block any more once this returns. */
  takeBack(slot: number): void {
    if (!this.#isClosed) this.#native.kiseki_fuse_take_back(this.#device, slot);
  }
  /** The first slot from `from` on whose block was read since this was told of it; -1: there is none. */
  takeLentUse(from: number): number {
    if (this.#isClosed) return -1;
    const slot = this.#lentUses.indexOf(1, from);
    if (slot >= 0) this.#lentUses[slot] = 0;
    return slot;
  }
  /** For so long the node's file has the content of this version. */
  vouchReads(node: number, version: bigint, milliseconds: number): void {
    if (!this.#isClosed)
      this.#native.kiseki_fuse_vouch_reads(this.#device, node, version, milliseconds);
  }
  /** No read of the node is answered without this thread any more once this returns. */
  withdrawReads(node: number): void {
    if (!this.#isClosed) this.#native.kiseki_fuse_withdraw_reads(this.#device, node);
  }
  /** Notifications that the kernel refused, ever. */
  get notificationsFailed(): number {
    return this.#isClosed ? 0 : this.#native.kiseki_fuse_notices_failed(this.#device);
  }
  /** Ends the threads and closes the device; requests without an answer fail (ENOTCONN). */
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#keepAlive);
    this.#native.kiseki_fuse_stop(this.#device);
    this.#callback.close();
  }
}
