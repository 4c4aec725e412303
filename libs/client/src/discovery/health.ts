const failuresMax = 5;
const failureWindowMs = 30_000;
const probeEveryMs = 10_000;

/**
 * Whether an address is worth an attempt (spec §7.3): five failures within thirty seconds make it unhealthy; then one
 * attempt in ten seconds finds out whether it is back. Times are of the monotonic clock.
 */
export class Health {
  #failures: number[] = [];
  #probedAt = -Infinity;

  succeeded(): void {
    this.#failures = [];
  }
  failed(now: number): void {
    const recent = this.#failures.filter((at) => now - at < failureWindowMs);
    this.#failures = [...recent, now].slice(-failuresMax);
    this.#probedAt = now;
  }
  /** An unhealthy address stays so until an attempt succeeds. */
  isHealthy(): boolean {
    return this.#failures.length < failuresMax;
  }
  mayTry(now: number): boolean {
    return this.isHealthy() || now - this.#probedAt >= probeEveryMs;
  }
}
