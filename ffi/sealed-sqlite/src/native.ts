import { Database } from "bun:sqlite";
import { dlopen, suffix } from "bun:ffi";
import { assert, concatBytes, newBytes, toUtf8 } from "@kiseki/base";
import { symbols } from "./symbols.ts";

export type Native = ReturnType<typeof dlopen<typeof symbols>>["symbols"];
let loaded: Native | undefined;
let libraryPath = "";

/**
 * Loads the library and registers its VFS with SQLite: once in each Worker that uses it, before all
 * else. `folder` holds `libkiseki-sealed-sqlite.so`. A second call does nothing.
 * @throws {Error} when the library is missing.
 */
export function loadSealedSqlite(folder: string): void {
  if (loaded) return;
  const path = `${folder}/libkiseki-sealed-sqlite.${suffix}`;
  const native = dlopen(path, symbols).symbols;
  const database = new Database(":memory:");
  database.loadExtension(path, "sqlite3_extension_init"); // the VFS stays with the process
  database.close();
  loaded = native;
  libraryPath = path;
}

/** Shows `database` to the library: what asks for the connection loaded last, means it. */
export function showDatabase(database: Database): void {
  assert(loaded !== undefined, "loadSealedSqlite() comes first");
  database.loadExtension(libraryPath, "sqlite3_extension_init");
}

export function native(): Native {
  assert(loaded !== undefined, "loadSealedSqlite() comes first");
  return loaded;
}

/** Ended by a zero byte. */
export function cText(text: string): Uint8Array {
  assert(!text.includes("\0"), "a path holds no zero byte");
  return concatBytes(toUtf8(text), newBytes(1));
}

export function crc32c(initial: number, source: Uint8Array): number {
  return native().kiseki_list_crc32c(initial, source, BigInt(source.byteLength));
}
