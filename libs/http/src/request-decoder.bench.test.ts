import { expect, test } from "bun:test";
import { benchDecode } from "./request-decoder.bench.ts";

test("benchDecode() decodes every head", () => {
  expect(benchDecode({ requests: 10 }).witness).toBe(100);
});
