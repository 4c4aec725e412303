import { expect, test } from "bun:test";
import { benchDatapath } from "./datapath.bench.ts";

test("benchDatapath() runs", async () => {
  const figures = await benchDatapath({ rounds: 2 });
  for (const figure of Object.values(figures)) expect(figure).toBeGreaterThan(0);
});
