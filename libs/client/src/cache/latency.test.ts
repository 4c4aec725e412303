import { expect, test } from "bun:test";
import { Latency } from "./latency.ts";

test("Latency tells within how many microseconds a share of all ended, rounded up", () => {
  const latency = new Latency();
  expect([latency.count, latency.within(0.5), latency.within(0.99)]).toEqual([0, 0, 0]);
  for (let i = 0; i < 98; i += 1) latency.record(0.1);
  latency.record(3);
  latency.record(900);
  expect(latency.count).toBe(100);
  expect([0.5, 0.98, 0.99, 1].map((share) => latency.within(share))).toEqual([
    128, 128, 4096, 1_048_576,
  ]);
  const odd = new Latency();
  for (const milliseconds of [0, -1, 1e12]) odd.record(milliseconds);
  expect([odd.within(0.5), odd.within(1)]).toEqual([1, 2 ** 31]);
});
