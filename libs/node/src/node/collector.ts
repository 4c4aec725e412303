import { failpoint, toHex, wallTime } from "@kiseki/base";
import { type Drop, hasReclaim, listDrops } from "@kiseki/composition";
import { dropKey } from "@kiseki/format";
import type { Clock, MapReader } from "@kiseki/ports";
import { newOperationId } from "../gateway/scope.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { walkReferences } from "../object/walk-references.ts";

const dropsPerRound = 32_768;
/** Of one operation. */
const dropsPerStep = 512;
/** What is condemned is, whatever the clock says: it may have been set back since. */
const everything = wallTime(Number.MAX_SAFE_INTEGER);

/**
 * One round of garbage collection for one tenant: frees what large deletions left, then deletes condemned
 * seals that nobody can read any more, then says so in the log (STORE §4). Returns the seals deleted.
 *
 * Who may still read keeps a round waiting, native clients for a minute or more: so a round takes much of what was
 * condemned when the wait began.
 */
export async function collectGarbage(ports: DataPorts, tenant: OpenTenant): Promise<number> {
  await reclaim(ports, tenant);
  const drops = tenant.store.view((map) => listDrops(map, everything, dropsPerRound));
  if (drops.length === 0) return 0;
  if (ports.safeties.waitForReaders) await tenant.readers.allLeft();
  let deleted = 0;
  for (let first = 0; first < drops.length; first += dropsPerStep) {
    deleted += await deleteDrops(ports, tenant, drops.slice(first, first + dropsPerStep));
  }
  return deleted;
}

/** Returns how many of them were deleted. */
async function deleteDrops(
  ports: DataPorts,
  tenant: OpenTenant,
  drops: readonly Drop[],
): Promise<number> {
  // While it waited, an operation may have taken a pinned seal back, and ended.
  const condemned = tenant.store.view((map) => stillCondemned(map, drops));
  const { honourPins } = ports.safeties;
  const free = condemned.filter(({ chunkId }) => !honourPins || !tenant.pins.has(chunkId));
  if (free.length === 0) return 0;
  failpoint("collect-begun");
  ports.chunkStore.remove(free);
  failpoint("collect-removed");
  const outcome = await tenant.owner.submit(
    {
      kind: "dropped",
      drops: free.map(({ time, chunkId, sealId }) => ({ time, chunkId, sealId })),
    },
    newOperationId(ports.prng),
  );
  if (outcome.kind !== "done") return 0;
  failpoint("collect-dropped");
  ports.metrics.add("kiseki_chunks_collected_total", free.length);
  return free.length;
}

const stillCondemned = (map: MapReader, drops: readonly Drop[]): readonly Drop[] =>
  drops.filter(({ time, chunkId, sealId }) => map.get(dropKey(time, chunkId, sealId)));

async function reclaim(ports: DataPorts, tenant: OpenTenant): Promise<void> {
  const now = ports.clock.realtime();
  if (!tenant.store.view((map) => hasReclaim(map, now))) return;
  for (;;) {
    const outcome = await tenant.owner.submit({ kind: "reclaim_step" }, newOperationId(ports.prng));
    if (outcome.kind !== "done" || outcome.answer.kind !== "reclaimed") return;
    if (!outcome.answer.hasMore) return;
  }
}

/**
 * Matches what recovery found on the devices (`all`: everything there) with what the open tenants' shards
 * name; the rest of those tenants' is garbage, since its epoch cannot commit any more. What an operation of
 * this epoch stored is left alone, and so are other tenants'.
 */
export async function matchOrphans(
  { clock, chunkStore }: Pick<DataPorts, "clock" | "chunkStore">,
  tenants: Iterable<OpenTenant>,
  { all = false, signal }: { readonly all?: boolean; readonly signal: AbortSignal },
): Promise<{ readonly kept: number; readonly removed: number; readonly left: number }> {
  const open = new Map([...tenants].map((tenant) => [toHex(tenant.shard), tenant]));
  const named = new Map<string, boolean>();
  await chunkStore.matchCandidates(
    ({ sealId, inspection }) => {
      const tenant = open.get(toHex(inspection.shard));
      if (tenant && inspection.epoch < tenant.owner.epoch) named.set(toHex(sealId), false);
      return undefined;
    },
    { all, signal },
  );
  if (named.size > 0)
    for (const tenant of open.values()) await markNamed(clock, tenant, named, signal);
  return chunkStore.matchCandidates(({ sealId }) => named.get(toHex(sealId)), { all, signal });
}

/** Walks everything that the shard names and marks what of it is asked for. */
async function markNamed(
  clock: Clock,
  tenant: OpenTenant,
  named: Map<string, boolean>,
  signal: AbortSignal,
): Promise<void> {
  for await (const references of walkReferences(clock, tenant, signal)) {
    for (const { sealId } of references) {
      const seal = toHex(sealId);
      if (named.has(seal)) named.set(seal, true);
    }
  }
}
