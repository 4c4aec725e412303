import type { Millis } from "@kiseki/base";

/** What one access key may do; 0: no limit. */
export interface KeyLimits {
  readonly requestsPerSecond: number;
  /** Requests that may come at once after a pause; 0: as many as in one second. */
  readonly burst: number;
  /** Of bodies in both directions. */
  readonly bytesPerSecond: number;
  /** Requests under way, which is connections in use. */
  readonly requestsAtOnce: number;
}

type LimitReason = "requests" | "bytes" | "at_once";

/** A key is over a limit: S3 answers `SlowDown`, and when it is worth to come again. */
export class LimitError extends Error {
  override readonly name = "LimitError";
  readonly reason: LimitReason;
  readonly retrySeconds: number;
  constructor(reason: LimitReason, retrySeconds: number) {
    super(`Over the limit of ${reason}`);
    this.reason = reason;
    this.retrySeconds = retrySeconds;
  }
}

/** A request that was let in. */
export interface Admission {
  /** Exactly once, when its answer is sent or given up. */
  end(sizeSent: number): void;
}

interface Account {
  readonly at: Millis;
  readonly requests: number;
  /** Below zero: what was sent beyond the rate, to be waited for. */
  readonly bytes: number;
}
interface Counter {
  account: Account | undefined;
  atOnce: number;
}

const retrySecondsMax = 60;
const secondsUntil = (missing: number, rate: number): number =>
  Math.min(retrySecondsMax, Math.max(1, Math.ceil(missing / rate)));

/** What the account holds at `now`: both fill at their rate up to a burst. */
function refilled(account: Account | undefined, limits: KeyLimits, now: Millis): Account {
  const requestsMax = limits.burst > 0 ? limits.burst : Math.max(1, limits.requestsPerSecond);
  if (account === undefined)
    return { at: now, requests: requestsMax, bytes: limits.bytesPerSecond };
  const seconds = Math.max(0, now - account.at) / 1000;
  return {
    at: now,
    requests: Math.min(requestsMax, account.requests + seconds * limits.requestsPerSecond),
    bytes: Math.min(limits.bytesPerSecond, account.bytes + seconds * limits.bytesPerSecond),
  };
}

const keysMax = 10_000;

/** Counts per access key, for at most 10,000 keys: those that were seen last. */
export class KeyLimiter {
  readonly #now: () => Millis;
  readonly #counters = new Map<string, Counter>();

  constructor(now: () => Millis) {
    this.#now = now;
  }

  /** `sizeComing`: of the request's body. @throws {LimitError} */
  admit(id: string, limits: KeyLimits, sizeComing: number): Admission | undefined {
    const { requestsPerSecond, bytesPerSecond, requestsAtOnce } = limits;
    if (requestsPerSecond + bytesPerSecond + requestsAtOnce === 0) return undefined;
    const counter = this.#counterOf(id);
    const account = refilled(counter.account, limits, this.#now());
    if (requestsAtOnce > 0 && counter.atOnce >= requestsAtOnce) throw new LimitError("at_once", 1);
    if (requestsPerSecond > 0 && account.requests < 1) {
      throw new LimitError("requests", secondsUntil(1 - account.requests, requestsPerSecond));
    }
    if (bytesPerSecond > 0 && account.bytes <= 0) {
      throw new LimitError("bytes", secondsUntil(1 - account.bytes, bytesPerSecond));
    }
    const requests = account.requests - (requestsPerSecond > 0 ? 1 : 0);
    counter.account = { ...account, requests, bytes: account.bytes - sizeComing };
    counter.atOnce += 1;
    return {
      end: (sizeSent) => {
        counter.atOnce -= 1;
        const { account: now } = counter;
        if (now !== undefined) counter.account = { ...now, bytes: now.bytes - sizeSent };
      },
    };
  }

  #counterOf(id: string): Counter {
    const known = this.#counters.get(id);
    const counter = known ?? { account: undefined, atOnce: 0 };
    if (known) this.#counters.delete(id);
    this.#counters.set(id, counter); // the last one seen stands last
    if (this.#counters.size > keysMax) this.#counters.delete(this.#counters.keys().next().value!);
    return counter;
  }
}
