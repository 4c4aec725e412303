import type { Database } from "bun:sqlite";
import { fromHex, newBytes, type Prng } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import {
  type MemberSet,
  openDatabase,
  openSlot,
  parseFileName,
  type SlotNumber,
} from "@kiseki/sealed-sqlite";

/** Keys of one sealed file, in locked memory until closed. */
export interface FileKeys {
  pageKey(fileId: Uint8Array): Uint8Array;
  walMaskKey(fileId: Uint8Array): Uint8Array;
}

export interface SealedFile {
  readonly open: (options: { readonly readOnly: boolean }) => Database;
  readonly slot: SlotNumber;
  readonly keyset: number;
}

/** What makes and opens sealed files. */
export interface FileTools {
  readonly crypto: Crypto;
  readonly prng: Prng;
}

/** The files called `name`, highest keyset first: more than one after a keyset change that was cut short. */
export function filesNamed(
  members: Pick<MemberSet, "listFiles">,
  name: string,
): readonly FoundFile[] {
  return members
    .listFiles()
    .flatMap((file) => {
      const parsed = parseFileName(file);
      return parsed?.name === name ? [{ ...parsed, file }] : [];
    })
    .toSorted((a, b) => b.keyset - a.keyset);
}
export interface FoundFile {
  readonly file: string;
  readonly fileId: string;
  readonly keyset: number;
}

/** The file's keys in a slot of its own. */
export function openFileSlot(crypto: Crypto, keys: FileKeys, fileId: Uint8Array): SlotNumber {
  const pageKey = keys.pageKey(fileId);
  const maskKey = keys.walMaskKey(fileId);
  const slot = openSlot({ pageKey, maskKey });
  crypto.wipe(pageKey);
  crypto.wipe(maskKey);
  return slot;
}

/**
 * The file called `name` of the set, made if there is none. With several (a keyset change that was cut
 * short) the one of the highest keyset is meant: each is whole, and the newer is a copy of the older.
 */
export function openSealedFile(
  { crypto, prng }: FileTools,
  members: MemberSet,
  name: string,
  keys: { readonly keyset: number; readonly of: (keyset: number) => FileKeys },
): SealedFile {
  const found = filesNamed(members, name)[0];
  const fileId = found ? fromHex(found.fileId) : prng.fill(newBytes(16));
  const keyset = found?.keyset ?? keys.keyset;
  const slot = openFileSlot(crypto, keys.of(keyset), fileId);
  const options = { name, fileId, keyset, slot, synchronous: "full" } as const;
  if (!found) openDatabase(members, { ...options, create: true }).close(true);
  return {
    slot,
    keyset,
    open: ({ readOnly }) => openDatabase(members, { ...options, readOnly }),
  };
}
