import { expect, test } from "bun:test";
import { benchFileSystem } from "./open-file-system.bench.ts";

test("the benchmark of operations answered from memory waits for none", async () => {
  expect((await benchFileSystem(200)).witness).toBe(0);
});
