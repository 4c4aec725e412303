import { assert, failpoint } from "@kiseki/base";
import { recordHeaderSize } from "@kiseki/format";
import type { PlacementPlan } from "@kiseki/placement";
import { ackMin, fragmentCount, planPut } from "@kiseki/placement";
import type { ArenaLease, Datapath, Profile, SealedFragment } from "@kiseki/ports";
import { chunkSizeMax, fragmentStride } from "@kiseki/ports";
import type { Device } from "./device.ts";
import type { RecordChunk } from "./group-writer.ts";
import { zonesKeptBack } from "./group-writer.ts";
import { isNarrow } from "./narrow.ts";
import type { Pool } from "./pool.ts";
import type { Fragment, Row } from "./row.ts";
import { rowKey } from "./row.ts";
import type { ChunkPlacement, PutRequest, PutSealedRequest, PutSignal } from "./types.ts";
import { ChunkStoreError } from "./types.ts";
import { writeRecord } from "./write-record.ts";

const never = new AbortController().signal;

const signalOf = (signal: PutSignal): AbortSignal =>
  typeof signal === "function" ? signal() : signal;

type AnyPut = PutRequest | PutSealedRequest;
const plainSizeOf = (request: AnyPut): number =>
  "dek" in request ? request.source.size : request.size;

/** Stores one chunk as STORE §4 asks, on other devices again when some fail under way. */
export async function putChunk(
  pool: Pool,
  request: AnyPut,
  signal: PutSignal = never,
): Promise<ChunkPlacement> {
  const size = plainSizeOf(request);
  assert(size >= 1 && size <= chunkSizeMax, "a chunk has 1 byte to 4 MiB");
  let reclaimed = false;
  let full = false;
  for (let attempt = 0; attempt <= pool.devices.length + 2; attempt++) {
    pool.checkOpen();
    const plan = planPut(request.chunkId, pool.devices, {
      small: request.small,
      allowSingleCopy: pool.allowSingleCopy,
    });
    if (plan.kind === "refused") throw refusal(pool);
    const written = await writeChunk(pool, request, plan, signal);
    const enough = pool.safeties.refuseThin ? ackMin(plan.profile) : 1;
    failpoint("chunk-synced");
    if (written.fragments.length >= enough) return await accept(pool, request, plan, written);
    release(pool, written.fragments);
    full = written.noSpace;
    if (!full) continue;
    if (reclaimed && (await pool.reclaimOnce()) === 0) throw noSpace();
    reclaimed = true;
    await pool.reclaimOnce();
  }
  throw full ? noSpace() : refusal(pool);
}
const noSpace = (): ChunkStoreError =>
  new ChunkStoreError("no_space", "Cannot store the chunk: no zone is free on enough devices");

/** Full when healthy devices would be enough but for their thresholds; else too few are healthy. */
function refusal(pool: Pool): ChunkStoreError {
  const healthy = pool.devices.filter((device) => device.trusted && !device.isLeaving).length;
  const writable = pool.devices.filter((device) => device.writable).length;
  if (healthy > writable) return noSpace();
  return new ChunkStoreError(
    "unavailable",
    `Cannot store the chunk: ${writable} of ${pool.devices.length} devices take writes`,
  );
}

interface Written {
  readonly fragments: readonly Fragment[];
  readonly noSpace: boolean;
}
const chunkOf = (request: AnyPut): RecordChunk => ({
  tenant: request.tenant,
  shard: request.shard,
  epoch: request.epoch,
  operationId: request.operationId,
  chunkId: request.chunkId,
  sealId: request.sealId,
  plainSize: plainSizeOf(request),
  keyset: request.keyset,
});
const phaseEncrypt = { phase: "encrypt" };
const phaseWrite = { phase: "chunk_write" };
const writePhases = "kiseki_chunk_persistent_write_phase_duration_seconds";
const phaseSave = { phase: "save_meta" };

/** Fragments in `target`. @throws {ChunkStoreError} `bad_checksum` */
async function makeFragments(
  datapath: Datapath,
  request: AnyPut,
  profile: Profile,
  target: ArenaLease,
): Promise<readonly SealedFragment[]> {
  const common = { profile, headerRoom: recordHeaderSize, target };
  if ("dek" in request) {
    return datapath.seal({ source: request.source, identity: request, ...common });
  }
  const { size, sealed, sealedCrc } = request;
  const { sourceCrc, fragments } = await datapath.code({ source: sealed, size, ...common });
  if (sourceCrc === sealedCrc) return fragments;
  throw new ChunkStoreError("bad_checksum", "Cannot store the chunk: it came damaged");
}

