import type { Keyset } from "@kiseki/base";

/** What still lies under a keyset, as a scan counted it (KEYS §1); `undefined`: not counted yet. */
export interface KeysetUse {
  readonly chunks: number | undefined;
  readonly smallContents: number | undefined;
  /** Salts of objects under customers' keys (SSE-C), of uploads too. */
  readonly customerSalts: number | undefined;
  /** idKey and dirSecret sealed under the keyset's root: 0 … 2. */
  readonly tenantSecrets: number | undefined;
  readonly shardFiles: number | undefined;
  readonly logs: number | undefined;
  readonly snapshots: number | undefined;
}

/** True when the keyset's shares may be deleted: it is not the current one, and a scan found nothing under it. */
export function canDropKeyset(keyset: Keyset, current: Keyset, use: KeysetUse): boolean {
  if (keyset >= current) return false;
  const { chunks, smallContents, customerSalts, tenantSecrets, shardFiles, logs, snapshots } = use;
  const all = [chunks, smallContents, customerSalts, tenantSecrets, shardFiles, logs, snapshots];
  return all.every((n) => n === 0);
}

/** Keysets whose root must be held: the current one and every older one with something left or not counted. */
export function liveKeysets(
  current: Keyset,
  uses: ReadonlyMap<Keyset, KeysetUse>,
): readonly Keyset[] {
  const live = [...uses].filter(([keyset, use]) => !canDropKeyset(keyset, current, use));
  return live.map(([keyset]) => keyset).toSorted((a, b) => a - b);
}

/** Master epochs that may go: older than the newest, and no share is wrapped by them. */
export function droppableMasters(
  epochs: readonly number[],
  wrappedBy: readonly number[],
): readonly number[] {
  const newest = Math.max(0, ...epochs);
  const used = new Set(wrappedBy);
  return epochs.filter((epoch) => epoch < newest && !used.has(epoch));
}
