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

  /** Disposing gives back. `size` is at most the total. */
  async take(size: number): Promise<Disposable> {
    assert(size <= this.#total, "one transfer fits");
    if (this.#waiting.length > 0 || this.#free < size) {
      await new Promise<void>((resolve) => this.#waiting.push({ size, grant: resolve }));
    } else this.#free -= size;
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
