import type { MetricName } from "./metric-table.ts";

/** Counts and durations, by the names of the metric table; labels come from closed sets, never from users. */
export interface Metrics {
  add(name: MetricName, amount: number, labels?: Readonly<Record<string, string>>): void;
  set(name: MetricName, value: number, labels?: Readonly<Record<string, string>>): void;
  /** One observation of a histogram; durations in seconds. */
  observe(name: MetricName, value: number, labels?: Readonly<Record<string, string>>): void;
}