async function writeChunk(
  pool: Pool,
  request: AnyPut,
  plan: PlacementPlan,
  signal: PutSignal,
): Promise<Written> {
  const { clock, datapath, metrics } = pool.ports;
  const { profile } = plan;
  const devices = targets(pool, plan); // before anything is waited for: one may leave
  const size = plainSizeOf(request);
  const stride = fragmentStride(profile, size, recordHeaderSize);
  const room = profile.kind === "copies" ? stride : stride * fragmentCount(profile);
  using target = datapath.arena.lend(room) ?? (await datapath.arena.borrow(room, signalOf(signal)));
  const started = clock.monotonic();
  const sealed = await makeFragments(datapath, request, profile, target);
  const sealedAt = clock.monotonic();
  const chunk = chunkOf(request);
  const fragments: Fragment[] = [];
  let refused = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  let open = 1; // this function's own hold, so that an early settle does not end it
  const close = (): void => {
    if (--open === 0) resolve();
  };
  for (const [index, device] of devices) {
    if (!device.trusted) continue; // failed while the chunk was sealed
    const piece: SealedFragment = sealed[profile.kind === "copies" ? 0 : index]!;
    open += 1;
    const settle = (outcome: Fragment | "no_space" | "failed"): void => {
      if (outcome === "no_space") refused = true;
      else if (outcome !== "failed") fragments.push(outcome);
      close();
    };
    const to = { device, lease: target, zonesLeft: zonesKeptBack, settle };
    writeRecord({ chunk, profile, index, piece, ...to });
  }
  close();
  await promise;
  const phases = "kiseki_gateway_put_phase_duration_seconds";
  metrics.observe(phases, (sealedAt - started) / 1000, phaseEncrypt);
  metrics.observe(phases, (clock.monotonic() - sealedAt) / 1000, phaseWrite);
  return { fragments, noSpace: refused };
}
function targets(pool: Pool, plan: PlacementPlan): [index: number, Device][] {
  const devices: [number, Device][] = [];
  for (let index = 0; index < plan.targets.length; index++) {
    const target = plan.targets[index];
    if (target !== undefined) devices.push([index, pool.devices[target]!]);
  }
  return devices;
}
/** The records of these are in the index, or never will be: the marks may pass them. */
export function release(pool: Pool, fragments: readonly Fragment[]): void {
  for (const fragment of fragments)
    pool.byOrdinal[fragment.device]?.writer?.indexed(fragment.group);
}

async function accept(
  pool: Pool,
  request: AnyPut,
  plan: PlacementPlan,
  written: Written,
): Promise<ChunkPlacement> {
  const key = rowKey(request.chunkId, request.sealId);
  const fragments = written.fragments.toSorted((a, b) => a.index - b.index);
  const row: Row = {
    candidate: false,
    plainSize: plainSizeOf(request),
    keyset: request.keyset,
    tenant: request.tenant,
    shard: request.shard,
    epoch: request.epoch,
    operationId: request.operationId,
    fragments,
  };
  const { clock, metrics } = pool.ports;
  const started = clock.monotonic();
  const isNew = "dek" in request; // a seal that was made for this put: there is no row to look for
  pool.setRow(key, isNew ? undefined : pool.row(key), row);
  metrics.observe(writePhases, (clock.monotonic() - started) / 1000, phaseSave);
  release(pool, fragments);
  pool.noteShard(request.shard, request.epoch);
  const missing = fragmentCount(plan.profile) - fragments.length;
  if (isNarrow(pool, plan.profile, request.keyset)) pool.narrow += 1;
  if (missing > 0) {
    pool.queueRepair(request);
    await pool.membersSettled(); // a device that dropped out is noted as such before the answer
  }
  metrics.add("kiseki_chunk_puts_total", 1);
  return {
    profile: plan.profile,
    pool: pool.number,
    placementEpoch: pool.membersVersion,
    missing,
  };
}
