import { type LogIndex, logIndex } from "@kiseki/base";
import { decodeLogEntry } from "@kiseki/format";
import type { ShardStore } from "@kiseki/ports";

const entriesPerStep = 64;
const sizePerStep = 4 << 20;

/** The last entry under a keyset older than that of the log's end; keysets only grow along a log. */
function lastOldEntry(store: ShardStore): LogIndex | undefined {
  const { index, first } = store.head();
  const current = keysetAt(store, index);
  if (first > index || current === undefined) return undefined;
  let last: LogIndex | undefined;
  for (let from = first; from <= index;) {
    const entries = store.read(from, entriesPerStep, sizePerStep);
    for (const entry of entries) {
      const decoded = decodeLogEntry(entry.bytes);
      if (typeof decoded === "string" || decoded.head.keyset >= current) return last;
      last = entry.index;
    }
    from = logIndex((entries.at(-1)?.index ?? index) + 1n);
  }
  return last;
}

function keysetAt(store: ShardStore, index: LogIndex): number | undefined {
  const entry = store.read(index, 1, 1)[0];
  const decoded = entry && decodeLogEntry(entry.bytes);
  return decoded === undefined || typeof decoded === "string" ? undefined : decoded.head.keyset;
}

/**
 * Cuts what lies under older keysets off the log, as far as its consumers have passed: the view is in the
 * same file, so that nobody else reads it (STORE §2). For a shard in which no batch is under way.
 */
export function cutOldKeysets(store: ShardStore): void {
  const last = lastOldEntry(store);
  if (last !== undefined) store.truncate(last);
}

/** Entries under `keyset` or an older one that are in the log still. Counts a step's worth at most. */
export function countOldEntries(store: ShardStore, keyset: number): number {
  const { index, first } = store.head();
  if (first > index) return 0;
  const entries = store.read(first, entriesPerStep, sizePerStep);
  return entries.filter(({ bytes }) => {
    const decoded = decodeLogEntry(bytes);
    return typeof decoded === "string" || decoded.head.keyset <= keyset;
  }).length;
}
