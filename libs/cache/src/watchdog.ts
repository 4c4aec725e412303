/** What a client heard of its tenant's key. `refused`: a node lets it in no more; `unanswered`: nobody said anything. */
export type KeyAnswer = "healthy" | "destroyed" | "unreachable" | "refused" | "unanswered";

/** A cut connection looks like a refusal, once. */
const refusalsMax = 3;

/**
 * Says when a cache is to be wiped (spec §7.9): at once when the tenant's key is destroyed, and when nobody has said for
 * too long that it is healthy. Between a wipe and the next healthy answer nothing is trusted, so nothing is kept.
 */
export class CacheWatchdog {
  readonly #disconnectMs: number;
  #healthyAt: number;
  #refusals = 0;
  #isTrusting = true;

  constructor(disconnectMs: number, now: number) {
    this.#disconnectMs = disconnectMs;
    this.#healthyAt = now;
  }

  /** Whether the cache may take in content. */
  get isTrusting(): boolean {
    return this.#isTrusting;
  }
  /** When `note` has to be told something at the latest. */
  get dueAt(): number {
    return this.#isTrusting ? this.#healthyAt + this.#disconnectMs : Infinity;
  }

  /** `heard` at `now`. True: wipe. */
  note(heard: KeyAnswer, now: number): boolean {
    this.#refusals = heard === "refused" ? this.#refusals + 1 : 0;
    if (heard === "healthy") {
      this.#healthyAt = now;
      this.#isTrusting = true;
      return false;
    }
    const isOver = now >= this.#healthyAt + this.#disconnectMs;
    const isLost = heard === "destroyed" || this.#refusals >= refusalsMax || isOver;
    if (!isLost || !this.#isTrusting) return false;
    this.#isTrusting = false;
    return true;
  }
}
