import { toHex, wallTime } from "@kiseki/base";
import type { ChunkStore } from "@kiseki/chunk-store";
import { type Drop, hasReclaim, listDrops, listReferences } from "@kiseki/composition";
import { newOperationId } from "../gateway/scope.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";

const dropsPerRound = 512;
const referencesPerPage = 4096;

/**
 * One round of garbage collection for one tenant: frees what large deletions left, then deletes condemned
 * seals that nobody can read any more, then says so in the log (STORE §4). Returns the seals deleted.
 */
export async function collectGarbage(ports: DataPorts, tenant: OpenTenant): Promise<number> {
  await reclaim(ports, tenant);
  const before = wallTime(ports.clock.realtime() + 1);
  const drops = tenant.store.view((map) => listDrops(map, before, dropsPerRound));
  if (drops.length === 0) return 0;
  await tenant.readers.allLeft();
  const free = drops.filter((drop: Drop) => !tenant.pins.has(drop.chunkId));
  if (free.length === 0) return 0;
  ports.chunkStore.remove(free);
  const outcome = await tenant.owner.submit(
    {
      kind: "dropped",
      drops: free.map(({ time, chunkId, sealId }) => ({ time, chunkId, sealId })),
    },
    newOperationId(ports.prng),
  );
  if (outcome.kind !== "done") return 0;
  ports.metrics.add("kiseki_chunks_collected_total", free.length);
  return free.length;
}

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
 * Matches what recovery found on the devices with what the open tenants' shards name; the rest of those
 * tenants' is garbage, since its epoch cannot commit any more. Other tenants' candidates wait.
 */
export async function matchOrphans(
  chunkStore: ChunkStore,
  tenants: Iterable<OpenTenant>,
  signal: AbortSignal,
): Promise<{ readonly kept: number; readonly removed: number; readonly left: number }> {
  const open = new Map([...tenants].map((tenant) => [toHex(tenant.shard), tenant]));
  const named = new Map<string, boolean>();
  await chunkStore.matchCandidates(
    ({ sealId, inspection }) => {
      if (open.has(toHex(inspection.shard))) named.set(toHex(sealId), false);
      return undefined;
    },
    { signal },
  );
  if (named.size > 0) for (const tenant of open.values()) await markNamed(tenant, named, signal);
  return chunkStore.matchCandidates(({ sealId }) => named.get(toHex(sealId)), { signal });
}

/** Walks everything that the shard names, a page at a time, and marks what of it is asked for. */
async function markNamed(
  tenant: OpenTenant,
  named: Map<string, boolean>,
  signal: AbortSignal,
): Promise<void> {
  let after: Uint8Array | undefined;
  do {
    signal.throwIfAborted();
    const from = after;
    const page = tenant.store.view((map) => listReferences(map, from, referencesPerPage));
    for (const { sealId } of page.references) {
      const seal = toHex(sealId);
      if (named.has(seal)) named.set(seal, true);
    }
    after = page.next;
    await new Promise((resolve) => setImmediate(resolve)); // requests go on between pages
  } while (after !== undefined);
}
