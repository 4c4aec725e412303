import type { Brand } from "./brand.ts";
import { fromHex, toHex } from "./bytes.ts";

/** Fixed-size ids are byte arrays of a plain `ArrayBuffer`; as keys of a `Map` use `toHex`. Never written after they are made. */
export type TenantId = Brand<Uint8Array, "TenantId">; // 16 bytes
export type ShardId = Brand<Uint8Array, "ShardId">; // 16 bytes
export type NamespaceId = Brand<Uint8Array, "NamespaceId">; // 16 bytes
export type DeviceId = Brand<Uint8Array, "DeviceId">; // 16 bytes
export type OperationId = Brand<Uint8Array, "OperationId">; // 16 bytes
export type ChunkId = Brand<Uint8Array, "ChunkId">; // 32 bytes
export type SealId = Brand<Uint8Array, "SealId">; // 16 bytes
/** 64-bit inode number, unique per tenant, never reused; 0 is none. */
export type InodeId = Brand<bigint, "InodeId">;

function sized<T extends Uint8Array>(source: Uint8Array, size: number, what: string): T {
  if (source.byteLength !== size) {
    throw new RangeError(`Cannot use ${source.byteLength} bytes as ${what}: it has ${size}`);
  }
  return source as T;
}
export const tenantId = (source: Uint8Array): TenantId => sized(source, 16, "a tenant id");
export const shardId = (source: Uint8Array): ShardId => sized(source, 16, "a shard id");
export const namespaceId = (source: Uint8Array): NamespaceId => sized(source, 16, "a namespace id");
export const deviceId = (source: Uint8Array): DeviceId => sized(source, 16, "a device id");
export const operationId = (source: Uint8Array): OperationId =>
  sized(source, 16, "an operation id");
export const chunkId = (source: Uint8Array): ChunkId => sized(source, 32, "a chunk id");
export const sealId = (source: Uint8Array): SealId => sized(source, 16, "a seal id");
/** @throws {RangeError} outside `[1, 2^64)`. */
export function inodeId(n: bigint): InodeId {
  if (n < 1n || n >= 1n << 64n) throw new RangeError(`Cannot use ${n} as an inode id`);
  return n as InodeId;
}

const texts = new WeakMap<Uint8Array, string>();
/** `toHex` of an id, remembered with it: for ids that are asked for in each request. */
export function idText(id: Uint8Array): string {
  let text = texts.get(id);
  if (text === undefined) texts.set(id, (text = toHex(id)));
  return text;
}

/** 16 bytes as 8-4-4-4-12 hex. */
export function toUuid(id: Uint8Array): string {
  const hex = toHex(sized(id, 16, "a UUID"));
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
/** @throws {RangeError} when `text` is not a UUID in hex, hyphens optional. */
export function fromUuid(text: string): Uint8Array {
  return sized(fromHex(text.replaceAll("-", "")), 16, "a UUID");
}
