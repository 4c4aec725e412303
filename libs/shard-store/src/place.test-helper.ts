import { Database } from "bun:sqlite";
import { copyFile, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAwsLc } from "@kiseki/aws-lc";
import type { Crypto } from "@kiseki/ports";
import type { ShardStorePlace } from "@kiseki/ports/contract";
import type { OpenDatabase } from "./shard-database.ts";
import type { SqliteShardStore } from "./sqlite-shard-store.ts";
import { openSqliteShardStore } from "./sqlite-shard-store.ts";

export const testCrypto: Crypto = openAwsLc(`${import.meta.dir}/../../../build/native`);
export const testSumKey = new Uint8Array(32).fill(7);

/** Connections to a plain, unsealed file. */
export const plainDatabase =
  (path: string): OpenDatabase =>
  ({ readOnly }) =>
    new Database(path, readOnly ? { readonly: true } : { create: true, readwrite: true });

/** A plain file in a folder of its own, for tests. */
export interface PlainPlace extends ShardStorePlace {
  readonly path: string;
  open(): Promise<SqliteShardStore>;
}

export async function openPlainPlace(): Promise<PlainPlace> {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-shard-store-"));
  const path = join(folder, "shard.db");
  return {
    path,
    open: async () =>
      openSqliteShardStore({
        openDatabase: plainDatabase(path),
        crypto: testCrypto,
        sumKey: testSumKey,
      }),
    // What a killed process leaves: the files as they are now, without the closing checkpoint.
    kill: async (store) => {
      await copyFile(path, `${path}.kept`);
      await copyFile(`${path}-wal`, `${path}-wal.kept`);
      await store[Symbol.asyncDispose]();
      await rm(`${path}-shm`, { force: true });
      await rename(`${path}.kept`, path);
      await rename(`${path}-wal.kept`, `${path}-wal`);
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
