import type { Database, Statement } from "bun:sqlite";
import type { LogIndex } from "@kiseki/base";
import { assert, logIndex } from "@kiseki/base";
import type { LogEntry, MapReader } from "@kiseki/ports";
import type { OpenDatabase } from "./shard-database.ts";
import { openReader } from "./shard-database.ts";
import { SqliteMap } from "./sqlite-map.ts";

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
  /** As `ShardStore.view`; a view within a view sees the same state. */
  view<T>(body: (map: MapReader) => T): T {
    return this.#inTransaction(() => {
      const result = body(this.#map);
      assert(!(result instanceof Promise), "a view does not wait");
      return result;
    });
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
  #inTransaction<T>(body: () => T): T {
    if (this.#depth === 0) this.#begin.run();
    this.#depth += 1;
    try {
      return body();
    } finally {
      this.#depth -= 1;
      if (this.#depth === 0) this.#end.run();
    }
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
