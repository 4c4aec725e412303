import type { CacheStats } from "../cache-counters.ts";
import type { Call } from "./connection.ts";
import { type FieldReader, FieldWriter } from "./frame.ts";

/** Whose caches the calls are about. */
export interface CacheOwner {
  readonly settings: { readonly cacheMode: string };
  stats(): CacheStats;
  wipe(): Promise<void>;
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
