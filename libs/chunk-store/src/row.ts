import type { ChunkId, Epoch, OperationId, SealId, ShardId, TenantId } from "@kiseki/base";
import { assert, newBytes, toHex } from "@kiseki/base";
import type { Profile } from "@kiseki/ports";
import { fragmentStoredSize } from "@kiseki/ports";
import { fragmentCount, fragmentsNeeded } from "@kiseki/placement";
import type { SealRef } from "./types.ts";

/** One fragment of a chunk, and all that its record header holds beside the chunk's own fields. */
export interface Fragment {
  /** Ordinal of the device in the index's device table. */
  readonly device: number;
  readonly index: number;
  /** Profile as the header has it: 0 data for copies. */
  readonly data: number;
  readonly parity: number;
  /** Found wrong by a read or a scrub; tried last, counted as missing. */
  readonly bad: boolean;
  readonly zone: number;
  readonly generation: number;
  readonly offset: number;
  readonly group: number;
  readonly durable: number;
  readonly crc: number;
}
/** What the index holds of one (chunk id, seal id). */
export interface Row {
  readonly candidate: boolean;
  readonly plainSize: number;
  readonly keyset: number;
  readonly tenant: TenantId;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly operationId: OperationId;
  readonly fragments: readonly Fragment[];
}

/** Raised when the layout below changes: an index of another version is thrown away. */
export const rowVersion = 1;
/** The row counts them in one byte. */
export const rowFragmentsMax = 255;
const commonSize = 68;
const fragmentRowSize = 36;

/** Where rows are written before they are copied: a view of small bytes costs more than their copy. */
const room = newBytes(commonSize + rowFragmentsMax * fragmentRowSize);
const roomView = new DataView(room.buffer);

export function encodeRow(row: Row): Uint8Array {
  assert(row.fragments.length <= rowFragmentsMax, "a row holds at most 255 fragments");
  const size = commonSize + row.fragments.length * fragmentRowSize;
  const target = room;
  const view = roomView;
  target.fill(0, 0, size);
  target[0] = row.candidate ? 1 : 0;
  target[1] = row.fragments.length;
  view.setUint32(4, row.plainSize, true);
  view.setUint32(8, row.keyset, true);
  target.set(row.tenant, 12);
  target.set(row.shard, 28);
  view.setBigUint64(44, row.epoch, true);
  target.set(row.operationId, 52);
  let at = commonSize;
  for (const fragment of row.fragments) {
    view.setUint16(at, fragment.device, true);
    target[at + 2] = fragment.index;
    target[at + 3] = fragment.data;
    target[at + 4] = fragment.parity;
    target[at + 5] = fragment.bad ? 1 : 0;
    view.setUint32(at + 8, fragment.zone, true);
    view.setUint32(at + 12, fragment.generation, true);
    view.setUint32(at + 16, fragment.offset, true);
    view.setFloat64(at + 20, fragment.group, true);
    view.setUint32(at + 28, Math.min(fragment.group - fragment.durable, 0xffffffff), true);
    view.setUint32(at + 32, fragment.crc, true);
    at += fragmentRowSize;
  }
  return target.slice(0, size);
}

/** The keyset of a row's bytes, without decoding the rest. */
export const keysetOf = (value: Uint8Array): number =>
  new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(8, true);

/** Ids are views of `source`. */
export function decodeRow(source: Uint8Array): Row {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const count = source[1]!;
  assert(source.byteLength === commonSize + count * fragmentRowSize, "a row has its own size");
  const fragments: Fragment[] = [];
  for (let i = 0, at = commonSize; i < count; i++, at += fragmentRowSize) {
    const group = view.getFloat64(at + 20, true);
    fragments.push({
      device: view.getUint16(at, true),
      index: source[at + 2]!,
      data: source[at + 3]!,
      parity: source[at + 4]!,
      bad: source[at + 5] === 1,
      zone: view.getUint32(at + 8, true),
      generation: view.getUint32(at + 12, true),
      offset: view.getUint32(at + 16, true),
      group,
      durable: group - view.getUint32(at + 28, true),
      crc: view.getUint32(at + 32, true),
    });
  }
  return {
    candidate: source[0] === 1,
    plainSize: view.getUint32(4, true),
    keyset: view.getUint32(8, true),
    tenant: source.subarray(12, 28) as TenantId,
    shard: source.subarray(28, 44) as ShardId,
    epoch: view.getBigUint64(44, true) as Epoch,
    operationId: source.subarray(52, 68) as OperationId,
    fragments,
  };
}
/**
 * The one profile of a row that has each of its fragments once, good, each on a device of its own that counts by
 * `isTrusted`; else `undefined`, which says nothing. Makes nothing: walks over all rows look at a million.
 */
