/** What a node does by itself: each function does it once, counts what came of it and says so in a word. */
import { ChunkStoreError } from "@kiseki/chunk-store";
import { collectGarbage, matchOrphans, repairChunks, Widening } from "@kiseki/node/sim";
import { checkLost } from "./sim-checks.ts";
import { pick } from "./sim-choices.ts";
import type { SimNode } from "./sim-node.ts";

export async function collect(node: SimNode): Promise<string> {
  const deleted = await node.alive(collectGarbage(node.ports, node.tenant));
  node.world.count("seals collected", deleted);
  return String(deleted);
}

export async function compact(node: SimNode): Promise<string> {
  const deadShareMin = node.world.prng.chance(1, 2) ? 0.1 : 0.4;
  const { zones } = await node.alive(node.ports.chunkStore.compact({ deadShareMin }));
  node.world.count("zones compacted", zones);
  return String(zones);
}

export async function repair(node: SimNode): Promise<string> {
  const outcome = await node.alive(repairAll(node));
  node.world.count("seals repaired", outcome.repaired);
  checkLost(node, outcome.lost);
  return `${outcome.repaired} of ${outcome.repaired + outcome.waiting.length}`;
}

export const repairAll = (node: SimNode): ReturnType<typeof repairChunks> =>
  repairChunks(node.ports, () => [node.tenant], { signal: node.signal });

/** Seals again what has a narrower profile than the pool's, if the devices for it are there. */
export async function widen(node: SimNode): Promise<string> {
  const { ports, tenant, world } = node;
  if (!ports.chunkStore.takesWhole(0)) return "skipped";
  const widening = new Widening({ ports, tenants: { all: [tenant] }, log: { info() {} } });
  try {
    const widened = await node.alive(widening.runRound(node.signal));
    world.count("seals widened", widened);
    return String(widened);
  } catch (reason) {
    if (!(reason instanceof ChunkStoreError)) throw reason;
    return reason.code;
  }
}

export async function scrub(node: SimNode): Promise<string> {
  const { faults } = await node.alive(node.ports.chunkStore.scrub());
  node.world.count("faults found by scrub", faults);
  return String(faults);
}

export async function matchAllOrphans(node: SimNode): Promise<string> {
  const { ports, tenant, world } = node;
  const { kept, removed } = await node.alive(
    matchOrphans(ports, [tenant], { all: world.prng.chance(1, 2), signal: node.signal }),
  );
  world.count("orphans removed", removed);
  return `${kept} kept, ${removed} removed`;
}

/** A device that was out and answers again is taken back. */
export async function resync(node: SimNode): Promise<string> {
  const { ports, world } = node;
  const isOut = (state: string): boolean => state === "failed" || state === "missing";
  const devices = ports.chunkStore.status().devices;
  const used = devices.filter(({ state }) => !isOut(state)).map(({ path }) => path);
  const path = pick(
    world.prng,
    world.paths.filter((one) => !used.includes(one)),
  );
  if (path === undefined) return "skipped";
  try {
    await node.alive(ports.chunkStore.resyncDevice({ path }));
  } catch (reason) {
    if (!(reason instanceof ChunkStoreError)) throw reason;
    return `${path} ${reason.code}`;
  }
  world.count("devices resynced");
  return path;
}

export function checkpoint(node: SimNode): string {
  node.ports.chunkStore.checkpoint();
  return "";
}

export function setClock({ world }: SimNode): string {
  const hour = 3_600_000;
  const offset = world.prng.below(4 * hour) - 2 * hour;
  world.clock.setWall(offset);
  world.count("fault: clock set");
  return String(offset);
}
