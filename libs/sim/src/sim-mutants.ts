import { wallTime } from "@kiseki/base";
import type { Safeties } from "@kiseki/chunk-store";
import { allSafeties } from "@kiseki/chunk-store";
import type { Change, Decision, decide, Operation } from "@kiseki/composition";
import {
  chunkKey,
  decodeChunk,
  decodeDrop,
  decodeHead,
  encodeChunk,
  entryKey,
  headKey,
  isChunkKey,
  isLoggedNoticeKey,
  settingKey,
  table,
} from "@kiseki/format";
import type { NodeSafeties } from "@kiseki/node/sim";
import { allNodeSafeties } from "@kiseki/node/sim";
import type { DirKeys } from "@kiseki/composition";
import type { MapReader } from "@kiseki/ports";
import type { SimShardMutant } from "./sim-shard-store-members.ts";

type Decide = typeof decide;
type Rows = Change["rows"];

/** One rule broken on purpose: what the simulator must find. */
export interface SimMutant {
  readonly chunkStore: Safeties;
  readonly node: NodeSafeties;
  readonly members: ReadonlySet<SimShardMutant>;
  /** A start goes on telling where the last process was. */
  readonly resumesNotices: boolean;
  /** Instead of the machine; `honest` is the right one. */
  readonly machine: ((honest: Decide) => Decide) | undefined;
}

export const simMutants = {
  /** Content is acknowledged before its sync, so the commit may be durable first. */
  content_synced_after_commit: { chunkStore: { syncBeforeAcknowledge: false } },
  answer_before_commit: { node: { commitBeforeAnswer: false } },
  shard_stored_after_answer: { members: ["ack_before_commit"] },
  count_off_by_one: { machine: () => withRows(miscount) },
  second_seal_kept: { machine: () => withRows(keepSecondSeal) },
  directory_removed_with_old_versions: { machine: () => withRows(removeDeadDirectory) },
  hold_ignored: { machine: () => endHolds },
  notice_not_logged: { machine: () => withRows(keepQuiet) },
  notices_not_resumed: { resumesNotices: false },
  lock_ended_early: { machine: () => endLocks },
  newest_not_compared: { machine: () => forgetNewest },
  pin_ignored: { node: { honourPins: false } },
  reader_ignored: { node: { waitForReaders: false } },
  stale_index_believed: { chunkStore: { scanTail: false } },
  old_zone_generation_believed: { chunkStore: { checkGeneration: false } },
  returning_device_believed: { chunkStore: { distrustReturning: false } },
  returning_mirror_believed: { members: ["believe_returning"] },
  living_not_copied: { chunkStore: { copyLiving: false } },
  thin_put_accepted: { chunkStore: { refuseThin: false } },
  old_shard_file_believed: { node: { checkShardEpoch: false } },
} as const satisfies Record<string, MutantParts>;
export type SimMutantName = keyof typeof simMutants;

interface MutantParts {
  readonly chunkStore?: Partial<Safeties>;
  readonly node?: Partial<NodeSafeties>;
  readonly members?: readonly SimShardMutant[];
  readonly resumesNotices?: boolean;
  readonly machine?: () => (honest: Decide) => Decide;
}

/** The rules as they are, or with one of them broken. */
export function rulesOf(name: SimMutantName | undefined): SimMutant {
  const parts: MutantParts = name === undefined ? {} : simMutants[name];
  return {
    chunkStore: { ...allSafeties, ...parts.chunkStore },
    node: { ...allNodeSafeties, ...parts.node },
    members: new Set(parts.members),
    resumesNotices: parts.resumesNotices ?? true,
    machine: parts.machine?.(),
  };
}

interface Decided {
  readonly map: MapReader;
  readonly operation: Operation;
  readonly dirKeys: DirKeys;
  readonly rows: Rows;
}
/** A machine whose changes have other rows: log and map agree on what is wrong. */
function withRows(change: (decided: Decided) => Rows): (honest: Decide) => Decide {
  return (honest) =>
    (map, operation, context): Decision => {
      const decision = honest(map, operation, context);
      if (decision.kind !== "change") return decision;
      const { dirKeys } = context;
      const rows = change({ map, operation, dirKeys, rows: decision.change.rows });
      return { ...decision, change: { ...decision.change, rows } };
    };
}

