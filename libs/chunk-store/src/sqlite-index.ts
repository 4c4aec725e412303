import { Database, type Statement } from "bun:sqlite";
import { rmSync } from "node:fs";
import { failpoint } from "@kiseki/base";
import type { FragmentIndex } from "./fragment-index.ts";

/** Raised with the layout of the tables; files of another version are thrown away. */
const fileVersion = 1;
const pageCacheKiB = 16 * 1024;
/** Pages in the write-ahead log before SQLite moves them to the file: each time costs a sync. */
const walPages = 16_384;

class SqliteIndex implements FragmentIndex {
  readonly #database: Database;
  readonly #get: Statement<{ value: Uint8Array }, [Uint8Array]>;
  readonly #put: Statement<unknown, [Uint8Array, Uint8Array]>;
  readonly #delete: Statement<unknown, [Uint8Array]>;
  readonly #scan: Statement<{ key: Uint8Array; value: Uint8Array }, [Uint8Array, number]>;
  readonly #meta: Statement<{ value: Uint8Array }, [string]>;
  readonly #putMeta: Statement<unknown, [string, Uint8Array]>;
  readonly #begin: Statement;
  readonly #commit: Statement;
  /** Changes since the open transaction began; -1 when none is open. */
  #changes = -1;

  constructor(database: Database) {
    this.#database = database;
    this.#get = database.prepare("SELECT value FROM chunk WHERE key = ?");
    this.#put = database.prepare("INSERT OR REPLACE INTO chunk (key, value) VALUES (?, ?)");
    this.#delete = database.prepare("DELETE FROM chunk WHERE key = ?");
    this.#scan = database.prepare(
      "SELECT key, value FROM chunk WHERE key > ? ORDER BY key LIMIT ?",
    );
    this.#meta = database.prepare("SELECT value FROM meta WHERE name = ?");
    this.#putMeta = database.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)");
    this.#begin = database.prepare("BEGIN");
    this.#commit = database.prepare("COMMIT");
  }
  #change(): void {
    if (this.#changes < 0) {
      this.#begin.run();
      this.#changes = 0;
    }
    this.#changes += 1;
  }
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#get.get(key)?.value;
  }
  put(key: Uint8Array, value: Uint8Array): void {
    this.#change();
    this.#put.run(key, value);
  }
  delete(key: Uint8Array): void {
    this.#change();
    this.#delete.run(key);
  }
  scan(
    after: Uint8Array | undefined,
    countMax: number,
    visit: (key: Uint8Array, value: Uint8Array) => void,
  ): void {
    for (const { key, value } of this.#scan.all(after ?? new Uint8Array(0), countMax))
      visit(key, value);
  }
  count(): number {
    const row = this.#database
      .query<{ count: number }, []>("SELECT count(*) AS count FROM chunk")
      .get();
    return row?.count ?? 0;
  }
  meta(name: string): Uint8Array | undefined {
    return this.#meta.get(name)?.value;
  }
  putMeta(name: string, value: Uint8Array): void {
    this.#change();
    this.#putMeta.run(name, value);
  }
  flush(): void {
    if (this.#changes < 0) return;
    this.#commit.run();
    this.#changes = -1;
  }
  checkpoint(): void {
    this.flush();
    failpoint("index-flushed");
    this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    failpoint("index-checkpointed");
  }
  clear(): void {
    this.flush();
    this.#database.run("DELETE FROM chunk");
    this.#database.run("DELETE FROM meta");
    this.checkpoint();
  }
  [Symbol.dispose](): void {
    this.flush();
    for (const statement of [
      this.#get,
      this.#put,
      this.#delete,
      this.#scan,
      this.#meta,
      this.#putMeta,
      this.#begin,
      this.#commit,
    ])
      statement.finalize();
    this.#database.close();
  }
}

/**
 * Opens or creates the index file at `path`; a file that is damaged or of another version is replaced
 * by an empty one, since the devices hold the truth. It holds ids and places, no content.
 */
export function openSqliteIndex(path: string): FragmentIndex {
  try {
    return tryOpen(path);
  } catch {
    // Whatever is wrong with it: what it held is found again on the devices.
    for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(path + suffix, { force: true });
    return tryOpen(path);
  }
}
function tryOpen(path: string): FragmentIndex {
  const database = new Database(path, { create: true });
  try {
    // NORMAL: a power cut may lose the newest transactions, marks and rows alike, never mix them.
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    database.run(`PRAGMA cache_size = -${pageCacheKiB}`);
    database.run(`PRAGMA wal_autocheckpoint = ${walPages}`);
    const found = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
    const version = found?.user_version ?? 0;
    if (version !== 0 && version !== fileVersion) throw new Error(`Cannot use version ${version}`);
    database.run(
      "CREATE TABLE IF NOT EXISTS chunk (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID",
    );
    database.run(
      "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
    );
    database.run(`PRAGMA user_version = ${fileVersion}`);
    return new SqliteIndex(database);
  } catch (reason) {
    database.close();
    throw reason;
  }
}
