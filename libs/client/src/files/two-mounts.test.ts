// Goal: through mounts a tree is what POSIX says it is, whatever they remember.
// Method: random operations through any, each compared with a plain model. `KISEKI_SIM_SEED` replays.
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
  // One mount that believes what it knows must know all that it did; two that ask each time, what the other did.
  for (const [count, metaTtlMs] of [
    [1, 5000],
    [2, 0],
  ] as const) {
    test(`${count} of ${name} agree with a model, TTL ${metaTtlMs} (replay with KISEKI_SIM_SEED=${seed})`, async () => {
      const node = open();
      const options = { metaTtlMs, cacheSizeMax: 1 << 16 };
      const mounts = await Promise.all(
        Array.from({ length: count }, () => mountOn(node.open(), options)),
      );
      const systems = mounts.map(({ fs }) => fs);
      await new TwoMounts(systems, seed).run(steps, async (step) => {
        await step();
        for (const { clock } of mounts) await clock.pass(20);
      });
      for (const fs of systems) expect(await fs.close()).toBeUndefined();
      if (node instanceof MachineNode) node.check();
    });
  }
}
