import { expect, test } from "bun:test";
import { benchShardStore } from "./shard-store.bench.ts";

test("benchShardStore() reads what it wrote", async () => {
  const result = await benchShardStore({ batches: 1, reads: 10 });
  expect(result["witness"]).toBeGreaterThan(0);
});
