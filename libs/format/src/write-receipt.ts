import {
  assert,
  type ChunkId,
  chunkId,
  type Epoch,
  epoch as asEpoch,
  newBytes,
  type SealId,
  sealId,
  type TenantId,
  tenantId,
} from "@kiseki/base";
import type { RowProfile } from "./rows/types.ts";

/**
 * What whoever keeps the bytes says of a sealed chunk once it is synced; the owner commits a client's content against
 * nothing else (KEYS §4). Little-endian; drawn in `docs/formats/bulk-frame.md`.
 */
export const receiptSize = 160;
export const receiptMacSize = 32;
const macOffset = receiptSize - receiptMacSize;
const version = 1;
const chunkSizeMax = 4 * 1024 * 1024;

export interface WriteReceipt {
  readonly tenant: TenantId;
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  readonly profile: RowProfile;
  readonly keyset: number;
  readonly pool: number;
  readonly placementEpoch: number;
  /** Plaintext bytes, `[1, 4 MiB]`. */
  readonly size: number;
  /** Fragments of the profile that are not synced. */
  readonly missing: number;
  /** Of the shard's owner whom it is for. */
  readonly epoch: Epoch;
  /** CRC-32C of the sealed bytes. */
  readonly payloadCrc: number;
}

/** The receipt with 32 zeros where its MAC belongs. */
export function encodeReceipt(receipt: WriteReceipt): Uint8Array {
  const { profile } = receipt;
  assert(receipt.size >= 1 && receipt.size <= chunkSizeMax, "a chunk has 1 byte to 4 MiB");
  const target = newBytes(receiptSize);
  const view = new DataView(target.buffer);
  view.setUint8(0, version);
  view.setUint8(1, profile.kind === "copies" ? 1 : 2);
  view.setUint8(2, profile.kind === "copies" ? profile.copies : profile.data);
  view.setUint8(3, profile.kind === "copies" ? 0 : profile.parity);
  view.setUint32(4, receipt.keyset, true);
  view.setUint32(8, receipt.pool, true);
  view.setUint32(12, receipt.placementEpoch, true);
  view.setUint32(16, receipt.size, true);
  view.setUint32(20, receipt.missing, true);
  view.setBigUint64(24, receipt.epoch, true);
  target.set(receipt.tenant, 32);
  target.set(receipt.chunkId, 48);
  target.set(receipt.sealId, 80);
  view.setUint32(96, receipt.payloadCrc, true);
  return target;
}

/** `undefined` for what is no receipt of this version; its MAC is for the caller to check first. */
export function decodeReceipt(source: Uint8Array): WriteReceipt | undefined {
  if (source.byteLength !== receiptSize) return undefined;
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const profile = profileOf(view);
  const size = view.getUint32(16, true);
  const isBlank = source.subarray(100, macOffset).every((byte) => byte === 0);
  if (view.getUint8(0) !== version || profile === undefined || !isBlank) return undefined;
  if (size < 1 || size > chunkSizeMax) return undefined;
  return {
    profile,
    keyset: view.getUint32(4, true),
    pool: view.getUint32(8, true),
    placementEpoch: view.getUint32(12, true),
    size,
    missing: view.getUint32(20, true),
    epoch: asEpoch(view.getBigUint64(24, true)),
    tenant: tenantId(source.slice(32, 48)),
    chunkId: chunkId(source.slice(48, 80)),
    sealId: sealId(source.slice(80, 96)),
    payloadCrc: view.getUint32(96, true),
  };
}

function profileOf(view: DataView): RowProfile | undefined {
  const [kind, first, second] = [view.getUint8(1), view.getUint8(2), view.getUint8(3)];
  if (kind === 1 && first >= 1 && first <= 9 && second === 0)
    return { kind: "copies", copies: first };
  const isCoded = kind === 2 && first >= 2 && first <= 16 && second >= 1 && second <= 8;
  return isCoded ? { kind: "ec", data: first, parity: second } : undefined;
}

/** What the MAC is over, and the MAC: views of `receipt`. */
export function splitReceipt(receipt: Uint8Array): {
  readonly signed: Uint8Array;
  readonly mac: Uint8Array;
} {
  assert(receipt.byteLength === receiptSize, "a receipt has its size");
  return { signed: receipt.subarray(0, macOffset), mac: receipt.subarray(macOffset) };
}
