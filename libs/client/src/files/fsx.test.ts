// Goal: a file in a mount is what was written to it, whatever is cached, in memory or on its way.
// Method: fsx (20,000 random operations) against bytes in memory, a second mount looks on. `KISEKI_SIM_SEED` replays.
import { expect, test } from "bun:test";
import { FakeNode } from "./fake-service.test-helper.ts";
import { fsx } from "./fsx.test-helper.ts";
import { MachineNode } from "./machine-node.test-helper.ts";
import { mountOn } from "./mount.test-helper.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

for (const [name, steps, open] of [
  ["a node in memory", 3_000, () => new FakeNode()],
  ["the machine of a shard", 20_000, () => new MachineNode()],
] as const) {
  test(`a mount of ${name} keeps a file as it was written (replay with KISEKI_SIM_SEED=${seed})`, async () => {
    const node = open();
    const options = { cacheSizeMax: 1 << 19 };
    const mount = await mountOn(node.open(), options);
    const other = await mountOn(node.open(), options);
    const counts = await fsx([mount], { seed, steps, other, ttlMs: 5000 });
    for (const kind of ["write", "read", "truncate", "punch", "zero", "allocate", "copy", "other"])
      expect(counts.get(kind)).toBeGreaterThan(20);
    for (const { fs } of [mount, other]) expect(await fs.close()).toBeUndefined();
    if (node instanceof MachineNode) node.check();
  }, 60_000);
}

test(`three mounts that ask each time share a file (replay with KISEKI_SIM_SEED=${seed})`, async () => {
  const node = new MachineNode();
  const options = { metaTtlMs: 0, cacheSizeMax: 1 << 19 };
  const mounts = await Promise.all([1, 2, 3].map(() => mountOn(node.open(), options)));
  await fsx(mounts, { seed, steps: 2_000, ttlMs: 0 });
  node.check();
});
