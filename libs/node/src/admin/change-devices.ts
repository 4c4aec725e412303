import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { bytes, millis, toUuid } from "@kiseki/base";
import { createDeviceFile, type Evacuation } from "@kiseki/chunk-store";
import { RpcError } from "@kiseki/rpc";
import { following } from "./following.ts";
import { checkNewPath, noteReplacements, parseDevice } from "./replace-device.ts";
import { profileText } from "./status.ts";
import type { AdminParts } from "./types.ts";

interface AddRequest {
  readonly path: string;
  readonly pool: string;
  readonly force: boolean;
  readonly sizeBytes: bigint;
}

/** Makes the device at `path`, a file if there is none, one more of the pool's. */
export async function* addDevice(parts: AdminParts, request: AddRequest, signal: AbortSignal) {
  const { chunkStore, clock } = parts.node.ports;
  const { path, force } = request;
  checkNewPath(parts, path);
  const pool = openPool(parts, request.pool);
  const size =
    request.sizeBytes === 0n
      ? Math.min(...pool.status.devices.map((device) => device.size))
      : Number(request.sizeBytes);
  let made = "";
  const work = async (signal: AbortSignal): Promise<void> => {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (!isThere) await createDeviceFile(path, bytes(size));
    signal.throwIfAborted();
    await noteReplacements(parts, [path]); // before: a member that the next start misses were a loss
    made = toUuid(await chunkStore.addDevice(pool.number, { path, force }));
    await noteReplacements(parts, []);
    await chunkStore.countNarrow();
  };
  const snapshot = (isDone: boolean) => ({
    deviceId: made,
    profile: profileText(chunkStore.profileOf(pool.number)),
    isDone,
  });
  yield* following(clock, work, snapshot, signal);
}

function openPool({ node }: AdminParts, name: string) {
  const pools = node.ports.chunkStore.pools();
  const pool = pools.find((one) => (name === "" ? one.number === 0 : one.name === name));
  if (pool === undefined)
    throw new RpcError("not_found", `There is no pool ${JSON.stringify(name.slice(0, 64))}`);
  const { status, number } = pool;
  if (status === undefined)
    throw new RpcError("unavailable", `Pool ${pool.name} is absent: ${pool.reason ?? "unknown"}`);
  return { number, status };
}

const pauseMs = millis(500);
/** Walks in a row that move nothing before the caller is told that the rest waits. */
const idleWalksMax = 60;

/** Empties a device, as long as somebody looks on; then the node goes on by itself. */
export async function* evacuateDevice(
  { node }: AdminParts,
  request: { readonly deviceId: string; readonly mayLoseRedundancy: boolean },
  signal: AbortSignal,
) {
  const { chunkStore, clock } = node.ports;
  const id = parseDevice(request.deviceId);
  const { mayLoseRedundancy } = request;
  let done = 0;
  let now: Evacuation = { moved: 0, left: 0, waiting: 0 };
  const work = async (signal: AbortSignal): Promise<void> => {
    await chunkStore.evacuateDevice(id, { mayLoseRedundancy });
    for (let idle = 0; idle < idleWalksMax;) {
      const before = now.left;
      now = await chunkStore.moveLeaving(id, (step) => (now = step), signal);
      done += now.moved;
      if (now.left === 0) return;
      idle = now.moved > 0 || now.left < before ? 0 : idle + 1;
      await clock.sleep(pauseMs, signal);
    }
  };
  const snapshot = (isDone: boolean) => {
    const finished = isDone ? done : done + now.moved;
    const device = chunkStore.status().devices.find((one) => toUuid(one.id) === toUuid(id));
    return {
      doneCount: BigInt(finished),
      totalCount: BigInt(finished + now.left),
      waitingCount: BigInt(isDone ? now.left : now.waiting),
      leftBytes: BigInt(device?.living ?? 0),
      isDone,
    };
  };
  yield* following(clock, work, snapshot, signal);
}

export async function cancelEvacuation(
  { node }: AdminParts,
  { deviceId }: { readonly deviceId: string },
): Promise<object> {
  await node.ports.chunkStore.keepDevice(parseDevice(deviceId));
  return {};
}

/** Takes it from its pool; what the next start is to look for follows. */
export async function removeDevice(
  parts: AdminParts,
  { deviceId }: { readonly deviceId: string },
): Promise<{ readonly path: string }> {
  const { chunkStore } = parts.node.ports;
  const id = parseDevice(deviceId);
  const path = chunkStore.status().devices.find((one) => toUuid(one.id) === toUuid(id))?.path;
  await chunkStore.removeDevice(id);
  await noteReplacements(parts, []);
  return { path: path === undefined ? "" : resolve(path) };
}
