import { access } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { type DeviceId, deviceId, fromUuid, toUuid } from "@kiseki/base";
import { createDeviceFile, type RepairProgress } from "@kiseki/chunk-store";
import { RpcError } from "@kiseki/rpc";
import { allDevicePaths } from "../node/open-pools.ts";
import { repairChunks } from "../node/repairs.ts";
import { following } from "./following.ts";
import type { AdminParts } from "./types.ts";

interface ReplaceRequest {
  readonly deviceId: string;
  readonly path: string;
  readonly force: boolean;
  readonly sizeBytes: bigint;
}

export function parseDevice(text: string): DeviceId {
  try {
    return deviceId(fromUuid(text));
  } catch (reason) {
    if (!(reason instanceof RangeError)) throw reason;
    throw new RpcError(
      "invalid",
      `Cannot use ${JSON.stringify(text.slice(0, 64))} as a device id; "kiseki device list" shows them`,
    );
  }
}

/** Checks the request before anything is written. */
function planReplacement({ node }: AdminParts, request: ReplaceRequest) {
  const old = parseDevice(request.deviceId);
  const { devices } = node.ports.chunkStore.status();
  const known = devices.find(({ id }) => toUuid(id) === toUuid(old));
  if (known === undefined) {
    throw new RpcError("not_found", `No device ${toUuid(old)}; "kiseki device list" shows all`);
  }
  const { path } = request;
  checkNewPath({ node }, path);
  const size = request.sizeBytes === 0n ? known.size : Number(request.sizeBytes);
  return { old, path, size };
}

/** A path that no device of this node has. */
export function checkNewPath({ node }: Pick<AdminParts, "node">, path: string): void {
  if (!isAbsolute(path)) {
    throw new RpcError(
      "invalid",
      `Cannot use ${JSON.stringify(path)}: give the new device's absolute path`,
    );
  }
  const isUsed = node.ports.chunkStore
    .status()
    .devices.some(
      (device) => device.path === path && device.state !== "missing" && device.state !== "failed",
    );
  if (isUsed)
    throw new RpcError("exists", `Cannot use ${path}: it is a device of this node already`);
}

/** Notes for the next start where devices lie that the settings do not name: those in use, and `more`. */
export function noteReplacements(
  { node, settings }: AdminParts,
  more: readonly string[],
): Promise<void> {
  const used = node.ports.chunkStore.status().devices.flatMap(({ path }) => path ?? []);
  const given = new Set(allDevicePaths(settings));
  const paths = new Set([...used, ...more].filter((path) => !given.has(path)));
  return node.storage.config.noteReplacements([...paths]);
}

/**
 * Gives the place of `deviceId` to the device at `path`, made as a file if there is none, and repairs onto it.
 * A caller who goes ends the repair, which the node takes up again by itself.
 */
export async function* replaceDevice(
  parts: AdminParts,
  request: ReplaceRequest,
  signal: AbortSignal,
) {
  const { ports, tenants } = parts.node;
  const { chunkStore, clock } = ports;
  const plan = planReplacement(parts, request);
  let made = "";
  let repaired = 0;
  let lost = 0;
  let waiting = 0;
  let progress: RepairProgress = { done: 0, total: 0, repaired: 0, lost: 0, completed: undefined };
  const work = async (signal: AbortSignal): Promise<void> => {
    const isThere = await access(plan.path).then(
      () => true,
      () => false,
    );
    if (!isThere) await createDeviceFile(plan.path, plan.size);
    signal.throwIfAborted();
    const replacement = { path: plan.path, force: request.force };
    await noteReplacements(parts, [plan.path]); // before: a member that the next start misses were a loss
    made = toUuid(await chunkStore.replaceDevice(plan.old, replacement));
    await noteReplacements(parts, []);
    const outcome = await repairChunks(ports, () => tenants.all, {
      progress: (now) => (progress = now),
      signal,
    });
    repaired = outcome.repaired;
    lost = outcome.lost.length;
    waiting = outcome.waiting.length;
  };
  const snapshot = (isDone: boolean) => ({
    deviceId: made,
    doneCount: BigInt(progress.done),
    totalCount: BigInt(progress.total),
    repairedCount: BigInt(isDone ? repaired : progress.repaired),
    lostCount: BigInt(isDone ? lost : progress.lost),
    waitingCount: BigInt(waiting),
    isDone,
  });
  yield* following(clock, work, snapshot, signal);
}
