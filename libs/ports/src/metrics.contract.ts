import { expect, test } from "bun:test";
import type { MetricName } from "./metric-table.ts";
import type { Metrics } from "./metrics.ts";

/** Metrics under test, and a way to look at what was counted. */
export interface MetricsPlace {
  readonly metrics: Metrics;
  /** Value of a counter or gauge, or number of observations of a histogram; 0 when there is none. */
  read(name: MetricName, labels?: Readonly<Record<string, string>>): Promise<number>;
}

const counter = "kiseki_chunk_write_bytes_total" satisfies MetricName;
const histogram = "kiseki_shard_commit_seconds" satisfies MetricName;
const gauge = "kiseki_pool_capacity_used_bytes" satisfies MetricName;

/** What every `Metrics` promises. */
export function metricsContract(name: string, openPlace: () => MetricsPlace): void {
  test(`${name}: add() sums, set() replaces, observe() counts`, async () => {
    const { metrics, read } = openPlace();
    metrics.add(counter, 2);
    metrics.add(counter, 3);
    expect(await read(counter)).toBe(5);
    metrics.set(gauge, 7, { pool: "a" });
    metrics.set(gauge, 4, { pool: "a" });
    metrics.set(gauge, 9, { pool: "b" });
    expect(await read(gauge, { pool: "a" })).toBe(4);
    expect(await read(gauge, { pool: "b" })).toBe(9);
    metrics.observe(histogram, 0.25);
    metrics.observe(histogram, 0.5);
    expect(await read(histogram)).toBe(2);
  });
  test(`${name}: a name that is in no table, a wrong kind and a wrong label are bugs`, () => {
    const { metrics } = openPlace();
    expect(() => metrics.add("kiseki_no_such_thing" as MetricName, 1)).toThrow();
    expect(() => metrics.set(counter, 1)).toThrow();
    expect(() => metrics.add(histogram, 1)).toThrow();
    expect(() => metrics.add(counter, 1, { no_such_label: "a" })).toThrow();
  });
  test(`${name}: a counter never falls`, () => {
    const { metrics } = openPlace();
    expect(() => metrics.add(counter, -1)).toThrow();
  });
}
