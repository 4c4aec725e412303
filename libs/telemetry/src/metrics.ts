import { assert } from "@kiseki/base";
import { type MetricName, type Metrics, metricTable } from "@kiseki/ports";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export interface MetricsRegistry extends Metrics {
  /** The Prometheus text format, version 0.0.4. */
  expose(): Promise<string>;
  /** One number per name and label set, for the status page. */
  read(): Promise<ReadonlyMap<string, number>>;
}

type Metric = Counter | Gauge | Histogram;

function makeMetric(registry: Registry, name: MetricName): Metric {
  const row = metricTable[name];
  const labelNames = "labels" in row ? [...row.labels] : [];
  const common = { name, help: row.help, labelNames, registers: [registry] };
  if (row.kind === "counter") return new Counter(common);
  if (row.kind === "gauge") return new Gauge(common);
  return new Histogram({ ...common, buckets: "buckets" in row ? [...row.buckets] : [] });
}

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
    add(name, amount, labels = {}) {
      const metric = find(name);
      assert(metric instanceof Counter, `${name} is a counter`);
      metric.inc(labels, amount);
    },
    set(name, value, labels = {}) {
      const metric = find(name);
      assert(metric instanceof Gauge, `${name} is a gauge`);
      metric.set(labels, value);
    },
    observe(name, value, labels = {}) {
      const metric = find(name);
      assert(metric instanceof Histogram, `${name} is a histogram`);
      metric.observe(labels, value);
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
