/** What the metrics did of late, for the status page: counters are kept every few seconds and compared. */

type Values = ReadonlyMap<string, number>;

export interface MethodRate {
  readonly method: string;
  /** Answers a second over the window. */
  readonly rate: number;
  /** Upper bound in seconds of the bucket that holds the median, and the 99th of a hundred; `undefined` without answers. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
}

export interface Recent {
  /** Seconds that the figures cover; 0 before there are two samples. */
  readonly seconds: number;
  readonly methods: readonly MethodRate[];
  /** Plaintext bytes a second. */
  readonly written: number;
  readonly read: number;
  /** Answers with status 500 and above, a second. */
  readonly failures: number;
  /** Answers a second between neighbouring samples, oldest first. */
  readonly series: readonly number[];
}

interface Sample {
  /** Seconds of a clock that never steps. */
  readonly at: number;
  readonly values: Values;
}

const duration = "kiseki_gateway_request_duration_seconds";
const requests = "kiseki_gateway_requests_total";

/** Sum over all label sets of `name` that `wanted` takes. */
function sum(
  values: Values,
  name: string,
  wanted: (labels: string) => boolean = () => true,
): number {
  let total = 0;
  for (const [key, value] of values)
    if (key.startsWith(`${name}{`) && wanted(key.slice(name.length))) total += value;
  return total + (values.get(name) ?? 0);
}

/** Bound of the bucket within which the share `part` of the answers between two samples lies. */
function quantile(from: Values, to: Values, method: string, part: number): number | undefined {
  const buckets: [bound: number, count: number][] = [];
  for (const [key, value] of to) {
    if (!key.startsWith(`${duration}_bucket{`) || !key.includes(`method=${method}`)) continue;
    const bound = /le=([^,}]+)/.exec(key)?.[1];
    if (bound === undefined) continue;
    const count = value - (from.get(key) ?? 0);
    buckets.push([bound === "+Inf" ? Number.POSITIVE_INFINITY : Number(bound), count]);
  }
  buckets.sort(([a], [b]) => a - b);
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total === 0) return undefined;
  return buckets.find(([, count]) => count >= total * part)?.[0];
}

/** Samples of the last `countMax` intervals; the figures cover the newest `windowCount` of them. */
export class RecentRates {
  readonly #samples: Sample[] = [];
  readonly #countMax: number;
  readonly #windowCount: number;

  constructor(countMax = 60, windowCount = 12) {
    this.#countMax = countMax;
    this.#windowCount = windowCount;
  }

  add(at: number, values: Values): void {
    this.#samples.push({ at, values });
    if (this.#samples.length > this.#countMax + 1) this.#samples.shift();
  }

  read(): Recent {
    const last = this.#samples.at(-1);
    const first = this.#samples.at(-1 - this.#windowCount) ?? this.#samples[0];
    if (last === undefined || first === undefined || last.at <= first.at)
      return { seconds: 0, methods: [], written: 0, read: 0, failures: 0, series: [] };
    const seconds = last.at - first.at;
    const change = (name: string, wanted?: (labels: string) => boolean): number =>
      (sum(last.values, name, wanted) - sum(first.values, name, wanted)) / seconds;
    const methods = ["GET", "HEAD", "PUT", "POST", "DELETE"].map((method) => ({
      method,
      rate: change(`${duration}_count`, (labels) => labels === `{method=${method}}`),
      p50: quantile(first.values, last.values, method, 0.5),
      p99: quantile(first.values, last.values, method, 0.99),
    }));
    return {
      seconds,
      methods: methods.filter(({ rate }) => rate > 0),
      written: change("kiseki_chunk_write_bytes_total"),
      read: change("kiseki_chunk_read_bytes_total"),
      failures: change(requests, (labels) => /status=5/.test(labels)),
      series: this.#samples.slice(1).map(({ at, values }, index) => {
        const before = this.#samples[index]!;
        return (sum(values, requests) - sum(before.values, requests)) / (at - before.at);
      }),
    };
  }
}
