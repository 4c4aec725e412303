// Goal: a power cut takes nothing that was acknowledged, whatever the disk does with what was not synced.
// Method: everything that the node stores on a file system that keeps what is synced and, at the cut, drops, tears
// and reorders the rest by a seed. First the file system itself is shown to keep its word and to bite.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prngFromSeed } from "../../libs/base/src/index.ts";
import { isFull, type Layout, NodeProcess } from "../support/node-process.ts";
import { SideLoad } from "../support/side-load.ts";
import { runTool } from "./loop-disk.ts";
import { buildLossyFs, hasFuse, LossyDisk, type Losses } from "./lossy-disk.ts";
import { note, readManifest } from "./manifest.ts";
import {
  brokenPromises,
  churnLayout,
  layouts,
  loadedBy,
  type PowerLayout,
  sideFaults,
} from "./power-node.ts";

const seed = Number(process.env["KISEKI_POWER_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(process.env["KISEKI_POWER_CUTS"] ?? (isFull ? 40 : 2));
const claim = `(KISEKI_POWER_SEED=${seed})`;
let tools = "";
let program = "";

beforeAll(async () => {
  tools = await mkdtemp(join(tmpdir(), "kiseki-lossy-"));
  if (hasFuse) program = await buildLossyFs(tools);
});
afterAll(() => rm(tools, { recursive: true }));

const sync = (path: string): void => {
  const fd = openSync(path, "r");
  fsyncSync(fd);
  closeSync(fd);
};

test.skipIf(!hasFuse)(
  "the lossy file system keeps what was synced, and not always the rest",
  async () => {
    const folder = join(tools, "mounted");
    const seen = {
      unsynced: new Set<string>(),
      sizes: new Set<number>(),
      names: new Set<string>(),
    };
    for (let round = 0; round < 40; round += 1) {
      await using disk = await LossyDisk.create(program, folder);
      const file = openSync(join(folder, "file"), "w+");
      writeSync(file, Buffer.alloc(8192, "s"), 0, 8192, 0);
      fsyncSync(file);
      sync(folder);
      writeSync(file, Buffer.alloc(1024, "a"), 0, 1024, 1024);
      writeSync(file, Buffer.alloc(1024, "b"), 0, 1024, 1536);
      writeSync(file, Buffer.alloc(1024, "c"), 0, 1024, 8192);
      ftruncateSync(file, 20_000);
      closeSync(file);
      const other = openSync(join(folder, "new"), "w");
      writeSync(other, "new");
      fsyncSync(other);
      closeSync(other);
      await rename(join(folder, "new"), join(folder, "renamed"));
      await mkdir(join(folder, "inner"));
      await unlink(join(folder, "file"));
      await disk.cut(1000 + round); // always the same cuts: what they show is counted below
      await disk.unmount();
      await disk.mount();
      const names = (await readdir(folder)).toSorted();
      seen.names.add(names.join(" "));
      if (names.includes("renamed"))
        expect(await readFile(join(folder, "renamed"), "utf8")).toBe("new");
      if (!names.includes("file")) continue;
      const held = await readFile(join(folder, "file"), "latin1");
      expect(held.length).toBeGreaterThanOrEqual(8192);
      expect(held.slice(0, 1024)).toBe("s".repeat(1024));
      expect(held.slice(2560, 8192)).toBe("s".repeat(8192 - 2560));
      expect(held.slice(1024, 2560)).toMatch(/^[sab]+$/);
      seen.unsynced.add([1024, 1536, 2048].map((at) => held[at]).join(""));
      seen.sizes.add(held.length);
    }
    expect(seen.names.size).toBeGreaterThanOrEqual(4);
    expect(seen.unsynced).toContain("sss");
    // A later write there without an earlier one: reordered. Part of one: torn.
    expect(["ssb", "sbb"].some((held) => seen.unsynced.has(held))).toBe(true);
    expect(seen.unsynced.size).toBeGreaterThanOrEqual(4);
    expect(seen.sizes.size).toBeGreaterThanOrEqual(3);
  },
  20_000,
);

interface Cuts {
  readonly acked: number;
  readonly losses: Losses[];
  readonly faults: string[];
}

/** Cuts a node `count` times under load, every third time while it starts; ends early once something is missing. */
async function cutUnderLoad(
  layout: PowerLayout,
  count: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<Cuts> {
  const prng = prngFromSeed(seed + layout.devices);
  await using node = await NodeProcess.create(layout);
  await using disk = await LossyDisk.create(program, node.storage);
  await using side = await SideLoad.open(node.directory);
  const words = ["--gc-interval-s", "1", ...side.words];
  const manifest = join(node.directory, "manifest");
  const most = layout.isChurn ? 80 : 160;
  const losses: Losses[] = [];
  const faults: string[] = [];
  for (let round = 0; round < count && faults.length === 0; round += 1) {
    await node.start({ environment, words });
    await side.begin(node);
    await using loader = await loadedBy(node, manifest, seed, round, 20 + prng.below(most));
    note(manifest, { at: "cut" });
    side.cut();
    losses.push(await disk.cut(prng.below(2 ** 32)));
    const gone = node.kill();
    await disk.unmount();
    await gone;
    await Promise.all([loader.ended(), side.ended()]);
    await disk.mount();
    note(manifest, { at: "up" });
    const ending = await node.tryStart({ environment, words: side.words });
    if (ending) faults.push(`no start: ${node.output.split("\n").slice(-6).join("\n")}`);
    else faults.push(...(await brokenPromises(node, manifest)));
    if (faults.length === 0) faults.push(...(await sideFaults(node, side)));
    if (node.isRunning) await node.kill();
  }
  return { acked: readManifest(manifest).acked, losses, faults };
}

/** How long a first start takes here and now. */
async function startMs(layout: Layout): Promise<number> {
  await using node = await NodeProcess.create(layout);
  await using disk = await LossyDisk.create(program, node.storage);
  const started = performance.now();
  await node.start();
  const whole = performance.now() - started;
  const gone = node.kill();
  await disk.unmount();
  await gone;
  return whole;
}

const summed = (losses: readonly Losses[], what: keyof Losses): number =>
  losses.reduce((sum, each) => sum + each[what], 0);

test
  .skipIf(!hasFuse)
  .each([...layouts, ...(isFull || process.env["KISEKI_POWER_CUTS"] ? [churnLayout] : [])])(
  `$name: nothing acknowledged is lost when unsynced writes are dropped, torn and reordered ${claim}`,
  async (layout) => {
    const { acked, losses, faults } = await cutUnderLoad(layout, rounds);
    console.log(
      `${layout.name}: ${losses.length} cuts, ${acked} acknowledged; of ${summed(losses, "changes")} unsynced writes ${summed(losses, "lost")} lost, ${summed(losses, "torn")} torn; ${summed(losses, "names")} names undone`,
    );
    expect(faults).toEqual([]);
    expect(summed(losses, "lost")).toBeGreaterThan(0);
  },
  rounds * 30_000,
);

test.skipIf(!hasFuse)(
  `a node that loses its power while it starts, starts ${claim}`,
  async () => {
    const prng = prngFromSeed(seed);
    const layout = layouts[0]!;
    const losses: Losses[] = [];
    const whole = await startMs(layout);
    for (let place = 0; place < (isFull ? 20 : 2); place += 1) {
      await using node = await NodeProcess.create(layout);
      await using disk = await LossyDisk.create(program, node.storage);
      const manifest = join(node.directory, "manifest");
      for (let round = 0; round < 3; round += 1) {
        const starting = node.tryStart();
        await Bun.sleep(whole * (0.4 + prng.below(700) / 1000)); // from before the first write to after the last
        losses.push(await disk.cut(prng.below(2 ** 32)));
        const gone = node.kill();
        await disk.unmount();
        await Promise.all([gone, starting]);
        await disk.mount();
      }
      await node.start();
      const loader = await loadedBy(node, manifest, seed, 0, 20);
      await loader[Symbol.asyncDispose]();
      await node.stop(); // what was in flight is finished or gone
      await node.start();
      expect(await brokenPromises(node, manifest)).toEqual([]);
      await node.kill();
    }
    console.log(
      `cut while starting: of ${summed(losses, "changes")} unsynced writes ${summed(losses, "lost")} lost; ${summed(losses, "names")} names undone`,
    );
  },
  isFull ? 600_000 : 60_000,
);

test.skipIf(!hasFuse)(
  `the control, whose syncs do nothing, loses what was acknowledged on the lossy file system ${claim}`,
  async () => {
    const library = join(tools, "no-sync.so");
    await runTool(["gcc", "-shared", "-fPIC", "-o", library, join(import.meta.dir, "no-sync.c")]);
    const { acked, faults } = await cutUnderLoad(layouts[0]!, 3, { LD_PRELOAD: library });
    console.log(
      `control: ${faults.length} faults after ${acked} acknowledged, the first: ${faults[0]}`,
    );
    expect(faults.length).toBeGreaterThan(0);
  },
  60_000,
);
