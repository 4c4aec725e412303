import type { LogIndex } from "@kiseki/base";
import { assert, logIndex } from "@kiseki/base";
import type { LogEntry, MapWriter, ShardStore } from "@kiseki/ports";

const replayEntriesMax = 64;
const replaySizeMax = 1 << 20;

/**
 * Applies every entry of `source`'s log, from `from` on, to `target`; a log that was never cut and an
 * empty target give the source's map, row by row. `apply` sees one entry at a time and must depend on
 * map and entry alone. Returns the index after the last entry applied.
 */
export function replay(
  source: Pick<ShardStore, "read">,
  target: MapWriter,
  from: LogIndex,
  apply: (map: MapWriter, entry: LogEntry) => void,
): LogIndex {
  let next = from;
  for (;;) {
    const entries = source.read(next, replayEntriesMax, replaySizeMax);
    if (entries.length === 0) return next;
    for (const entry of entries) {
      assert(entry.index === next, "the log has no hole");
      apply(target, entry);
      next = logIndex(next + 1n);
    }
  }
}
