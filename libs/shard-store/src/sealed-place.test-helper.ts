import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ShardStorePlace } from "@kiseki/ports/contract";
import {
  closeSlot,
  loadSealedSqlite,
  openDatabase,
  openMembers,
  openSlot,
} from "@kiseki/sealed-sqlite";
import { testCrypto, testSumKey } from "./place.test-helper.ts";
import type { SqliteShardStore } from "./sqlite-shard-store.ts";
import { openSqliteShardStore } from "./sqlite-shard-store.ts";

loadSealedSqlite(`${import.meta.dir}/../../../build/native`);

export interface SealedPlace extends ShardStorePlace {
  open(): Promise<SqliteShardStore>;
}

/** A sealed file on two members, as a node has it. */
export async function openSealedPlace(): Promise<SealedPlace> {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-shard-store-sealed-"));
  const directories = [join(folder, "data"), join(folder, "mirror")];
  for (const directory of directories) await mkdir(directory);
  const set = openMembers({
    directories,
    versionNote: join(folder, "version"),
    silentMax: 30_000,
  });
  const slot = openSlot({
    pageKey: crypto.getRandomValues(new Uint8Array(32)),
    maskKey: crypto.getRandomValues(new Uint8Array(32)),
  });
  const fileId = crypto.getRandomValues(new Uint8Array(16));
  let isMade = false;
  return {
    open: async () =>
      openSqliteShardStore({
        openDatabase: ({ readOnly }) => {
          const create = !isMade && !readOnly;
          isMade = true;
          const name = { name: "shard", fileId, keyset: 1, slot, synchronous: "full" } as const;
          return openDatabase(set, { ...name, create, readOnly });
        },
        crypto: testCrypto,
        sumKey: testSumKey,
      }),
    [Symbol.asyncDispose]: async () => {
      set.close();
      closeSlot(slot);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
