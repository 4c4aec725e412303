/** What the model test shares: quotas, what the plain model says that counts, and when a write is refused. */
import type { Prng } from "@kiseki/base";
import { decodeRowWrites, isLoggedNoticeKey } from "@kiseki/format";
import { expect } from "bun:test";
import type { Bed } from "./bed.test-helper.ts";
import { apply } from "./decide.ts";
import { memoryMap } from "./memory-map.test-helper.ts";
import { namespaceA, namespaceB } from "./bed.test-helper.ts";
import type { PlainNamespace, PlainUpload } from "./plain-model.test-helper.ts";
import { lookupQuota } from "./quotas.ts";

export const ids = { a: namespaceA, b: namespaceB } as const;
export type Name = keyof typeof ids;
type QuotaOwner = Name | "tenant";

export interface QuotaWorld {
  readonly prng: Prng;
  readonly bed: Bed;
  readonly namespaces: Map<Name, PlainNamespace>;
  /** By id in hex. */
  readonly uploads: Map<string, PlainUpload>;
  /** Limits of both buckets and of the tenant. */
  readonly quotas: Map<QuotaOwner, { readonly bytes?: number; readonly objects?: number }>;
  refusedByQuota: number;
}

function plainTotals(world: QuotaWorld, owner: QuotaOwner): { bytes: number; objects: number } {
  let bytes = 0;
  let objects = 0;
  for (const [name, { keys }] of world.namespaces) {
    if (owner !== "tenant" && owner !== name) continue;
    for (const versions of keys.values()) {
      objects += versions.length;
      for (const { size } of versions) bytes += size;
    }
  }
  for (const { namespace, parts } of world.uploads.values()) {
    if (owner !== "tenant" && owner !== namespace) continue;
    for (const part of parts.values()) bytes += partSize(part);
  }
  return { bytes, objects };
}
export const partSize = (part: { chunks: readonly number[]; isSmall: boolean }): number =>
  part.isSmall ? 42 : 100 * part.chunks.length;

/** Does `act` to the model; undoes it and expects the machine to have refused when a quota says so. */
export function withinQuota(
  world: QuotaWorld,
  name: Name,
  answer: unknown,
  act: () => void,
): boolean {
  const owners = (["tenant", name] as const).map((owner) => ({
    limits: world.quotas.get(owner),
    before: plainTotals(world, owner),
    owner,
  }));
  const keys = new Map(world.namespaces.get(name)!.keys);
  const uploads = new Map(
    [...world.uploads].map(([id, upload]) => [id, { ...upload, parts: new Map(upload.parts) }]),
  );
  act();
  const isExceeded = owners.some(({ limits, before, owner }) => {
    const after = plainTotals(world, owner);
    return (["bytes", "objects"] as const).some(
      (what) => after[what] > before[what] && after[what] > (limits?.[what] ?? Infinity),
    );
  });
  expect(answer === "quota_exceeded").toBe(isExceeded);
  if (!isExceeded) return true;
  world.refusedByQuota += 1;
  const { keys: changed } = world.namespaces.get(name)!;
  changed.clear();
  for (const [key, versions] of keys) changed.set(key, versions);
  world.uploads.clear();
  for (const [id, upload] of uploads) world.uploads.set(id, upload);
  return false;
}

export function setSomeQuota(world: QuotaWorld): void {
  const { prng, bed } = world;
  const owner = (["a", "b", "tenant"] as const)[prng.below(3)]!;
  const { bytes, objects } = plainTotals(world, owner);
  const limits = {
    ...(prng.chance(1, 2) ? { bytes: bytes + prng.below(2000) - 200 } : {}),
    ...(prng.chance(1, 2) ? { objects: objects + prng.below(20) - 2 } : {}),
  };
  for (const what of ["bytes", "objects"] as const) {
    if (limits[what] !== undefined) limits[what] = Math.max(0, limits[what]);
  }
  const answer = bed.decide({
    kind: "set_quota",
    ...(owner === "tenant" ? {} : { namespace: ids[owner] }),
    limits: {
      ...(limits.bytes === undefined ? {} : { bytesMax: limits.bytes }),
      ...(limits.objects === undefined ? {} : { objectsMax: limits.objects }),
    },
  });
  expect(answer).toEqual({ kind: "none" });
  if (Object.keys(limits).length === 0) world.quotas.delete(owner);
  else world.quotas.set(owner, limits);
}
export function compareQuotas(world: QuotaWorld): void {
  for (const owner of ["a", "b", "tenant"] as const) {
    const limits = world.quotas.get(owner);
    const row = lookupQuota(world.bed.map, owner === "tenant" ? undefined : ids[owner]);
    const wanted = limits && {
      bytesMax: limits.bytes,
      objectsMax: limits.objects,
      ...plainTotals(world, owner),
    };
    expect(row).toEqual(wanted);
  }
}

/** The version of an answer; any stands in for what a quota refused. */
export function madeVersion(answer: ReturnType<Bed["decide"]>): {
  version: bigint;
  isNull: boolean;
} {
  if (answer === "quota_exceeded") return { version: 0n, isNull: true };
  if (typeof answer === "string" || answer.kind !== "object") throw new Error(String(answer));
  return answer;
}

/** The log gives the same map again. */
export function replay(bed: Bed): void {
  const again = memoryMap();
  for (const payload of bed.log) {
    const rows = decodeRowWrites(payload);
    if (rows instanceof Error) throw rows;
    apply(again, { rows });
  }
  expect(again.rows()).toEqual(bed.map.rows());
}

/** Whoever subscribed to the bucket is told once of each change of an object since `from`, and nobody else. */
export function checkNotices(world: QuotaWorld, name: Name, from: number): void {
  const isSubscribed = world.namespaces.get(name)!.settings.has("notification");
  for (const payload of world.bed.log.slice(from)) {
    const rows = decodeRowWrites(payload);
    if (rows instanceof Error) throw rows;
    const notices = rows.filter(({ key }) => isLoggedNoticeKey(key));
    expect(notices).toHaveLength(isSubscribed ? 1 : 0);
  }
}
