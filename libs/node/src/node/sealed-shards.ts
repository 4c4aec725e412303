import type { Database } from "bun:sqlite";
import { fromHex, newBytes, type Prng, type ShardId, toHex } from "@kiseki/base";
import type { TenantKeyring } from "@kiseki/keys";
import type { Crypto } from "@kiseki/ports";
import {
  closeSlot,
  type MemberSet,
  openDatabase,
  openSlot,
  parseFileName,
  type SlotNumber,
} from "@kiseki/sealed-sqlite";
import { openSqliteShardStore } from "@kiseki/shard-store";
import type { OpenedShard } from "./tenants.ts";

/** Keys of one sealed file, in locked memory until closed. */
export interface FileKeys {
  pageKey(fileId: Uint8Array): Uint8Array;
  walMaskKey(fileId: Uint8Array): Uint8Array;
}

export interface SealedFile {
  readonly open: (options: { readonly readOnly: boolean }) => Database;
  readonly slot: SlotNumber;
}

/**
 * The file called `name` of the set, made if there is none. With several (a keyset change that was cut
 * short) the one of the highest keyset is meant.
 */
export function openSealedFile(
  { crypto, prng }: { readonly crypto: Crypto; readonly prng: Prng },
  members: MemberSet,
  name: string,
  keys: { readonly keyset: number; readonly of: (keyset: number) => FileKeys },
): SealedFile {
  const found = members
    .listFiles()
    .map((file) => parseFileName(file))
    .filter((file) => file?.name === name)
    .toSorted((a, b) => b!.keyset - a!.keyset)[0];
  const fileId = found ? fromHex(found.fileId) : prng.fill(newBytes(16));
  const keyset = found?.keyset ?? keys.keyset;
  const fileKeys = keys.of(keyset);
  const pageKey = fileKeys.pageKey(fileId);
  const maskKey = fileKeys.walMaskKey(fileId);
  const slot = openSlot({ pageKey, maskKey });
  crypto.wipe(pageKey);
  crypto.wipe(maskKey);
  const options = { name, fileId, keyset, slot, synchronous: "full" } as const;
  if (!found) openDatabase(members, { ...options, create: true }).close(true);
  return { slot, open: ({ readOnly }) => openDatabase(members, { ...options, readOnly }) };
}

/** Opens shard files of a member set, each under its tenant's keys. */
export function sealedShards(
  tools: { readonly crypto: Crypto; readonly prng: Prng },
  members: MemberSet,
): (shard: ShardId, keyring: TenantKeyring) => OpenedShard {
  return (shard, keyring) => {
    const file = openSealedFile(tools, members, `shard-${toHex(shard)}`, {
      keyset: keyring.current,
      of(keyset) {
        const found = [...keyring.keysets].find((live) => live === keyset);
        const keys = found && keyring.keyset(found);
        if (!keys) throw new Error(`Cannot open the shard: its keyset ${keyset} is not live`);
        return keys;
      },
    });
    const sumKey = keyring.writing.rowSumKey(shard);
    const store = openSqliteShardStore({ openDatabase: file.open, crypto: tools.crypto, sumKey });
    return { store, close: () => void closeSlot(file.slot) };
  };
}
