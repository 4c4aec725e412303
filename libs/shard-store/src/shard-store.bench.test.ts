import { expect, test } from "bun:test";
import { openPlainPlace } from "./place.test-helper.ts";
import { benchShardStore } from "./shard-store.bench.ts";

test("benchShardStore() reads what it wrote", async () => {
  const result = await benchShardStore({ openPlace: openPlainPlace, batches: 1, reads: 10 });
  expect(result["witness"]).toBeGreaterThan(0);
});
