import type { Database } from "bun:sqlite";
import { newBytes } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import { RowSums, type RowHash, rowHasher } from "./row-sums.ts";
import { checkVersion, isEmpty, makeTables } from "./shard-database.ts";
import { encodeShardState, type ShardState } from "./shard-state.ts";
import { loadState } from "./shard-statements.ts";
import { ShardStoreError } from "./shard-store-error.ts";
import { SqliteMap } from "./sqlite-map.ts";
import { differingTables } from "./sum-check.ts";

/** Rows that are copied between two pauses: some 10 ms. */
const rowsPerStep = 250;
const logEntriesPerStep = 16;

export interface CopyShardOptions {
  readonly crypto: Pick<Crypto, "hmacSha256">;
  /** Keys of the row sums in the source and in the target; 32 bytes each, borrowed. */
  readonly sourceSumKey: Uint8Array;
  readonly targetSumKey: Uint8Array;
  /** Waited for between steps of some hundred rows. */
  readonly pause: () => Promise<void>;
}

/**
 * Copies a shard that nobody writes into an empty database, in one transaction: map, log, marks, and the
 * account of itself with sums under the target's key. Rows are checked against the source's sums on the
 * way, and what was written is read back and summed: a copy never launders a stale page.
 * @throws {ShardStoreError} `damaged`: source or copy is not what was committed; `unknown_version`.
 */
export async function copyShard(
  source: Database,
  target: Database,
  options: CopyShardOptions,
): Promise<void> {
  if (isEmpty(source)) return; // nothing was ever committed; the tables are made at the opening
  checkVersion(source);
  const state = loadState(source);
  const sourceHash = rowHasher(options.crypto, options.sourceSumKey);
  const targetHash = rowHasher(options.crypto, options.targetSumKey);
  const before = new RowSums();
  const after = new RowSums();
  target.run("BEGIN IMMEDIATE");
  try {
    makeTables(target);
    await copyMap(source, target, options.pause, (key, value) => {
      before.add(key, sourceHash(key, value));
      after.add(key, targetHash(key, value));
    });
    checkSums("the shard's file", before, state);
    await copyLog(source, target, options.pause);
    const copied: ShardState = { ...state, tables: after.tables() };
    copyRest(source, target, state.index > 0n || state.tables.length > 0 ? copied : undefined);
    target.run("COMMIT");
  } catch (reason) {
    if (target.inTransaction) target.run("ROLLBACK");
    throw reason;
  }
  await checkCopy(target, targetHash, options.pause);
}

function checkSums(what: string, sums: RowSums, state: ShardState): void {
  const wrong = differingTables(sums.tables(), state.tables);
  if (wrong.length === 0) return;
  throw new ShardStoreError(
    "damaged",
    `Cannot copy the shard: tables ${wrong.join(", ")} of ${what} are not what was committed`,
  );
}

/** Visits every row in key order, some per step. */
async function forEachRow(
  database: Database,
  pause: () => Promise<void>,
  visit: (key: Uint8Array, value: Uint8Array) => void,
): Promise<void> {
  using map = new SqliteMap(database);
  let start: Uint8Array | undefined = newBytes(0);
  while (start !== undefined) {
    let count = 0;
    let next: Uint8Array | undefined;
    map.scan({ start }, (key, value) => {
      if (count === rowsPerStep) {
        next = key.slice();
        return false;
      }
      visit(key, value);
      count += 1;
      return true;
    });
    start = next;
    await pause();
  }
}

async function copyMap(
  source: Database,
  target: Database,
  pause: () => Promise<void>,
  visit: RowVisit,
): Promise<void> {
  using insert = target.prepare("INSERT INTO map(key, value) VALUES(?1, ?2)");
  await forEachRow(source, pause, (key, value) => {
    insert.run(key, value);
    visit(key, value);
  });
}
type RowVisit = (key: Uint8Array, value: Uint8Array) => void;

async function copyLog(
  source: Database,
  target: Database,
  pause: () => Promise<void>,
): Promise<void> {
  using select = source.prepare<[number, Uint8Array], [number, number]>(
    "SELECT idx, bytes FROM log WHERE idx > ?1 ORDER BY idx LIMIT ?2",
  );
  using insert = target.prepare("INSERT INTO log(idx, bytes) VALUES(?1, ?2)");
  let last = 0;
  for (;;) {
    const rows = select.values(last, logEntriesPerStep) as unknown as [number, Uint8Array][];
    for (const [index, bytes] of rows) {
      insert.run(index, bytes);
      last = index;
    }
    if (rows.length < logEntriesPerStep) return;
    await pause();
  }
}

function copyRest(source: Database, target: Database, state: ShardState | undefined): void {
  using insert = target.prepare("INSERT INTO consumer(name, mark) VALUES(?1, ?2)");
  using select = source.prepare("SELECT name, mark FROM consumer");
  for (const [name, mark] of select.values()) insert.run(name as string, mark as number);
  if (state === undefined) return;
  using put = target.prepare("INSERT INTO meta(key, value) VALUES('state', ?1)");
  put.run(encodeShardState(state));
}

async function checkCopy(
  target: Database,
  rowHash: RowHash,
  pause: () => Promise<void>,
): Promise<void> {
  const sums = new RowSums();
  await forEachRow(target, pause, (key, value) => sums.add(key, rowHash(key, value)));
  checkSums("the copy", sums, loadState(target));
}
