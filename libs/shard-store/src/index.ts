/**
 * Drivers of the port `ShardStore`: `sqlite`, one file per shard with log and map in it, each batch
 * one COMMIT that is synced before it is answered (STORE §1–2). The database is opened by an
 * injected function, so that the file may be sealed and mirrored below.
 *
 * Invariants: log, map, marks and the store's account of itself change in one transaction; `view`
 * shows committed rows only; a running sum of keyed row hashes per table lies with the account, and
 * `startSumCheck` compares it with the rows. Refuses: a database without write-ahead log or synced
 * commits, tables of an unknown version, a log whose ends are not those of the account. After a
 * COMMIT error every call throws `commit_failed`: the process must end.
 */
export { copyShard } from "./copy-shard.ts";
export { RowBudget } from "./row-cache.ts";
export { ShardStoreError } from "./shard-store-error.ts";
export { openSqliteShardStore, SqliteShardStore } from "./sqlite-shard-store.ts";
