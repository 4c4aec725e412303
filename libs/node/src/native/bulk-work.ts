import { newBytes, operationId, storedKeyset, toHex } from "@kiseki/base";
import { ChunkStoreError } from "@kiseki/chunk-store";
import {
  bulkAnswerSize,
  type BulkEntry,
  type BulkRequest,
  bulkSealedSize,
  type BulkStatus,
  type ChunkCapability,
} from "@kiseki/format";
import { type ArenaLease, segmentOverhead, segmentSize } from "@kiseki/ports";
import { codeOf } from "./failure.ts";
import type { Native } from "./native.ts";

type WriteRequest = Extract<BulkRequest, { kind: "write" }>;
type ReadRequest = Extract<BulkRequest, { kind: "read" }>;

/** What a request is answered; `payload` stays until the answer is disposed of. */
export interface BulkOutcome extends Disposable {
  readonly status: BulkStatus;
  readonly payload: Uint8Array | undefined;
  /** The payload lies behind room for the answer's header in one piece of memory. */
  readonly whole?: Uint8Array;
  readonly retryAfterMs: number;
}
const nothing = (): void => undefined;
export const bulkStatus = (status: BulkStatus): BulkOutcome => ({
  status,
  payload: undefined,
  retryAfterMs:
    status === "busy" || status === "unavailable" ? 100 : status === "no_space" ? 1000 : 0,
  [Symbol.dispose]: nothing,
});
const tagSize = 16;
const sealedSegmentSize = segmentSize + segmentOverhead;

/**
 * What tells sealed bytes apart: the tags of their segments. Under one key and nonce no two plaintexts have the same ones.
 */
export function fingerprintOf({ ports }: Native, sealed: Uint8Array): Uint8Array {
  const tags: Uint8Array[] = [];
  for (let start = 0; start < sealed.byteLength; start += sealedSegmentSize) {
    const end = Math.min(start + sealedSegmentSize, sealed.byteLength);
    tags.push(sealed.subarray(end - tagSize, end));
  }
  return ports.crypto.sha256(...tags);
}

/** Whether a capability is for this; else what the client is told. `certified`: the tenant of the connection's certificate. */
export function checkRight(
  native: Native,
  request: BulkEntry & { readonly kind: "read" | "write" },
  certified: string | undefined,
): ChunkCapability | BulkStatus {
  const { tickets, clock } = native;
  const { capability, chunkId, sealId } = request;
  const right = tickets.check(capability, chunkId, sealId, clock.realtime());
  if (right === undefined || right.right !== request.kind) return "forbidden";
  if (certified !== undefined && certified !== toHex(right.tenant)) return "forbidden";
  if (right.right === "read" && right.size !== request.size) return "forbidden";
  return right.epoch < native.node.epoch ? "stale" : right;
}

export function statusOf(native: Native, reason: unknown): BulkStatus {
  if (reason instanceof ChunkStoreError) {
    if (reason.code === "bad_checksum") return "checksum";
    if (reason.code === "no_space") return "no_space";
    return reason.code === "lost" ? "lost" : "unavailable";
  }
  if (native.stopping.aborted || codeOf(reason) === "closed") return "unavailable";
  native.onBug("bulk", reason);
  return "internal";
}

/** Keeps a chunk that a client has sealed: coded, on its devices and synced, and a receipt for it (KEYS §4). Takes `lease` over. */
export async function workWrite(
  native: Native,
  request: WriteRequest,
  right: ChunkCapability,
  sealed: { readonly lease: ArenaLease; readonly share: Disposable; readonly crc: number },
): Promise<BulkOutcome> {
  using held = new DisposableStack();
  held.use(sealed.share);
  held.use(sealed.lease);
  try {
    if (sealed.crc !== request.payloadCrc) return bulkStatus("checksum");
    const tenant = await native.openTenant(right.tenant, "read", native.stopping);
    if (right.epoch !== tenant.owner.epoch) return bulkStatus("stale");
    const { lease } = sealed;
    const size = bulkSealedSize(request);
    const fingerprint = fingerprintOf(native, lease.bytes.subarray(0, size));
    const kept = native.ledger.keep(request, fingerprint, () =>
      keep(native, request, right, { lease, offset: 0, size }),
    );
    if (kept === "unknown") return bulkStatus("stale");
    if (kept === "conflict") return bulkStatus("conflict");
    const payload = await kept;
    return { status: "ok", payload, retryAfterMs: 0, [Symbol.dispose]: nothing };
  } catch (reason) {
    return bulkStatus(statusOf(native, reason));
  }
}

async function keep(
  native: Native,
  request: WriteRequest,
  { tenant: id, keyset, epoch, pool: wanted }: ChunkCapability,
  sealed: { readonly lease: ArenaLease; readonly offset: number; readonly size: number },
): Promise<Uint8Array> {
  const { ports, tickets, prng, stopping } = native;
  const { chunkId, sealId, size, payloadCrc } = request;
  const tenant = await native.openTenant(id, "read", stopping);
  const placement = await ports.chunkStore.putSealed(
    {
      tenant: id,
      shard: tenant.shard,
      epoch,
      operationId: operationId(prng.fill(newBytes(16))),
      keyset: storedKeyset(keyset),
      chunkId,
      sealId,
      size,
      sealed,
      sealedCrc: payloadCrc,
      small: request.isSmall,
      pool: wanted,
    },
    stopping,
  );
  ports.metrics.add("kiseki_chunk_write_bytes_total", size);
  const { profile, pool, placementEpoch, missing } = placement;
  const where = { profile, pool, placementEpoch, missing };
  return tickets.sign({ tenant: id, chunkId, sealId, ...where, keyset, size, epoch, payloadCrc });
}

/** Sealed segments of a chunk that a plan named. */
export async function workRead(
  native: Native,
  request: ReadRequest,
  right: ChunkCapability,
  signal: AbortSignal,
): Promise<BulkOutcome> {
  using held = new DisposableStack();
  try {
    const { ports } = native;
    const size = bulkSealedSize(request);
    const room = bulkAnswerSize + size;
    held.use(await ports.budget.take(room, signal, "read"));
    const lease = held.use(await ports.datapath.arena.borrow(room, signal));
    const { chunkId, sealId, segmentFirst, segmentEnd, isVerifying } = request;
    const outcome = await ports.chunkStore.getSealed({
      chunkId,
      sealId,
      size: request.size,
      segmentFirst,
      segmentEnd,
      isVerifying,
      pool: right.pool,
      target: { lease, offset: bulkAnswerSize, size },
    });
    if (outcome !== "read") return bulkStatus(outcome);
    ports.metrics.add("kiseki_chunk_read_bytes_total", size);
    const owned = held.move();
    return {
      status: "ok",
      payload: lease.bytes.subarray(bulkAnswerSize, room),
      whole: lease.bytes.subarray(0, room),
      retryAfterMs: 0,
      [Symbol.dispose]: () => owned.dispose(),
    };
  } catch (reason) {
    return bulkStatus(signal.aborted ? "unavailable" : statusOf(native, reason));
  }
}
