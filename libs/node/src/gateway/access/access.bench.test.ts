import { expect, test } from "bun:test";
import { benchAuthorize } from "./access.bench.ts";

test("benchAuthorize() lets in root, user, and root by a bucket's policy", () => {
  for (const who of ["root", "user", "guarded"] as const) {
    expect(benchAuthorize({ calls: 300 }, who).witness).toBe(300);
  }
});
