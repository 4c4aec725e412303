import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ShardStorePlace } from "@kiseki/ports/contract";
import {
  closeSlot,
  fileName,
  loadSealedSqlite,
  openCommitter,
  openDatabase,
  openMembers,
  openSlot,
} from "@kiseki/sealed-sqlite";
import type { OpenDatabase } from "./shard-database.ts";
import type { SqliteShardStore } from "./sqlite-shard-store.ts";
import { openSqliteShardStore } from "./sqlite-shard-store.ts";
import { testCrypto, testSumKey } from "./place.test-helper.ts";

const fileId = new Uint8Array(16).fill(9);

/** Members of one process in `folder`, under fixed keys; close it before another process opens them. */
export function openSealedMembers(folder: string): {
  readonly openDatabase: OpenDatabase;
  close(): void;
} {
  loadSealedSqlite(`${import.meta.dir}/../../../build/native`);
  const directories = [join(folder, "data"), join(folder, "mirror")];
  const set = openMembers({
    directories,
    versionNote: join(folder, "version"),
    silentMax: 30_000,
  });
  const slot = openSlot({
    pageKey: new Uint8Array(32).fill(1),
    maskKey: new Uint8Array(32).fill(2),
  });
  return {
    openDatabase: ({ readOnly }) => {
      const create = !readOnly && !existsSync(join(directories[0]!, fileName("shard", fileId, 1)));
      const name = { name: "shard", fileId, keyset: 1, slot, synchronous: "full" } as const;
      return openDatabase(set, { ...name, create, readOnly });
    },
    close() {
      set.close();
      closeSlot(slot);
    },
  };
}

export async function makeSealedFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-shard-store-sealed-"));
  for (const name of ["data", "mirror"]) await mkdir(join(folder, name));
  return folder;
}

/** A sealed file on two members, as a node has it. */
export interface SealedPlace extends ShardStorePlace {
  open(): Promise<SqliteShardStore>;
}

export async function openSealedPlace(): Promise<SealedPlace> {
  const folder = await makeSealedFolder();
  const members = openSealedMembers(folder);
  const { openDatabase: open } = members;
  return {
    open: async () =>
      openSqliteShardStore({
        openDatabase: open,
        openCommitter,
        crypto: testCrypto,
        sumKey: testSumKey,
      }),
    [Symbol.asyncDispose]: async () => {
      members.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
