// Goal: through two mounts that ask each time, a tree is what POSIX says it is.
// Method: random operations through either, each compared with a plain model. `KISEKI_SIM_SEED` replays.
import { expect, test } from "bun:test";
import { FakeNode } from "./fake-service.test-helper.ts";
import { mountOn } from "./mount.test-helper.ts";
import { TwoMounts } from "./two-mounts.test-helper.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

test(`two mounts agree with a model (replay with KISEKI_SIM_SEED=${seed})`, async () => {
  const node = new FakeNode();
  const options = { metaTtlMs: 0, cacheSizeMax: 1 << 16 };
  const mounts = await Promise.all([1, 2].map(() => mountOn(node.open(), options)));
  await new TwoMounts(
    mounts.map(({ fs }) => fs),
    seed,
  ).run(1500);
  expect(node.count("write")).toBeGreaterThan(50);
});
