import { failpoint } from "@kiseki/base";
import { recordHeaderSize } from "@kiseki/format";
import { fragmentCount, fragmentsNeeded, planRepair } from "@kiseki/placement";
import type { ArenaLease, Profile, SealedFragment } from "@kiseki/ports";
import { fragmentStride } from "@kiseki/ports";
import type { Device } from "./device.ts";
import { dropBad } from "./drop-bad.ts";
import { hasOthers, hold, inOrder, noteFaults, sourcesOf } from "./get.ts";
import { isNarrow } from "./narrow.ts";
import type { Pool } from "./pool.ts";
import { release } from "./put.ts";
import type { Fragment, Row } from "./row.ts";
import {
  bestSet,
  decodeRow,
  keyChunkId,
  keySealId,
  keysetOf,
  lacking,
  profileOf,
  rowKey,
  samePart,
  spread,
  wholeProfile,
} from "./row.ts";
import { scanRows } from "./scan-rows.ts";
import type { RepairOutcome, RepairProgress, SealRef } from "./types.ts";
import { writeRecord } from "./write-record.ts";

const never = new AbortController().signal;
/** Repairs under way at once (spec §2.13). */
const repairsAtOnce = 4;
/** Faults met while repairing call for another round, but not without end. */
const roundsMax = 4;

type RepairResult = "repaired" | "skipped" | "lost" | "waiting";

/** Sealings that lack fragments which some device could take. Counts on its way what is narrow. */
export async function findThin(pool: Pool, signal?: AbortSignal): Promise<SealRef[]> {
  const thin: SealRef[] = [];
  let narrow = 0;
  await scanRows(
    pool,
    (key, value) => {
      const whole = wholeProfile(value, pool.isTrusted);
      if (whole !== undefined) {
        if (isNarrow(pool, profileOf(whole), keysetOf(value))) narrow += 1;
        return;
      }
      const { profile, fragments } = bestSet(decodeRow(value), pool.usable);
      if (isNarrow(pool, profile, keysetOf(value))) narrow += 1;
      if (lacking(profile, fragments, pool.usable).length === 0) return;
      thin.push({ chunkId: keyChunkId(key), sealId: keySealId(key) });
    },
    signal,
  );
  pool.narrow = narrow;
  return thin;
}

export async function repairAll(
  pool: Pool,
  refs: readonly SealRef[],
  progress: ((progress: RepairProgress) => void) | undefined,
  signal: AbortSignal = never,
): Promise<RepairOutcome> {
  const first = await repairEach(pool, refs, progress, signal);
  const { waiting } = first;
  const isRoomMade =
    waiting.length > 0 && (await dropBad(pool, signal)) > 0 && (await pool.reclaimOnce()) > 0;
  if (!isRoomMade) return first;
  const again = await repairEach(pool, waiting, progress, signal);
  return {
    repaired: first.repaired + again.repaired,
    skipped: first.skipped + again.skipped,
    lost: [...first.lost, ...again.lost],
    waiting: again.waiting,
  };
}

async function repairEach(
  pool: Pool,
  refs: readonly SealRef[],
  progress: ((progress: RepairProgress) => void) | undefined,
  signal: AbortSignal,
): Promise<RepairOutcome> {
  const lost: SealRef[] = [];
  const waiting: SealRef[] = [];
  let repaired = 0;
  let skipped = 0;
  let done = 0;
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < refs.length) {
      signal.throwIfAborted();
      const ref = refs[next++]!;
      const result = await repairOne(pool, ref, signal);
      const completed = result === "repaired" ? ref : undefined;
      if (completed !== undefined) repaired += 1;
      else if (result === "skipped") skipped += 1;
      else if (result === "lost") lost.push(ref);
      else waiting.push(ref);
      if (result !== "waiting") pool.repairQueue.delete(rowName(ref));
      done += 1;
      progress?.({ done, total: refs.length, repaired, lost: lost.length, completed });
    }
  };
  await Promise.all(Array.from({ length: repairsAtOnce }, work));
  pool.ports.metrics.add("kiseki_chunk_repairs_total", repaired);
  return { repaired, skipped, lost, waiting };
}
const rowName = (ref: SealRef): string =>
  Buffer.from(rowKey(ref.chunkId, ref.sealId)).toString("hex");

