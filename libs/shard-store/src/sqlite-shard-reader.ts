import type { Database, Statement } from "bun:sqlite";
import type { LogIndex } from "@kiseki/base";
import { assert, logIndex } from "@kiseki/base";
import type { LogEntry, MapReader } from "@kiseki/ports";
import type { OpenDatabase } from "./shard-database.ts";
import { openReader } from "./shard-database.ts";
import type { CachedRow, RowCache } from "./row-cache.ts";
import { SqliteMap } from "./sqlite-map.ts";

const nothing = new Uint8Array(0);
/** Entries whose sizes are looked up at once. */
const readEntriesMax = 4096;

/** Committed rows and entries of a shard, on a read-only connection of any thread of the owner's process. */
export class SqliteShardReader implements Disposable {
  readonly #database: Database;
  readonly #map: SqliteMap;
  readonly #begin: Statement;
  readonly #end: Statement;
  readonly #sizes: Statement;
  readonly #entries: Statement;
  #depth = 0;

  constructor(database: Database) {
    this.#database = database;
    this.#map = new SqliteMap(database);
    this.#begin = database.prepare("BEGIN");
    this.#end = database.prepare("COMMIT");
    this.#sizes = database.prepare(
      "SELECT length(bytes) FROM log WHERE idx >= ?1 ORDER BY idx LIMIT ?2",
    );
    this.#entries = database.prepare(
      "SELECT idx, bytes FROM log WHERE idx >= ?1 ORDER BY idx LIMIT ?2",
    );
  }
  /**
   * As `ShardStore.view`; a view within a view sees the same state. Rows that `cache` has are not read: it must hold
   * committed rows alone, of a store that only this thread commits to.
   */
  view<T>(body: (map: MapReader) => T, cache?: RowCache): T {
    const run = (map: MapReader): T => {
      const result = body(map);
      assert(!(result instanceof Promise), "a view does not wait");
      return result;
    };
    if (cache === undefined) return this.#inTransaction(() => run(this.#map));
    using view = new CachedView(this, cache);
    return run(view);
  }
  /** As `ShardStore.recall`, under the conditions of `view`. */
  recall<T extends object>(
    name: string,
    body: (map: MapReader) => T | undefined,
    cache: RowCache,
  ): T | undefined {
    const known = cache.recall(name);
    if (known !== undefined) return known as T;
    using view = new CachedView(this, cache);
    const result = body(view);
    assert(!(result instanceof Promise), "a view does not wait");
    if (result && view.rows) cache.remember(name, result, view.rows);
    return result;
  }
  /** As `ShardStore.read`. */
  read(from: LogIndex, countMax: number, sizeMax: number): readonly LogEntry[] {
    assert(countMax >= 1, "at least one entry is asked for");
    return this.#inTransaction(() => {
      const start = Number(from);
      let count = 0;
      let size = 0;
      for (const row of this.#sizes.values(start, Math.min(countMax, readEntriesMax))) {
        size += row[0] as number;
        if (count > 0 && size > sizeMax) break;
        count += 1;
      }
      return this.#entries.values(start, count).map(([index, bytes]) => ({
        index: logIndex(BigInt(index as number)),
        bytes: bytes as Uint8Array,
      }));
    });
  }
  [Symbol.dispose](): void {
    this.#map[Symbol.dispose]();
    for (const each of [this.#begin, this.#end, this.#sizes, this.#entries]) each.finalize();
    this.#database.close(true); // what lies below may be closed after it
  }
  /** Holds the state of now until `leave`, and is the map in it. */
  enter(): SqliteMap {
    if (this.#depth === 0) this.#begin.run();
    this.#depth += 1;
    return this.#map;
  }
  leave(): void {
    this.#depth -= 1;
    if (this.#depth === 0) this.#end.run();
  }
  /** Every view shows the state of now until `leave`. */
  hold(): void {
    const map = this.enter();
    try {
      map.get(nothing); // a transaction begins with what it reads
    } catch (reason) {
      this.leave();
      throw reason;
    }
  }
  #inTransaction<T>(body: () => T): T {
    this.enter();
    try {
      return body();
    } finally {
      this.leave();
    }
  }
}

/** A view that begins a transaction only when it must read: nobody commits while it lasts, for it does not wait. */
class CachedView implements MapReader, Disposable {
  readonly #reader: SqliteShardReader;
  readonly #cache: RowCache;
  #map: SqliteMap | undefined;
  readonly #source: Pick<MapReader, "get"> = { get: (key) => this.#read().get(key) };
  /** All that was seen; `undefined` once there was more to see than rows by their keys. */
  rows: CachedRow[] | undefined = [];

  constructor(reader: SqliteShardReader, cache: RowCache) {
    this.#reader = reader;
    this.#cache = cache;
  }
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#cache.get(key, this.#source, this.rows);
  }
  scan(...words: Parameters<MapReader["scan"]>): void {
    this.rows = undefined;
    this.#read().scan(...words);
  }
  [Symbol.dispose](): void {
    if (this.#map !== undefined) this.#reader.leave();
  }
  #read(): SqliteMap {
    this.#map ??= this.#reader.enter();
    return this.#map;
  }
}

/**
 * Opens a reader of a shard that its owner has open, in this process or Worker.
 * @throws {ShardStoreError} `unknown_version`.
 */
export function openSqliteShardReader(options: {
  readonly openDatabase: OpenDatabase;
  /** Bytes of pages that the connection keeps; 4 MiB unless told. */
  readonly cacheSize?: number;
}): SqliteShardReader {
  return new SqliteShardReader(openReader(options.openDatabase, options.cacheSize ?? 4 << 20));
}
