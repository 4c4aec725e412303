import type { Database, Statement } from "bun:sqlite";
import { epoch, logIndex } from "@kiseki/base";
import { pragma } from "./shard-database.ts";
import type { ShardState } from "./shard-state.ts";
import { decodeShardState } from "./shard-state.ts";
import { ShardStoreError } from "./shard-store-error.ts";

/** What the owner's connection runs, prepared once. */
export interface Statements {
  readonly begin: Statement;
  readonly commit: Statement;
  readonly rollback: Statement;
  readonly put: Statement;
  readonly insert: Statement;
  readonly delete: Statement;
  readonly insertLog: Statement;
  readonly deleteLog: Statement;
  readonly putConsumer: Statement;
  readonly putState: Statement;
  readonly pageSize: number;
  readonly all: readonly Statement[];
}

export function prepareStatements(database: Database): Statements {
  const all: Statement[] = [];
  const prepare = (sql: string): Statement => {
    const statement = database.prepare(sql);
    all.push(statement);
    return statement;
  };
  return {
    begin: prepare("BEGIN IMMEDIATE"),
    commit: prepare("COMMIT"),
    rollback: prepare("ROLLBACK"),
    put: prepare(
      "INSERT INTO map(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
    ),
    insert: prepare("INSERT INTO map(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO NOTHING"),
    delete: prepare("DELETE FROM map WHERE key = ?1"),
    insertLog: prepare("INSERT INTO log(idx, bytes) VALUES(?1, ?2)"),
    deleteLog: prepare("DELETE FROM log WHERE idx < ?1"),
    putConsumer: prepare(
      "INSERT INTO consumer(name, mark) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET mark = excluded.mark",
    ),
    putState: prepare(
      "INSERT INTO meta(key, value) VALUES('state', ?1) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
    ),
    pageSize: pragma(database, "page_size") as number,
    all,
  };
}

/** The state row, checked against the log's own ends. */
export function loadState(database: Database): ShardState {
  const row = database.query("SELECT value FROM meta WHERE key = 'state'").values()[0];
  const [low, high] = database.query("SELECT min(idx), max(idx) FROM log").values()[0] as [
    number | null,
    number | null,
  ];
  const state: ShardState | "unknown_version" | "damaged" =
    row === undefined
      ? { index: logIndex(0n), first: logIndex(1n), epoch: epoch(0n), tables: [] }
      : row[0] instanceof Uint8Array
        ? decodeShardState(row[0])
        : "damaged";
  if (typeof state === "string") {
    throw new ShardStoreError(state, "Cannot read the shard's state row");
  }
  const isEmpty = state.first > state.index;
  const agrees = isEmpty
    ? low === null
    : low !== null && high !== null && BigInt(low) === state.first && BigInt(high) === state.index;
  if (agrees) return state;
  throw new ShardStoreError(
    "damaged",
    `Cannot open the shard: the log holds ${low} to ${high}, its state says ${state.first} to ${state.index}`,
  );
}
