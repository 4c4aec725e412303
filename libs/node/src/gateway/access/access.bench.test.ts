import { expect, test } from "bun:test";
import { benchAuthorize } from "./access.bench.ts";

test("benchAuthorize() lets in root and user", () => {
  for (const who of ["root", "user"] as const) {
    expect(benchAuthorize({ calls: 300 }, who).witness).toBe(300);
  }
});
