// Goal: a file in a mount is what was written to it, whatever is cached, in memory or on its way.
// Method: fsx (random operations) against bytes in memory, a second mount looks on; three mounts on one file. A seed for each file,
// from `KISEKI_SIM_SEED` on. KISEKI_TEST_FULL: with the kernel's mounts (tests/mount/fsx.test.ts) a million operations of each kind.
import { expect, test } from "bun:test";
import { FakeNode } from "./fake-service.test-helper.ts";
import { fsx } from "./fsx.test-helper.ts";
import { MachineNode } from "./machine-node.test-helper.ts";
import { mountOn } from "./mount.test-helper.ts";

const limitMs = 120_000;
const isFull = process.env["KISEKI_TEST_FULL"] === "1";
const seedFirst = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
const seeds = (count: number): readonly number[] =>
  Array.from({ length: count }, (_, index) => seedFirst + index);

async function watched(node: FakeNode | MachineNode, seed: number, steps: number): Promise<void> {
  const options = { cacheSizeMax: 1 << 19 };
  const mount = await mountOn(node.open(), options);
  const other = await mountOn(node.open(), options);
  const counts = await fsx([mount], { seed, steps, other, ttlMs: 5000 });
  for (const kind of ["write", "read", "truncate", "punch", "zero", "allocate", "copy", "other"])
    expect(counts.get(kind)).toBeGreaterThan(20);
  for (const { fs } of [mount, other]) expect(await fs.close()).toBeUndefined();
  if (node instanceof MachineNode) node.check();
}

test.each(seeds(1))(
  "a mount of a node in memory keeps a file as it was written (replay with KISEKI_SIM_SEED=%d)",
  (seed) => watched(new FakeNode(), seed, 3_000),
  limitMs,
);

test.each(seeds(isFull ? 85 : 1))(
  "a mount of the machine of a shard keeps a file as it was written (replay with KISEKI_SIM_SEED=%d)",
  (seed) => watched(new MachineNode(), seed, isFull ? 10_000 : 20_000),
  limitMs,
);

test.each(seeds(isFull ? 96 : 1))(
  "three mounts that ask each time share a file (replay with KISEKI_SIM_SEED=%d)",
  async (seed) => {
    const node = new MachineNode();
    const options = { metaTtlMs: 0, cacheSizeMax: 1 << 19 };
    const mounts = await Promise.all([1, 2, 3].map(() => mountOn(node.open(), options)));
    await fsx(mounts, { seed, steps: isFull ? 10_000 : 2_000, ttlMs: 0 });
    node.check();
  },
  limitMs,
);
