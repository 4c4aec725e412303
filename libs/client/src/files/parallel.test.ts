// Goal: what one process does to its part of a file is not disturbed by what others do to theirs, whatever is on its way.
// Method: several at once, each on its own stripes of one file through its own handle, on two mounts, against a node that
// answers late and in any order. `KISEKI_SIM_SEED` replays.
import { type Prng, prngFromSeed } from "@kiseki/base";
import type { FileSystem } from "@kiseki/vfs";
import { expect, test } from "bun:test";
import { FakeNode } from "./fake-service.test-helper.ts";
import { close, create, good, lookup, mountOn, open, utf8 } from "./mount.test-helper.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
const stripeSize = 3000;
const workersMax = 6;
/** Of names: one in sixty of them found a mount that believed an answer which came late. */
const racesMax = 60;

/** Later, by a few turns of the event loop. */
async function late(prng: Prng): Promise<void> {
  for (let i = prng.below(6); i > 0; i -= 1)
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
}

/** Writes and reads the stripes `number`, `number + workersMax` and so on. */
async function work(fs: FileSystem, number: number, prng: Prng): Promise<Map<number, Uint8Array>> {
  const handle = await open(fs, "shared");
  const mine = new Map<number, Uint8Array>();
  for (let step = 0; step < 60; step += 1) {
    const stripe = number + workersMax * prng.below(20);
    const offset = stripe * stripeSize;
    const known = mine.get(stripe);
    if (known === undefined || prng.chance(1, 2)) {
      const bytes = prng.fill(new Uint8Array(stripeSize));
      await good(fs.write(handle, offset, bytes));
      mine.set(stripe, bytes);
    } else {
      const target = new Uint8Array(stripeSize);
      expect(await good(fs.read(handle, offset, target))).toBe(stripeSize);
      if (!Bun.deepEquals(target, known)) throw new Error(`stripe ${stripe} differs`);
    }
    if (prng.chance(1, 10)) await good(fs.fsync(handle, false));
    if (prng.chance(1, 15)) await good(fs.getattr((await lookup(fs, "shared")).node));
    if (prng.chance(1, 4)) await late(prng);
  }
  await close(fs, handle);
  return mine;
}

for (const metaTtlMs of [0, 5000]) {
  test(`parts of a file are their writers' own, TTL ${metaTtlMs} (replay with KISEKI_SIM_SEED=${seed})`, async () => {
    const node = new FakeNode();
    const prng = prngFromSeed(seed);
    const mounts = await Promise.all(
      [1, 2].map(() => mountOn(node.open(), { metaTtlMs, cacheSizeMax: 1 << 17 })),
    );
    const [first, second] = mounts.map(({ fs }) => fs) as FileSystem[] as [FileSystem, FileSystem];
    await close(first, (await create(first, "shared")).handle);
    node.meddle = node.delay = () => late(prng);
    const all = await Promise.all(
      Array.from({ length: workersMax }, (_, i) =>
        work(i % 2 === 0 ? first : second, i, prngFromSeed(seed + i)),
      ),
    );
    node.meddle = node.delay = () => undefined;
    const { fs } = await mountOn(node.open());
    const handle = await open(fs, "shared");
    for (const mine of all) {
      for (const [stripe, bytes] of mine) {
        const target = new Uint8Array(stripeSize);
        await good(fs.read(handle, stripe * stripeSize, target));
        expect(Bun.deepEquals(target, bytes)).toBe(true);
      }
    }
  });
}

/** Makes, removes, moves and looks up a few names. */
async function busy(fs: FileSystem, prng: Prng): Promise<void> {
  const caller = { uid: 0, gid: 0, pid: 0 };
  for (let i = 0; i < 80; i += 1) {
    const name = utf8(`n${prng.below(5)}`);
    const other = utf8(`n${prng.below(5)}`);
    const act = prng.below(5);
    if (act === 0) await fs.mknod(1, name, { mode: 0, device: 0 }, caller);
    else if (act === 1) await fs.unlink(1, name);
    else if (act === 2) await fs.rename({ parent: 1, name }, { parent: 1, name: other }, "replace");
    else await fs.lookup(1, name);
  }
}
/** Several at once on each of `count` mounts; then each mount knows what the names mean. */
async function race(count: number, seed: number): Promise<void> {
  const node = new FakeNode();
  const prng = prngFromSeed(seed);
  const mounts = await Promise.all(Array.from({ length: count }, () => mountOn(node.open())));
  node.meddle = node.delay = () => late(prng);
  await Promise.all(
    mounts.flatMap(({ fs }, i) =>
      [1, 2, 3].map((each) => busy(fs, prngFromSeed(seed + i * 10 + each))),
    ),
  );
  node.meddle = node.delay = () => undefined;
  for (const { fs, clock } of mounts) {
    // What one mount did by itself it knows at once.
    if (count > 1) await clock.pass(5000);
    for (let i = 0; i < 5; i += 1) {
      const found = await good(fs.lookup(1, utf8(`n${i}`)));
      const there = node.root.entries.get(`n${i}`);
      expect([seed, found.node]).toEqual([seed, there === undefined ? 0 : Number(there.number)]);
    }
  }
}
for (const count of [1, 2]) {
  test(`names that many change at once on ${count} mounts end as the node has them (replay with KISEKI_SIM_SEED=${seed})`, async () => {
    for (let i = 0; i < racesMax; i += 1) await race(count, seed + 100 * i);
  });
}
