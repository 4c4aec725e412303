import type { Database } from "bun:sqlite";
import { nativeDirectory, openCrypto, systemPrng } from "../../libs/host/src/index.ts";
import { ClusterKeyring } from "../../libs/keys/src/index.ts";
import { openClusterKey } from "../../libs/kms/src/index.ts";
import { keyFiles } from "../../libs/node/src/index.ts";
import {
  closeSlot,
  loadSealedSqlite,
  openDatabase,
  openMembers,
  openSlot,
  parseFileName,
} from "../../ffi/sealed-sqlite/src/index.ts";
import type { NodeProcess } from "./node-process.ts";

/** Opens the key store of a stopped node as the node itself would, and changes rows in it. */
export async function editKeyStore<T>(
  node: NodeProcess,
  edit: (database: Database) => T,
): Promise<T> {
  const crypto = openCrypto();
  const directories = [node.dataDirectory, ...node.mirrors];
  const { clusterKey } = await openClusterKey(
    { crypto, prng: systemPrng, files: keyFiles },
    { configDirectory: node.configDirectory, directories },
  );
  using cluster = new ClusterKeyring({ crypto, openSecret: crypto.openSecret }, clusterKey);
  loadSealedSqlite(nativeDirectory);
  const versionNote = `${node.configDirectory}/member-list`;
  const members = openMembers({ directories, versionNote, silentMax: 30_000 });
  try {
    const file = members.listFiles().find((name) => name.startsWith("key-store-"))!;
    const { name, fileId: id, keyset } = parseFileName(file)!;
    const fileId = Uint8Array.fromHex(id);
    const slot = openSlot({
      pageKey: cluster.pageKey(fileId),
      maskKey: cluster.walMaskKey(fileId),
    });
    const options = { name, fileId, keyset, slot, synchronous: "full" } as const;
    const database = openDatabase(members, options);
    try {
      return edit(database);
    } finally {
      database.close(true);
      closeSlot(slot);
    }
  } finally {
    members.close();
  }
}
