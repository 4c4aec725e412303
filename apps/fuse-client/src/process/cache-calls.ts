import type { MountSettings } from "../cli/settings.ts";
import type { OpenNamespace } from "../open-namespace.ts";
import type { Call } from "./connection.ts";
import { FieldWriter } from "./frame.ts";

/** Calls about the caches of this process. */
export function cacheCalls(namespace: OpenNamespace, settings: MountSettings) {
  return {
    cacheStats: (fields) => {
      fields.end();
      const stats = namespace.stats();
      return new FieldWriter(80)
        .u64(stats.l1Hits)
        .u64(stats.l2Hits)
        .u64(stats.misses)
        .u64(stats.bypasses)
        .u64(stats.errors)
        .u64(stats.l1Bytes)
        .u64(stats.l2Bytes)
        .u64(stats.metaHits)
        .u64(stats.metaMisses)
        .u64(stats.wipes);
    },
    cacheMode: (fields) => {
      fields.end();
      return new FieldWriter().text(settings.cacheMode);
    },
    wipe: async (fields) => {
      fields.end();
      await namespace.wipe();
      return undefined;
    },
  } satisfies Readonly<Record<string, Call>>;
}
