import {
  assert,
  AssertionError,
  customerKeyset,
  failpoint,
  type Keyset,
  millis,
  newBytes,
  operationId,
  sameBytes,
  sealId,
} from "@kiseki/base";
import { ChunkStoreError, roomFor } from "@kiseki/chunk-store";
import { lookupChunk, type Operation, type Reference } from "@kiseki/composition";
import { chunkShare } from "../object/budget.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { walkReferences } from "../object/walk-references.ts";

/** Seals that are opened and sealed at once: their commits share batches. */
const sealsAtOnce = 8;

export interface ResealOptions {
  /** Asked for each reference, and for the new seal before it is committed: one that is due still is not kept. */
  readonly isDue: (seal: Pick<Reference, "chunkId" | "sealId" | "keyset" | "pool">) => boolean;
  /** Metric that counts the seals replaced. */
  readonly counter: "kiseki_chunks_resealed_total" | "kiseki_chunks_widened_total";
  readonly signal: AbortSignal;
  /** Plaintext bytes; what requests do comes first. */
  readonly bytesPerSecond: number;
  /** Seals moved so far in this round. */
  readonly progress?: (resealed: number) => void;
}
export interface ResealOutcome {
  readonly resealed: number;
  /** Content under older keysets that cannot be read now: lost or tampered with. A later round tries again. */
  readonly unreadable: number;
}

type Fate = "resealed" | "gone" | "unreadable" | "waiting";

/**
 * Seals what the tenant's shard names and is due again, under the current keyset and as the pool writes now:
 * same chunk id, new seal; the change that makes the new seal live sends the old one to `drop` (KEYS §1). Ends
 * early when the tenant closes or `signal` aborts, and goes on where it is begun again: what is done is done.
 */
export async function resealWhere(
  ports: DataPorts,
  tenant: OpenTenant,
  options: ResealOptions,
): Promise<ResealOutcome> {
  let [resealed, unreadable] = [0, 0];
  for await (const references of walkReferences(ports.clock, tenant, options.signal)) {
    const old = references.filter((each) => isNaming(each) && options.isDue(each));
    for (let at = 0; at < old.length; at += sealsAtOnce) {
      const group = old.slice(at, at + sealsAtOnce);
      const fates = await resealGroup(ports, tenant, group, options);
      resealed += fates.filter((fate) => fate === "resealed").length;
      unreadable += fates.filter((fate) => fate === "unreadable").length;
      options.progress?.(resealed);
    }
  }
  return { resealed, unreadable };
}

/** Content under a customer's key stays as it is sealed: nobody here can open it (KEYS §1). */
const isNaming = ({ from, keyset }: Reference): boolean =>
  keyset !== customerKeyset && (from === "chunk" || from === "cold" || from === "manifest");

/** One group at no more than the rate asked for. */
async function resealGroup(
  ports: DataPorts,
  tenant: OpenTenant,
  group: readonly Reference[],
  options: ResealOptions,
): Promise<readonly Fate[]> {
  const { clock, metrics } = ports;
  const { signal, bytesPerSecond, counter } = options;
  const begun = clock.monotonic();
  const settled = await Promise.allSettled(
    group.map((reference) => resealOne(ports, tenant, reference, options)),
  );
  const fates = settled.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
  metrics.add(counter, fates.filter((fate) => fate === "resealed").length);
  const size = group.reduce((sum, each) => sum + each.size, 0);
  const rest = (size / bytesPerSecond) * 1000 - (clock.monotonic() - begun);
  if (rest >= 1) await clock.sleep(millis(Math.ceil(rest)), signal);
  return fates;
}

/** Whether the row that was found names the seal still; a row of small content is checked by the commit. */
function isNamed(tenant: OpenTenant, { from, sealId, ...address }: Reference): boolean {
  if (from !== "chunk") return true;
  const live = tenant.store.view((map) => lookupChunk(map, address));
  return live !== undefined && sameBytes(live.sealId, sealId);
}

