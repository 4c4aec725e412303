import { expect, test } from "bun:test";
import { metricsContract } from "@kiseki/ports/contract";
import { openMetrics } from "./metrics.ts";

test("openMetrics() counts, sets, observes and exposes the text format", async () => {
  const metrics = openMetrics();
  metrics.add("kiseki_gateway_requests_total", 2, { method: "GET", status: "200" });
  metrics.set("kiseki_pool_capacity_used_bytes", 7, { pool: "default" });
  metrics.observe("kiseki_gateway_request_duration_seconds", 0.002, { method: "GET" });
  const text = await metrics.expose();
  expect(text).toContain('kiseki_gateway_requests_total{method="GET",status="200"} 2');
  expect(text).toContain('kiseki_pool_capacity_used_bytes{pool="default"} 7');
  expect(text).toContain(
    'kiseki_gateway_request_duration_seconds_bucket{le="0.0025",method="GET"} 1',
  );
  expect((await metrics.read()).get("kiseki_pool_capacity_used_bytes{pool=default}")).toBe(7);
});

test("openMetrics() has the process's own metrics, but none that stops the engine", async () => {
  const text = await openMetrics().expose();
  expect(text).toContain("process_resident_memory_bytes");
  expect(text).not.toContain("nodejs_heap_space");
});

test("openMetrics() refuses a name that is not in the table", () => {
  // @ts-expect-error a name that is not in the table does not compile either
  expect(() => openMetrics().add("kiseki_no_such_thing", 1)).toThrow("is in the metric table");
});

metricsContract("openMetrics()", () => {
  const metrics = openMetrics();
  return {
    metrics,
    async read(name, labels = {}) {
      const [label] = Object.entries(labels).map(([key, value]) => `{${key}=${value}}`);
      const values = await metrics.read();
      return values.get(`${name}_count`) ?? values.get(`${name}${label ?? ""}`) ?? 0;
    },
  };
});
