import type { Millis } from "@kiseki/base";

/**
 * Tells a slow peer from a slow handler: only time spent waiting for the peer counts. Each
 * `window` of such time must have moved `rateMin` bytes per second.
 */
export class TransferMeter {
  readonly #sizeMin: number;
  readonly #window: Millis;
  #waited = 0;
  #waitStart: number | undefined;
  #moved = 0;

  constructor(window: Millis, rateMin: number) {
    this.#window = window;
    this.#sizeMin = (rateMin * window) / 1000;
  }

  reset(): void {
    this.#waited = 0;
    this.#moved = 0;
    this.#waitStart = undefined;
  }
  waitBegan(now: Millis): void {
    this.#waitStart ??= now;
  }
  moved(size: number, now: Millis): void {
    this.#moved += size;
    if (this.#waitStart === undefined) return;
    this.#waited += now - this.#waitStart;
    this.#waitStart = undefined;
  }
  /** True when a window passed and too little moved in it. */
  isTooSlow(now: Millis): boolean {
    const waiting = this.#waitStart === undefined ? 0 : now - this.#waitStart;
    if (this.#waited + waiting < this.#window) return false;
    if (this.#moved < this.#sizeMin) return true;
    this.#waited = 0;
    this.#moved = 0;
    if (this.#waitStart !== undefined) this.#waitStart = now;
    return false;
  }
}