async function resealOne(
  ports: DataPorts,
  tenant: OpenTenant,
  reference: Reference,
  { isDue, signal }: ResealOptions,
): Promise<Fate> {
  const { budget, datapath } = ports;
  const { size } = reference;
  using held = new DisposableStack();
  held.use(await budget.take(chunkShare(size), signal));
  const room = roomFor({ start: 0, end: size }, size);
  const lease = held.use(await datapath.arena.borrow(room, signal));
  held.use(tenant.readers.enter()); // before it is looked up: then it is not collected under the read
  if (!isNamed(tenant, reference)) return "gone";
  const offset = await openOld(ports, tenant, reference, { lease, offset: 0, size: room });
  if (typeof offset !== "number") return offset;
  const stored = await storeNew(ports, tenant, reference, { lease, offset, size }, signal);
  failpoint("reseal-stored");
  if (isDue({ ...stored.stored, keyset: stored.keyset, pool: reference.pool })) {
    ports.chunkStore.remove([stored.stored]); // a device went meanwhile
    return "waiting";
  }
  await commitNew(ports, tenant, stored);
  failpoint("reseal-committed");
  return "resealed";
}

type ArenaPart = Parameters<DataPorts["chunkStore"]["put"]>[0]["source"];

/** Where the plaintext lies in the lease, or why it is not there. */
async function openOld(
  { chunkStore, crypto }: DataPorts,
  tenant: OpenTenant,
  { chunkId, sealId, keyset, size, pool }: Reference,
  target: ArenaPart,
): Promise<number | Fate> {
  const keyring = tenant.keys("read").keyset(keyset);
  assert(keyring !== undefined, "what is named is under a live keyset");
  const dek = keyring.chunkDek(chunkId, sealId, "none");
  try {
    const outcome = await chunkStore.get({ pool, chunkId, sealId, dek, size, target });
    if (outcome.kind === "read") return outcome.offset;
    return outcome.kind === "not_found" ? "gone" : "unreadable";
  } catch (reason) {
    if (reason instanceof ChunkStoreError && reason.code === "lost") return "unreadable";
    throw reason;
  } finally {
    crypto.wipe(dek);
  }
}

async function storeNew(
  { chunkStore, crypto, prng }: DataPorts,
  tenant: OpenTenant,
  reference: Reference,
  source: ArenaPart,
  signal: AbortSignal,
): Promise<Resealed> {
  const keys = tenant.keys("write");
  const { chunkId, size } = reference;
  const fresh = sealId(prng.fill(newBytes(16)));
  const id = operationId(prng.fill(newBytes(16)));
  const isSmall = reference.from !== "chunk";
  const dek = keys.writing.chunkDek(chunkId, fresh, "none");
  try {
    const { pool, profile, placementEpoch, missing } = await chunkStore.put(
      {
        pool: reference.pool,
        tenant: tenant.id,
        shard: tenant.shard,
        epoch: tenant.owner.epoch,
        operationId: id,
        keyset: keys.current,
        chunkId,
        sealId: fresh,
        dek,
        source,
        small: isSmall,
      },
      signal,
    );
    const seal = { sealId: fresh, keyset: keys.current, placementEpoch, size, missing };
    const { row, sealId: old } = reference;
    const ref = { chunkId, pool, profile, ...seal };
    // The chunk's row stays under its address, whatever the profile is now: its devices know their own.
    const address = { chunkId, pool: reference.pool, profile: reference.profile };
    const operation: Operation = isSmall
      ? { kind: "small_resealed", row, sealId: old, ref }
      : { kind: "resealed", address, sealId: old, seal };
    return { id, operation, stored: { chunkId, sealId: fresh }, keyset: keys.current };
  } finally {
    crypto.wipe(dek);
  }
}
interface Resealed {
  readonly id: ReturnType<typeof operationId>;
  readonly operation: Operation;
  readonly stored: Pick<Reference, "chunkId" | "sealId">;
  readonly keyset: Keyset;
}

/** @throws when the shard does not take it; then what was stored goes again, unless a bug hides whether it did. */
async function commitNew(
  { chunkStore }: DataPorts,
  tenant: OpenTenant,
  { id, operation, stored }: Resealed,
): Promise<void> {
  try {
    const outcome = await tenant.owner.submit(operation, id);
    if (outcome.kind !== "done") throw new Error(`Cannot reseal: the shard is ${outcome.code}`);
  } catch (reason) {
    if (!(reason instanceof AssertionError)) chunkStore.remove([stored]);
    throw reason;
  }
}
