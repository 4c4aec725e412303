import type { Database } from "bun:sqlite";
import { ShardStoreError } from "./shard-store-error.ts";

/** Version of the tables, in `user_version`. */
export const shardTablesVersion = 1;
/** The log is copied into the file when it holds so many pages: 16 MiB. */
export const checkpointPages = 4096;

/** Opens one connection to the shard's file: sealed and mirrored by its VFS, or plain in tests. */
export type OpenDatabase = (options: { readonly readOnly: boolean }) => Database;

const schema = `
  CREATE TABLE map(key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
  CREATE TABLE log(idx INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
  CREATE TABLE consumer(name TEXT NOT NULL PRIMARY KEY, mark INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE meta(key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
`;

export function pragma(database: Database, name: string): unknown {
  const row = database.query(`PRAGMA ${name}`).values()[0];
  return row?.[0];
}

/** The owner's connection: WAL, each COMMIT synced, tables made or their version checked. */
export function openWriter(openDatabase: OpenDatabase, cacheSize: number): Database {
  const database = openDatabase({ readOnly: false });
  try {
    if (pragma(database, "journal_mode = WAL") !== "wal") {
      throw new ShardStoreError("wrong_mode", "Cannot use the shard file: no write-ahead log");
    }
    database.run("PRAGMA synchronous = FULL");
    database.run(`PRAGMA wal_autocheckpoint = ${checkpointPages}`);
    configure(database, cacheSize);
    if (pragma(database, "synchronous") !== 2) {
      throw new ShardStoreError("wrong_mode", "Cannot use the shard file: commits are not synced");
    }
    if (pragma(database, "user_version") === 0 && isEmpty(database)) {
      database.transaction(() => makeTables(database))();
    }
    checkVersion(database);
    return database;
  } catch (reason) {
    database.close();
    throw reason;
  }
}

/** In an empty database, within a transaction. */
export function makeTables(database: Database): void {
  database.run(schema);
  database.run(`PRAGMA user_version = ${shardTablesVersion}`);
}

/** A connection for `view`. The writer has been open once before. */
export function openReader(openDatabase: OpenDatabase, cacheSize: number): Database {
  const database = openDatabase({ readOnly: true });
  try {
    configure(database, cacheSize);
    checkVersion(database);
    return database;
  } catch (reason) {
    database.close();
    throw reason;
  }
}

function configure(database: Database, cacheSize: number): void {
  database.run("PRAGMA temp_store = memory");
  database.run("PRAGMA busy_timeout = 10000");
  database.run(`PRAGMA cache_size = -${Math.ceil(cacheSize / 1024)}`);
}

/** No table was made yet. */
export function isEmpty(database: Database): boolean {
  return database.query("SELECT 1 FROM sqlite_schema LIMIT 1").values().length === 0;
}

/** @throws {ShardStoreError} `unknown_version`. */
export function checkVersion(database: Database): void {
  const version = pragma(database, "user_version");
  if (version === shardTablesVersion) return;
  throw new ShardStoreError(
    "unknown_version",
    `Cannot use the shard file: its tables have version ${version}, known is ${shardTablesVersion}`,
  );
}
