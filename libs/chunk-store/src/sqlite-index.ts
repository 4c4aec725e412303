import { Database, type Statement } from "bun:sqlite";
import { closeSync, existsSync, fsyncSync, openSync, rmSync } from "node:fs";
import { crc32 } from "node:zlib";
import { failpoint } from "@kiseki/base";
import type { FragmentIndex } from "./fragment-index.ts";

/** Raised with the layout of the tables; files of another version are thrown away. */
const fileVersion = 2;
const sumSize = 4;
/** Beside an index that was found damaged: the next opening begins with an empty one. */
const damagedSuffix = ".damaged";
/** Its file lies in the page cache of the kernel, unsealed: a miss here costs a microsecond. Each device has one. */
const pageCacheKiB = 4 * 1024;
/** Pages in the write-ahead log before SQLite moves them to the file: each time costs a sync. */
const walPages = 16_384;

/** A row is not what was written: nothing of the index is believed until the next opening, which rebuilds it. */
export class DamagedIndexError extends Error {
  override readonly name = "DamagedIndexError";
}

/** `value` ‖ CRC-32 of key and value: the file lies on a disk that may rot, and nothing below checks it. */
function withSum(key: Uint8Array | string, value: Uint8Array): Uint8Array {
  const target = new Uint8Array(value.byteLength + sumSize);
  target.set(value);
  const sum = crc32(value, crc32(key));
  for (let i = 0; i < sumSize; i++) target[value.byteLength + i] = sum >>> (8 * i);
  return target;
}
function withoutSum(key: Uint8Array | string, stored: Uint8Array): Uint8Array | undefined {
  const size = stored.byteLength - sumSize;
  if (size < 0) return undefined;
  const value = stored.slice(0, size); // a view, or a DataView, would give each small array a buffer of its own
  let sum = 0;
  for (let i = sumSize - 1; i >= 0; i--) sum = (sum << 8) | stored[size + i]!;
  return sum >>> 0 === crc32(value, crc32(key)) ? value : undefined;
}

class SqliteIndex implements FragmentIndex {
  readonly #path: string;
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

  constructor(path: string, database: Database) {
    this.#path = path;
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
  /** @throws {DamagedIndexError} */
  get(key: Uint8Array): Uint8Array | undefined {
    const stored = this.#guarded(() => this.#get.get(key)?.value);
    return stored && this.#checked(key, stored);
  }
  put(key: Uint8Array, value: Uint8Array): void {
    this.#guarded(() => {
      this.#change();
      this.#put.run(key, withSum(key, value));
    });
  }
  delete(key: Uint8Array): void {
    this.#guarded(() => {
      this.#change();
      this.#delete.run(key);
    });
  }
  condemn(): void {
    const file = openSync(this.#path + damagedSuffix, "w", 0o600);
    fsyncSync(file);
    closeSync(file);
  }
  #checked(key: Uint8Array | string, stored: Uint8Array): Uint8Array {
    const value = withoutSum(key, stored);
    if (value !== undefined) return value;
    throw this.#damaged("a row's checksum is wrong");
  }
  #damaged(what: string): DamagedIndexError {
    this.condemn();
    return new DamagedIndexError(
      `Cannot use ${this.#path}: ${what}; start again, which rebuilds it from the devices`,
    );
  }
  /** SQLite's own complaints about the file are damage too. */
  #guarded<T>(act: () => T): T {
    try {
      return act();
    } catch (reason) {
      const code = reason instanceof Error && "code" in reason ? String(reason.code) : "";
      if (code !== "SQLITE_CORRUPT" && code !== "SQLITE_NOTADB") throw reason;
      throw this.#damaged("its pages are damaged");
    }
  }
  scan(
    after: Uint8Array | undefined,
    countMax: number,
    visit: (key: Uint8Array, value: Uint8Array) => void,
  ): void {
    const rows = this.#guarded(() => this.#scan.all(after ?? new Uint8Array(0), countMax));
    for (const { key, value } of rows) visit(key, this.#checked(key, value));
  }
  count(): number {
    const row = this.#database
      .query<{ count: number }, []>("SELECT count(*) AS count FROM chunk")
      .get();
    return row?.count ?? 0;
  }
  meta(name: string): Uint8Array | undefined {
    const stored = this.#guarded(() => this.#meta.get(name)?.value);
    return stored && this.#checked(name, stored);
  }
  putMeta(name: string, value: Uint8Array): void {
    this.#guarded(() => {
      this.#change();
      this.#putMeta.run(name, withSum(name, value));
    });
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
    if (!existsSync(this.#path + damagedSuffix)) this.flush();
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
  if (existsSync(path + damagedSuffix)) removeIndex(path);
  try {
    return tryOpen(path);
  } catch {
    // Whatever is wrong with it: what it held is found again on the devices.
    removeIndex(path);
    return tryOpen(path);
  }
}
/** The mark goes last: cut short, it is done again. */
function removeIndex(path: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal", damagedSuffix]) {
    rmSync(path + suffix, { force: true });
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
    return checkedMeta(new SqliteIndex(path, database), database);
  } catch (reason) {
    database.close();
    throw reason;
  }
}
/** The few rows that a start reads before any other are read now: a damaged one empties the index at once. */
function checkedMeta(index: SqliteIndex, database: Database): SqliteIndex {
  const names = database.query<{ name: string }, []>("SELECT name FROM meta").all();
  for (const { name } of names) index.meta(name);
  return index;
}
