// Goal: a power cut takes nothing that was acknowledged.
// Method: everything that the node stores on an ext4 of its own, shut down without a flush of its journal under
// load; then kill -9, unmount, journal replay, start, and every promise of the manifest is checked. The control runs
// the same with syncs that do nothing, and must find losses.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { prngFromSeed } from "../../libs/base/src/index.ts";
import { isFull, type Layout, NodeProcess } from "../support/node-process.ts";
import { hasLoop, imagePlace, LoopDisk, runTool } from "./loop-disk.ts";
import { note, readManifest } from "./manifest.ts";
import { SideLoad } from "../support/side-load.ts";
import { brokenPromises, layouts, loadedBy, sideFaults, writers } from "./power-node.ts";

const seed = Number(process.env["KISEKI_POWER_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(process.env["KISEKI_POWER_CUTS"] ?? (isFull ? 25 : 2));
const claim = `(KISEKI_POWER_SEED=${seed})`;

interface Cuts {
  readonly acked: number;
  readonly inFlight: number[];
  readonly faults: string[];
}

async function stop(node: NodeProcess): Promise<void> {
  if (node.isRunning) await node.kill();
}

/** Cuts a node `count` times under load; ends early once something is found missing. */
async function cutUnderLoad(
  layout: Layout,
  count: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<Cuts> {
  const prng = prngFromSeed(seed + layout.devices);
  await using node = await NodeProcess.create(layout);
  await using image = await imagePlace();
  await using disk = await LoopDisk.create(image.path, node.storage, layout.devices * 256 + 2048);
  await using _stopped = { [Symbol.asyncDispose]: () => stop(node) }; // before the disk is unmounted
  await using side = await SideLoad.open(node.directory);
  const { words } = side;
  const manifest = join(node.directory, "manifest");
  const inFlight: number[] = [];
  for (let round = 0; round < count; round += 1) {
    await node.start({ environment, words });
    await side.begin(node);
    await using loader = await loadedBy(node, manifest, seed, round, 40 + prng.below(160));
    // An fdatasync that is under way when ext4 is shut down may say yes and have lost its bytes (see cut); an answer
    // sent because of it does not count. A machine without power sends none.
    note(manifest, { at: "cut" });
    side.cut();
    disk.cut();
    await node.kill();
    await Promise.all([loader.ended(), side.ended()]);
    inFlight.push(readManifest(manifest).inFlight);
    await disk.unmount();
    await disk.mount();
    note(manifest, { at: "up" });
    const ending = await node.tryStart({ environment, words });
    const faults = ending
      ? [`no start: ${node.output.split("\n").slice(-6).join("\n")}`]
      : [...(await brokenPromises(node, manifest)), ...(await sideFaults(node, side))];
    await stop(node);
    if (faults.length > 0) return { acked: readManifest(manifest).acked, inFlight, faults };
  }
  return { acked: readManifest(manifest).acked, inFlight, faults: [] };
}

test.skipIf(!hasLoop).each([...layouts])(
  `$name: nothing acknowledged is lost in several cuts of an ext4 ${claim}`,
  async (layout) => {
    const { acked, inFlight, faults } = await cutUnderLoad(layout, rounds);
    console.log(
      `${layout.name}: ${rounds} cuts, ${acked} acknowledged, in flight ${inFlight.join(" ")}`,
    );
    expect(faults).toEqual([]);
    expect(Math.max(...inFlight)).toBeGreaterThanOrEqual(8);
    expect(writers).toBeGreaterThanOrEqual(8);
  },
  rounds * 30_000,
);

test.skipIf(!hasLoop)(
  `the control, whose syncs do nothing, loses what was acknowledged ${claim}`,
  async () => {
    const layout = layouts[0]!;
    await using node = await NodeProcess.create(layout);
    const library = join(node.directory, "no-sync.so");
    await runTool(["gcc", "-shared", "-fPIC", "-o", library, join(import.meta.dir, "no-sync.c")]);
    const { acked, faults } = await cutUnderLoad(layout, 3, { LD_PRELOAD: library });
    console.log(
      `control: ${faults.length} faults after ${acked} acknowledged, the first: ${faults[0]}`,
    );
    expect(faults.length).toBeGreaterThan(0);
  },
  60_000,
);
