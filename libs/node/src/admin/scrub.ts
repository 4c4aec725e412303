import { SqliteShardStore } from "@kiseki/shard-store";
import { noteRepairs, repairChunks } from "../node/repairs.ts";
import type { OpenTenant } from "../object/types.ts";
import { following } from "./following.ts";
import type { AdminParts } from "./types.ts";

const rowsPerStep = 2000;

interface ScrubState {
  phase: "devices" | "repair" | "sums";
  done: number;
  total: number;
  records: number;
  bad: number;
  repaired: number;
  lost: number;
  waiting: number;
  wrongTables: number;
}

/** Reads and checks every record, repairs what is bad, and sums up the shards' rows. */
export async function* scrub(parts: AdminParts, signal: AbortSignal) {
  const { clock } = parts.node.ports;
  const tenant = await parts.node.openDefaultTenant(signal);
  const state: ScrubState = {
    phase: "devices",
    done: 0,
    total: 0,
    records: 0,
    bad: 0,
    repaired: 0,
    lost: 0,
    waiting: 0,
    wrongTables: 0,
  };
  const work = async (signal: AbortSignal): Promise<void> => {
    await scrubDevices(parts, state, signal);
    enter(state, "sums");
    state.wrongTables = await checkSums(tenant, state, signal);
  };
  const snapshot = (isDone: boolean) => ({
    phase: state.phase,
    doneCount: BigInt(state.done),
    totalCount: BigInt(state.total),
    recordCount: BigInt(state.records),
    badCount: BigInt(state.bad),
    repairedCount: BigInt(state.repaired),
    lostCount: BigInt(state.lost),
    waitingCount: BigInt(state.waiting),
    wrongTableCount: BigInt(state.wrongTables),
    isDone,
  });
  yield* following(clock, work, snapshot, signal);
}

function enter(state: ScrubState, phase: ScrubState["phase"]): void {
  state.phase = phase;
  state.done = 0;
  state.total = 0;
}

async function scrubDevices(
  { node: { ports, tenants } }: AdminParts,
  state: ScrubState,
  signal: AbortSignal,
): Promise<void> {
  const progress = (done: number, total: number): void => {
    state.done = done;
    state.total = total;
  };
  const { records, faults } = await ports.chunkStore.scrub({ progress, signal });
  state.records = records;
  state.bad = faults;
  enter(state, "repair"); // of all that lack fragments: lost ones are in no queue
  const outcome = await repairChunks(ports, () => tenants.all, {
    progress: ({ done, total }) => progress(done, total),
    signal,
  });
  for (const tenant of [...tenants.all]) await noteRepairs(ports, tenant, signal);
  state.repaired = outcome.repaired;
  state.lost = outcome.lost.length;
  state.waiting = outcome.waiting.length;
}

/** Tables of the shard whose rows are not what was committed. */
async function checkSums(
  { store }: OpenTenant,
  state: ScrubState,
  signal: AbortSignal,
): Promise<number> {
  if (!(store instanceof SqliteShardStore)) return 0;
  for (const { rowCount } of store.sums()) state.total += rowCount;
  using check = store.startSumCheck();
  for (;;) {
    signal.throwIfAborted();
    const report = check.step(rowsPerStep);
    state.done = Math.min(state.done + rowsPerStep, state.total);
    if (report.kind !== "more") return report.kind === "wrong" ? report.tables.length : 0;
    await new Promise((resolve) => setImmediate(resolve)); // requests go on between steps
  }
}
