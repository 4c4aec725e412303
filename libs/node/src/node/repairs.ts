import { sameBytes, type TenantId } from "@kiseki/base";
import type { RepairProgress, SealRef } from "@kiseki/chunk-store";
import { findChunk } from "@kiseki/composition";
import type { ChunkAddress } from "@kiseki/format";
import { newOperationId } from "../gateway/scope.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { walkReferences } from "../object/walk-references.ts";

interface RepairOptions {
  /** All that lack fragments, if left out: a walk over the index finds them. */
  readonly refs?: readonly SealRef[] | undefined;
  readonly progress?: (progress: RepairProgress) => void;
  readonly signal: AbortSignal;
}

/**
 * Completes chunks that lack fragments, and tells the shards of the open tenants which of their seals are
 * whole now: dedup asks them alone (STORE §4). What could not be told is found by `noteRepairs`.
 */
export async function repairChunks(
  ports: Pick<DataPorts, "chunkStore" | "prng">,
  tenants: () => Iterable<OpenTenant>,
  { refs, progress, signal }: RepairOptions,
): ReturnType<DataPorts["chunkStore"]["repair"]> {
  let telling: Promise<void> = Promise.resolve();
  const tell = async (ref: SealRef): Promise<void> => {
    const inspection = ports.chunkStore.inspect(ref.chunkId, ref.sealId);
    const tenant = inspection && tenantOf(tenants(), inspection.tenant);
    if (tenant === undefined) return;
    const found = tenant.store.view((map) => findChunk(map, ref.chunkId, ref.sealId));
    if (found !== undefined) await submit(ports, tenant, found, found.missing);
  };
  try {
    return await ports.chunkStore.repair(
      refs,
      (step) => {
        progress?.(step);
        const { completed } = step;
        if (completed === undefined) return;
        telling = telling.then(() => tell(completed));
        telling.catch(() => undefined); // seen below
      },
      signal,
    );
  } finally {
    await telling;
  }
}

function tenantOf(tenants: Iterable<OpenTenant>, id: TenantId): OpenTenant | undefined {
  for (const tenant of tenants) if (sameBytes(tenant.id, id)) return tenant;
  return undefined;
}

/** Tells the shard that the seal lacks fewer fragments than the `missing` that it knows of, if it does. */
async function submit(
  { chunkStore, prng }: Pick<DataPorts, "chunkStore" | "prng">,
  { owner }: OpenTenant,
  { chunkId, pool, profile, sealId }: ChunkAddress & Pick<SealRef, "sealId">,
  known: number,
): Promise<void> {
  const missing = chunkStore.inspect(chunkId, sealId)?.missing;
  if (missing === undefined || missing >= known) return;
  const address = { chunkId, pool, profile };
  await owner.submit({ kind: "repaired", address, sealId, missing }, newOperationId(prng));
}

/** Compares what the tenant's shard knows to lack with the devices: a repair may have been cut before it told. */
export async function noteRepairs(
  ports: Pick<DataPorts, "clock" | "chunkStore" | "prng">,
  tenant: OpenTenant,
  signal: AbortSignal,
): Promise<void> {
  for await (const references of walkReferences(ports.clock, tenant, signal)) {
    for (const reference of references) {
      if (reference.from !== "chunk" || reference.missing === 0) continue;
      await submit(ports, tenant, reference, reference.missing);
    }
  }
}
