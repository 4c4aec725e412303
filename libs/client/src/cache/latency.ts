const bucketCount = 32;

/** How long something took each time, in powers of two of a microsecond. */
export class Latency {
  readonly #counts: number[] = Array.from({ length: bucketCount }, () => 0);
  #count = 0;

  get count(): number {
    return this.#count;
  }
  record(milliseconds: number): void {
    const bucket = Math.min(bucketCount - 1, 32 - Math.clz32(Math.max(0, milliseconds * 1000)));
    this.#counts[bucket]! += 1;
    this.#count += 1;
  }
  /** Microseconds within which `share` of them ended, rounded up to a power of two; 0 where there was none. */
  within(share: number): number {
    let left = Math.ceil(this.#count * share);
    if (left === 0) return 0;
    const bucket = this.#counts.findIndex((count) => (left -= count) <= 0);
    return 2 ** bucket;
  }
}

/** Of whole files or blocks of the cache on disk. */
export interface CacheLatencies {
  readonly read: Latency;
  readonly write: Latency;
}
