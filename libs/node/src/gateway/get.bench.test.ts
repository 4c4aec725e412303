import { expect, test } from "bun:test";
import { benchGet } from "./get.bench.ts";

test("benchGet() runs, and every GET is answered at once", async () => {
  const { leastMicros } = await benchGet({ size: 65_536, objects: 40, seconds: 0 });
  expect(leastMicros).toBeGreaterThan(0);
});