export function wholeProfile(
  source: Uint8Array,
  isTrusted: (device: number) => boolean,
): { readonly data: number; readonly parity: number } | undefined {
  const count = source[1]!;
  const data = source[commonSize + 3]!;
  const parity = source[commonSize + 4]!;
  if (count !== data + parity || count > 31) return undefined;
  let seen = 0;
  for (let i = 0, at = commonSize; i < count; i++, at += fragmentRowSize) {
    if (source[at + 3] !== data || source[at + 4] !== parity || source[at + 5] !== 0) {
      return undefined;
    }
    if (!isTrusted(source[at]! | (source[at + 1]! << 8))) return undefined;
    for (let other = commonSize; other < at; other += fragmentRowSize) {
      if (source[other] === source[at] && source[other + 1] === source[at + 1]) return undefined;
    }
    seen |= 1 << source[at + 2]!;
  }
  if (seen !== 2 ** count - 1) return undefined;
  return lastProfile.data === data && lastProfile.parity === parity
    ? lastProfile
    : (lastProfile = { data, parity });
}
let lastProfile = { data: 0, parity: 0 };

export const isCandidate = (row: Uint8Array): boolean => row[0] === 1;

/** chunk id ‖ seal id. */
export function rowKey(chunkId: ChunkId, sealId: SealId): Uint8Array {
  const key = new Uint8Array(48);
  key.set(chunkId, 0);
  key.set(sealId, 32);
  return key;
}
/** What rows that were read are remembered by. */
export const rowName = ({ chunkId, sealId }: SealRef): string => toHex(rowKey(chunkId, sealId));
export const keyChunkId = (key: Uint8Array): ChunkId => key.subarray(0, 32) as ChunkId;
export const keySealId = (key: Uint8Array): SealId => key.subarray(32, 48) as SealId;

export const profileOf = (fragment: Pick<Fragment, "data" | "parity">): Profile =>
  fragment.data === 0
    ? { kind: "copies", copies: fragment.parity }
    : { kind: "ec", data: fragment.data, parity: fragment.parity };
export const payloadSizeOf = (fragment: Fragment, plainSize: number): number =>
  fragmentStoredSize(profileOf(fragment), plainSize, fragment.index);

/**
 * Fragments of one profile of the row: the one that is readable with most to spare by `usable`; a put
 * that was tried again on fewer devices leaves those of another behind.
 */
export function bestSet(
  row: Row,
  usable: (fragment: Fragment) => boolean,
): { readonly profile: Profile; readonly fragments: readonly Fragment[]; readonly spare: number } {
  const first = row.fragments[0];
  assert(first !== undefined, "a row has a fragment");
  let best: { profile: Profile; fragments: Fragment[]; spare: number } | undefined;
  const seen: Fragment[] = [];
  for (const fragment of row.fragments) {
    if (seen.some((other) => other.data === fragment.data && other.parity === fragment.parity))
      continue;
    seen.push(fragment);
    const fragments = row.fragments.filter(
      (other) => other.data === fragment.data && other.parity === fragment.parity,
    );
    const profile = profileOf(fragment);
    const there = new Set(fragments.filter(usable).map((other) => other.index)).size;
    const spare = there - fragmentsNeeded(profile);
    if (best === undefined || spare > best.spare) best = { profile, fragments, spare };
  }
  assert(best !== undefined, "a row has a profile");
  return best;
}
/** Both say they are the same piece of the chunk. */
export const samePart = (a: Fragment, b: Fragment): boolean =>
  a.index === b.index && a.data === b.data && a.parity === b.parity;

/** Leaves out bad ones beside which the same part counts: no repair would replace them, and they keep a zone. */
export const withoutSpareBad = (
  fragments: readonly Fragment[],
  usable: (fragment: Fragment) => boolean,
): readonly Fragment[] =>
  fragments.filter(
    (one) => !one.bad || !fragments.some((other) => samePart(other, one) && usable(other)),
  );

/**
 * One usable fragment per index, no two on one device (those would be lost together), for as many indexes as
 * can be. An index may have several: what a rebuilt row found of a repair stands beside what was repaired.
 */
export function spread(
  fragments: readonly Fragment[],
  usable: (fragment: Fragment) => boolean,
): ReadonlyMap<number, Fragment> {
  const counted = fragments.filter(usable);
  const byIndex = new Map<number, Fragment>();
  const byDevice = new Map<number, Fragment>();
  /** Gives the index a device; whoever has that device may take another one of its own. */
  const assign = (index: number, tried: Set<number>): boolean => {
    for (const fragment of counted) {
      if (fragment.index !== index || tried.has(fragment.device)) continue;
      tried.add(fragment.device);
      const holder = byDevice.get(fragment.device);
      if (holder !== undefined && !assign(holder.index, tried)) continue;
      byDevice.set(fragment.device, fragment);
      byIndex.set(index, fragment);
      return true;
    }
    return false;
  };
  for (const { index } of counted) if (!byIndex.has(index)) assign(index, new Set());
  return byIndex;
}
/**
 * Indexes of the profile that no usable fragment of `fragments` has. Two on one device, which a device that
 * came back may have brought, would be lost together: the second of them counts as lacking.
 */
export function lacking(
  profile: Profile,
  fragments: readonly Fragment[],
  usable: (fragment: Fragment) => boolean,
): number[] {
  const there = spread(fragments, usable);
  const missing: number[] = [];
  for (let i = 0; i < fragmentCount(profile); i++) if (!there.has(i)) missing.push(i);
  return missing;
}
