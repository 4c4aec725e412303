import { assert } from "@kiseki/base";
import { type MetricName, type Metrics, metricTable } from "@kiseki/ports";
import { collectDefaultMetrics, Gauge, type Metric as AnyMetric, Registry } from "prom-client";
import { CounterTally, HistogramTally } from "./tallies.ts";

export interface MetricsRegistry extends Metrics {
  /** The Prometheus text format, version 0.0.4. */
  expose(): Promise<string>;
  /** One number per name and label set, for the status page. */
  read(): Promise<ReadonlyMap<string, number>>;
}

type Metric = CounterTally | Gauge | HistogramTally;

function makeMetric(registry: Registry, name: MetricName): Metric {
  const row = metricTable[name];
  const labelNames: readonly string[] = "labels" in row ? row.labels : [];
  const common = { name, help: row.help, labelNames };
  if (row.kind === "gauge") return new Gauge({ ...common, registers: [registry] });
  const bounds = "buckets" in row ? row.buckets : [];
  const tally =
    row.kind === "counter" ? new CounterTally(common) : new HistogramTally({ ...common, bounds });
  // The registry asks a metric for its name and its values, no more; the type wants all of a metric of its own.
  registry.registerMetric(tally as unknown as AnyMetric);
  return tally;
}

const none = {};

/** To look at the spaces of another engine's heap, ours stops for a tenth of a second and counts all that lives. */
const costly = ["total", "used", "available"].map((what) => `nodejs_heap_space_size_${what}_bytes`);

/** A registry of its own with every metric of the table, and the process's own. */
export function openMetrics(): MetricsRegistry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of costly) registry.removeSingleMetric(name);
  const metrics = new Map(
    (Object.keys(metricTable) as MetricName[]).map((name) => [name, makeMetric(registry, name)]),
  );
  const find = (name: MetricName): Metric => {
    const metric = metrics.get(name);
    assert(metric !== undefined, `${name} is in the metric table`);
    return metric;
  };
  return {
    add(name, amount, labels = none) {
      const metric = find(name);
      assert(metric instanceof CounterTally, `${name} is a counter`);
      metric.add(amount, labels);
    },
    set(name, value, labels = none) {
      const metric = find(name);
      assert(metric instanceof Gauge, `${name} is a gauge`);
      metric.set(labels, value);
    },
    observe(name, value, labels = none) {
      const metric = find(name);
      assert(metric instanceof HistogramTally, `${name} is a histogram`);
      metric.observe(value, labels);
    },
    expose: () => registry.metrics(),
    async read() {
      const values = new Map<string, number>();
      for (const { name, values: rows } of await registry.getMetricsAsJSON()) {
        for (const row of rows) {
          const labels = Object.entries(row.labels).map(([label, value]) => `${label}=${value}`);
          const key = "metricName" in row ? String(row.metricName) : name;
          values.set(labels.length > 0 ? `${key}{${labels.join(",")}}` : key, row.value);
        }
      }
      return values;
    },
  };
}