async function repairOne(pool: Pool, ref: SealRef, signal: AbortSignal): Promise<RepairResult> {
  let result: RepairResult = "skipped";
  for (let round = 0; round < roundsMax; round++) {
    pool.checkOpen();
    const step = await repairRound(pool, ref, signal);
    if (step === "again") continue;
    if (step === "skipped") return result;
    if (step !== "repaired") return step;
    result = "repaired"; // and look once more whether all is there now
  }
  return result === "skipped" ? "waiting" : result;
}

async function repairRound(
  pool: Pool,
  ref: SealRef,
  signal: AbortSignal,
): Promise<RepairResult | "again"> {
  const key = rowKey(ref.chunkId, ref.sealId);
  const row = pool.row(key);
  if (row === undefined) return "skipped";
  const { profile, fragments } = bestSet(row, pool.usable);
  const missing = lacking(profile, fragments, pool.usable);
  if (missing.length === 0) return "skipped";
  const holders = new Set<number>();
  for (const fragment of spread(fragments, pool.usable).values())
    holders.add(pool.devices.indexOf(pool.byOrdinal[fragment.device]!));
  const candidates = pool.devices.map((device) => ({
    id: device.id,
    writable: device.takesRepair,
  }));
  // Devices, not their numbers: one may leave meanwhile.
  const plan = planRepair(ref.chunkId, candidates, missing, holders).map(({ index, device }) => ({
    index,
    device: pool.devices[device]!,
  }));
  const readable = inOrder(pool, fragments);
  if (readable.length < fragmentsNeeded(profile)) return "lost";
  if (plan.length === 0) return "waiting";
  const stride = fragmentStride(profile, row.plainSize, recordHeaderSize);
  const room = profile.kind === "copies" ? stride : stride * fragmentCount(profile);
  using target = await pool.ports.datapath.arena.borrow(room, signal);
  hold(pool, readable, 1);
  let outcome;
  try {
    outcome = await pool.ports.datapath.rebuild({
      profile,
      size: row.plainSize,
      fragments: sourcesOf(pool, ref, row, readable),
      wanted: plan.map(({ index }) => index),
      headerRoom: recordHeaderSize,
      target,
    });
  } finally {
    hold(pool, readable, -1);
  }
  if (outcome.faults.length > 0) noteFaults(pool, ref, readable, outcome.faults);
  if (outcome.kind === "lost") return hasOthers(pool, ref, readable) ? "again" : "lost";
  failpoint("repair-rebuilt");
  const { written, full } = await writeRebuilt(ref, row, profile, plan, outcome.fragments, target);
  failpoint("repair-written");
  const changed = putFragments(pool, key, row, written);
  release(pool, written);
  if (written.length === 0) {
    const isFreed = full && (await pool.reclaimOnce()) > 0;
    return isFreed || outcome.faults.length > 0 ? "again" : "waiting";
  }
  return changed ? "repaired" : "skipped";
}

/** Writes rebuilt fragments to their devices; what could not be written is left out. */
async function writeRebuilt(
  ref: SealRef,
  row: Row,
  profile: Profile,
  plan: readonly { readonly index: number; readonly device: Device }[],
  pieces: readonly SealedFragment[],
  target: ArenaLease,
): Promise<{ readonly written: readonly Fragment[]; readonly full: boolean }> {
  const written: Fragment[] = [];
  let full = false;
  const chunk = { ...row, chunkId: ref.chunkId, sealId: ref.sealId };
  const write = async (index: number, device: Device): Promise<void> => {
    const piece = pieces.find((fragment) => fragment.index === index)!;
    if (!device.trusted) return;
    const { promise, resolve: settle } = Promise.withResolvers<Fragment | "no_space" | "failed">();
    writeRecord({ device, chunk, profile, index, piece, lease: target, zonesLeft: 1, settle });
    const outcome = await promise;
    if (outcome === "no_space") full = true;
    if (typeof outcome !== "string") written.push(outcome);
  };
  await Promise.all(plan.map(({ index, device }) => write(index, device)));
  return { written, full };
}

/** Puts repaired fragments in the place of those with the same number; false when the chunk is gone meanwhile. */
function putFragments(
  pool: Pool,
  key: Uint8Array,
  seen: Row,
  written: readonly Fragment[],
): boolean {
  const row = pool.row(key);
  if (row === undefined || written.length === 0) return false;
  const kept = row.fragments.filter(
    (fragment) => !written.some((other) => samePart(other, fragment)),
  );
  pool.setRow(key, row, { ...row, fragments: [...kept, ...written], candidate: row.candidate });
  return seen.plainSize === row.plainSize;
}
