// Goal: through two mounts that ask each time, a tree is what POSIX says it is.
// Method: random operations through either, each compared with a plain model. `KISEKI_SIM_SEED` replays.
import { expect, test } from "bun:test";
import { FakeNode } from "./fake-service.test-helper.ts";
import { MachineNode } from "./machine-node.test-helper.ts";
import { mountOn } from "./mount.test-helper.ts";
import { TwoMounts } from "./two-mounts.test-helper.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

for (const [name, steps, open] of [
  ["a node in memory", 1000, () => new FakeNode()],
  ["the machine of a shard", 600, () => new MachineNode()],
] as const) {
  test(`two mounts of ${name} agree with a model (replay with KISEKI_SIM_SEED=${seed})`, async () => {
    const node = open();
    const options = { metaTtlMs: 0, cacheSizeMax: 1 << 16 };
    const mounts = await Promise.all([1, 2].map(() => mountOn(node.open(), options)));
    const systems = mounts.map(({ fs }) => fs);
    await new TwoMounts(systems, seed).run(steps);
    for (const fs of systems) expect(await fs.close()).toBeUndefined();
    if (node instanceof MachineNode) node.check();
  });
}
