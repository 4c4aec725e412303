import { assert } from "@kiseki/base";
import type { Arena, ArenaLease } from "@kiseki/ports";

interface Waiter {
  readonly size: number;
  readonly resolve: (lease: ArenaLease) => void;
}

/** An arena of plain buffers with the native one's accounting. New leases hold garbage on purpose. */
export class SimArena implements Arena {
  readonly sizeTotal: number;
  sizeLent = 0;
  readonly #waiting: Waiter[] = [];
  constructor(sizeTotal: number) {
    this.sizeTotal = sizeTotal;
  }
  lend(size: number): ArenaLease | undefined {
    return this.#waiting.length > 0 ? undefined : this.#take(size);
  }
  #take(size: number): ArenaLease | undefined {
    assert(Number.isInteger(size) && size > 0, "a lease has a size");
    const taken = Math.ceil(size / 4096) * 4096;
    if (this.sizeLent + taken > this.sizeTotal) return undefined;
    this.sizeLent += taken;
    let buffer: Uint8Array | undefined = new Uint8Array(new ArrayBuffer(taken)).fill(0xa5);
    const view = buffer.subarray(0, size);
    return {
      get bytes(): Uint8Array {
        assert(buffer !== undefined, "the lease is still held");
        return view;
      },
      [Symbol.dispose]: () => {
        if (buffer === undefined) return;
        buffer.fill(0x5a); // whoever still looks sees nonsense
        buffer = undefined;
        this.sizeLent -= taken;
        this.#serve();
      },
    };
  }
  #serve(): void {
    while (this.#waiting.length > 0) {
      const lease = this.#take(this.#waiting[0]!.size);
      if (lease === undefined) return;
      this.#waiting.shift()!.resolve(lease);
    }
  }
  async borrow(size: number, signal: AbortSignal): Promise<ArenaLease> {
    signal.throwIfAborted();
    const lease = this.lend(size);
    if (lease !== undefined) return lease;
    return await new Promise<ArenaLease>((resolve, reject) => {
      const waiter: Waiter = { size, resolve };
      this.#waiting.push(waiter);
      signal.addEventListener("abort", () => {
        const at = this.#waiting.indexOf(waiter);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        reject(signal.reason as Error);
        this.#serve();
      });
    });
  }
}