/** A delete of a version believes in a clock that is far ahead. */
function endLocks(honest: Decide): Decide {
  return (map, operation, context) =>
    operation.kind === "delete_object" && operation.version !== undefined
      ? honest(map, operation, { ...context, now: wallTime(260_000_000_000_000) })
      : honest(map, operation, context);
}
/** A delete sees no hold. */
function endHolds(honest: Decide): Decide {
  return (map, operation, context) => {
    if (operation.kind !== "delete_object") return honest(map, operation, context);
    const hidden = settingKey(operation.namespace, "holds");
    const get = (key: Uint8Array): Uint8Array | undefined =>
      Buffer.compare(key, hidden) === 0 ? undefined : map.get(key);
    return honest({ get, scan: (range, visit) => map.scan(range, visit) }, operation, context);
  };
}
/** Nobody is told of deletes. */
const keepQuiet = ({ operation, rows }: Decided): Rows =>
  operation.kind === "delete_object" ? rows.filter(({ key }) => !isLoggedNoticeKey(key)) : rows;
/** A lifecycle rule removes what it saw, whatever was written or uncovered since. */
function forgetNewest(honest: Decide): Decide {
  return (map, operation, context) => {
    if (operation.kind !== "delete_object") return honest(map, operation, context);
    const { ifNewest: _, ...rest } = operation;
    return honest(map, rest, context);
  };
}
/** A copy forgets to count. */
function miscount({ operation, rows }: Decided): Rows {
  if (operation.kind !== "put_object") return rows;
  return rows.map((row) => {
    if (row.key[0] !== table.chunk || !isChunkKey(row.key) || row.value === undefined) return row;
    const chunk = decodeChunk(row.value);
    return chunk.count < 2
      ? row
      : { ...row, value: encodeChunk({ ...chunk, count: chunk.count - 1 }) };
  });
}
/** The seal of a put that lost against a live one is not condemned: nothing names it any more. */
function keepSecondSeal({ map, operation, rows }: Decided): Rows {
  if (operation.kind !== "put_object") return rows;
  const isSecond = (value: Uint8Array): boolean => {
    const drop = decodeDrop(value);
    return (
      map.get(chunkKey(drop)) !== undefined &&
      rows.some(
        ({ key, value: chunk }) =>
          chunk !== undefined && isChunkKey(key) && Buffer.compare(key, chunkKey(drop)) === 0,
      )
    );
  };
  const seconds = rows.filter(
    ({ key, value }) => key[0] === table.drop && value !== undefined && isSecond(value),
  );
  if (seconds.length === 0) return rows;
  return rows.filter(
    ({ key }) => key[0] !== table.drop && !(key[0] === table.chunk && !isChunkKey(key)),
  );
}
/** A directory without a living row goes though old versions lie in it. */
function removeDeadDirectory({ operation, dirKeys, rows }: Decided): Rows {
  if (operation.kind !== "delete_object") return rows;
  const changed = [...rows];
  for (const { key, value } of rows) {
    if (key[0] !== table.head || value === undefined) continue;
    const head = decodeHead(value);
    if (head.live > 0 || head.total === 0 || head.parent === undefined) continue;
    const name = new Uint8Array(head.name.byteLength + 1);
    name.set(head.name);
    name[head.name.byteLength] = 0x2f;
    for (const gone of [
      headKey(dirKeys.dirKey(head.inode)),
      entryKey(dirKeys.dirKey(head.parent), name),
    ]) {
      const at = changed.findIndex((row) => Buffer.compare(row.key, gone) === 0);
      if (at >= 0) changed.splice(at, 1);
      changed.push({ key: gone, value: undefined });
    }
  }
  return changed;
}
