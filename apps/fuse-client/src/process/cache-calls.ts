import type { CacheStats } from "../cache-counters.ts";
import type { Call } from "./connection.ts";
import { type FieldReader, FieldWriter } from "./frame.ts";

/** How often, and within how many microseconds a share of them. */
interface Took {
  readonly count: number;
  within(share: number): number;
}
/** Whose caches the calls are about. */
export interface CacheOwner {
  readonly settings: { readonly cacheMode: string };
  readonly latencies: { readonly read: Took; readonly write: Took } | undefined;
  stats(): CacheStats;
  wipe(): Promise<void>;
}
/** Of blocks on disk, in microseconds: so many, half of them and 99 of 100 within. */
interface LatencyRow {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
}
export interface LatencyRows {
  readonly read: LatencyRow;
  readonly write: LatencyRow;
}

/** In the order of the answer. */
const statsFields = [
  "l1Hits",
  "l2Hits",
  "misses",
  "bypasses",
  "errors",
  "l1Bytes",
  "l2Bytes",
  "metaHits",
  "metaMisses",
  "wipes",
] as const satisfies readonly (keyof CacheStats)[];

/** Of an answer. @throws {ProtocolError} */
export function readStats(fields: FieldReader): CacheStats {
  const stats = Object.fromEntries(statsFields.map((name) => [name, fields.u64()]));
  fields.end();
  return stats as unknown as CacheStats;
}

/** Of an answer. @throws {ProtocolError} */
export function readLatencies(fields: FieldReader): LatencyRows {
  const row = (): LatencyRow => ({ count: fields.u64(), p50: fields.u64(), p99: fields.u64() });
  const rows = { read: row(), write: row() };
  fields.end();
  return rows;
}

/** Calls about the caches of this process. */
export function cacheCalls(owner: CacheOwner) {
  return {
    cacheStats: (fields) => {
      fields.end();
      const stats = owner.stats();
      const answer = new FieldWriter(80);
      for (const name of statsFields) answer.u64(stats[name]);
      return answer;
    },
    cacheLatencies: (fields) => {
      fields.end();
      const answer = new FieldWriter(48);
      for (const each of [owner.latencies?.read, owner.latencies?.write]) {
        answer.u64(each?.count ?? 0).u64(each?.within(0.5) ?? 0);
        answer.u64(each?.within(0.99) ?? 0);
      }
      return answer;
    },
    cacheMode: (fields) => {
      fields.end();
      return new FieldWriter().text(owner.settings.cacheMode);
    },
    wipe: async (fields) => {
      fields.end();
      await owner.wipe();
      return undefined;
    },
  } satisfies Readonly<Record<string, Call>>;
}
