import type { Database } from "bun:sqlite";
import { fromHex, newBytes, type Prng } from "@kiseki/base";
import type { Crypto } from "@kiseki/ports";
import {
  type MemberSet,
  openDatabase,
  openSlot,
  parseFileName,
  SealedSqliteError,
  type SlotNumber,
} from "@kiseki/sealed-sqlite";

/** Keys of one sealed file, in locked memory until closed. */
export interface FileKeys {
  pageKey(fileId: Uint8Array): Uint8Array;
  walMaskKey(fileId: Uint8Array): Uint8Array;
}

export interface SealedFile {
  readonly open: (options: { readonly readOnly: boolean }) => Database;
  readonly name: string;
  readonly fileId: Uint8Array;
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

const folders = (members: MemberSet): string =>
  members
    .status()
    .members.map(({ directory }) => directory)
    .join(", ");

const damageCodes: ReadonlySet<string> = new Set([
  "SQLITE_IOERR_DATA",
  "SQLITE_CORRUPT",
  "SQLITE_NOTADB",
]);
function isDamage(reason: unknown): reason is Error {
  if (reason instanceof SealedSqliteError) {
    // A file that is listed and cannot be opened has lost its first page.
    return reason.code === "damaged" || (reason.code === "missing" && reason.cause !== undefined);
  }
  return reason instanceof Error && "code" in reason && damageCodes.has(String(reason.code));
}

/** What `open` does to the file called `name`; when its bytes are damaged the error says whose and what helps. */
export function namingFile<T>(members: MemberSet, name: string, open: () => T): T {
  try {
    return open();
  } catch (reason) {
    if (!isDamage(reason)) throw reason;
    throw new SealedSqliteError(
      "damaged",
      `Cannot use the file ${name}-… in ${folders(members)}: ${reason.message}; no member has it whole. ` +
        "Put back a good copy of the directory, or bring back a mirror that has one",
      { cause: reason },
    );
  }
}

/**
 * The file called `name` of the set, made if there is none and `isNew`: a file that was there and is gone
 * is a loss, and an empty one in its place would hide it. With several (a keyset change that was cut
 * short) the one of the highest keyset is meant: each is whole, and the newer is a copy of the older.
 */
export function openSealedFile(
  { crypto, prng }: FileTools,
  members: MemberSet,
  name: string,
  keys: { readonly keyset: number; readonly of: (keyset: number) => FileKeys },
  isNew = true,
): SealedFile {
  const found = filesNamed(members, name)[0];
  if (!found && !isNew) {
    throw new SealedSqliteError(
      "missing",
      `Cannot find the file ${name}-… in ${folders(members)}, where it was: put it back, or bring back a ` +
        "mirror that has it",
    );
  }
  const fileId = found ? fromHex(found.fileId) : prng.fill(newBytes(16));
  const keyset = found?.keyset ?? keys.keyset;
  const slot = openFileSlot(crypto, keys.of(keyset), fileId);
  const options = { name, fileId, keyset, slot, synchronous: "full" } as const;
  if (!found) openDatabase(members, { ...options, create: true }).close(true);
  return {
    name,
    fileId,
    slot,
    keyset,
    open: ({ readOnly }) => openDatabase(members, { ...options, readOnly }),
  };
}
