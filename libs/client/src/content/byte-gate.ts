import { assert } from "@kiseki/base";

interface Waiting {
  readonly size: number;
  readonly grant: () => void;
}

/**
 * Bytes that transfers may hold at once, first come first served. Each takes room for all of its buffers before it lends the
 * first: none waits for memory that others hold while they wait.
 */
export class ByteGate {
  readonly #total: number;
  readonly #waiting: Waiting[] = [];
  #free: number;

  constructor(total: number) {
    assert(total > 0, "a gate lets something through");
    this.#total = total;
    this.#free = total;
  }

  /** Disposing gives back. `size` is at most the total. `undefined`: there was no room for so long. */
  async take(size: number, waitMs: number): Promise<Disposable | undefined> {
    assert(size <= this.#total, "one transfer fits");
    const share = this.takeNow(size);
    if (share !== undefined) return share;
    return (await this.#turn(size, waitMs)) ? this.#share(size) : undefined;
  }
  /** `undefined`: there is no room now, or others wait for it. For who holds a share already, and so may not wait for another. */
  takeNow(size: number): Disposable | undefined {
    if (this.#waiting.length > 0 || this.#free < size) return undefined;
    this.#free -= size;
    return this.#share(size);
  }
  #share(size: number): Disposable {
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#free += size;
        this.#serve();
      },
    };
  }
  #turn(size: number, waitMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiting = { size, grant: () => resolve(true) };
    const leave = () => {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      resolve(false);
      this.#serve(); // those behind may fit where this one did not
    };
    const timer = setTimeout(leave, Math.max(0, waitMs));
    this.#waiting.push(waiting);
    return promise.finally(() => clearTimeout(timer));
  }
  #serve(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || first.size > this.#free) return;
      this.#waiting.shift();
      this.#free -= first.size;
      first.grant();
    }
  }
}
