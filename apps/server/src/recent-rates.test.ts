import { expect, test } from "bun:test";
import { openMetrics } from "@kiseki/telemetry";
import { RecentRates } from "./recent-rates.ts";

test("RecentRates tells rates, quantiles, failures and bytes of its window alone", async () => {
  const metrics = openMetrics();
  const answer = (status: string, seconds: number): void => {
    metrics.add("kiseki_gateway_requests_total", 1, { method: "GET", status });
    metrics.observe("kiseki_gateway_request_duration_seconds", seconds, { method: "GET" });
  };
  for (let count = 0; count < 500; count++) answer("200", 4); // before the window
  const recent = new RecentRates(3, 2);
  expect(recent.read().seconds).toBe(0);
  recent.add(100, await metrics.read());
  for (let count = 0; count < 98; count++) answer("200", 0.002);
  for (let count = 0; count < 2; count++) answer("503", 0.2);
  metrics.add("kiseki_chunk_write_bytes_total", 5000);
  recent.add(110, await metrics.read());
  const { seconds, methods, written, read, failures, series } = recent.read();
  expect({ seconds, written, read, failures, series }).toEqual({
    ...{ seconds: 10, written: 500, read: 0, failures: 0.2, series: [10] },
  });
  expect(methods).toEqual([{ method: "GET", rate: 10, p50: 0.0025, p99: 0.25 }]);
  recent.add(120, await metrics.read());
  recent.add(130, await metrics.read());
  expect(recent.read().methods).toEqual([]);
  expect(recent.read().series).toEqual([10, 0, 0]);
  recent.add(140, await metrics.read());
  expect(recent.read().series).toEqual([0, 0, 0]);
});
