import { constants, Database } from "bun:sqlite";
import { assert, newBytes, toHex } from "@kiseki/base";
import { cText, native } from "./native.ts";
import {
  type DatabaseOptions,
  type MemberSetHandle,
  SealedSqliteError,
  type SealedSqliteErrorCode,
  type SlotNumber,
} from "./types.ts";

/** Of a file whose creation has not ended. */
export const unfinishedSuffix = ".new";
const reserveBytesControl = 38; // SQLITE_FCNTL_RESERVE_BYTES
const reservedSize = 32;
const walPagesMax = 1000; // frames after which a COMMIT checkpoints
const walSizeMax = 64 * 1024 * 1024; // bytes that a WAL keeps after it was checkpointed

/** Name of the file: what it is for, its id, the keyset of its keys (KEYS §3). */
export function fileName(name: string, fileId: Uint8Array, keyset: number): string {
  assert(/^[a-z0-9-]{1,64}$/.test(name), "a name has 1 to 64 of a-z, 0-9 and -");
  assert(fileId.byteLength === 16, "a file id has 16 bytes");
  assert(
    Number.isInteger(keyset) && keyset >= 1 && keyset <= 0xffffffff,
    "a keyset is a u32 from 1",
  );
  return `${name}-${toHex(fileId)}-k${keyset}.db`;
}

/** The parts of a name that `fileName` made, or `undefined`. */
export function parseFileName(
  file: string,
): { readonly name: string; readonly fileId: string; readonly keyset: number } | undefined {
  const parts = /^([a-z0-9-]{1,64})-([0-9a-f]{32})-k([1-9][0-9]{0,9})\.db$/.exec(file);
  return parts ? { name: parts[1]!, fileId: parts[2]!, keyset: Number(parts[3]) } : undefined;
}

const codes: Record<string, SealedSqliteErrorCode> = {
  SQLITE_CANTOPEN: "missing",
  SQLITE_IOERR_DATA: "damaged",
  SQLITE_CORRUPT: "damaged",
  SQLITE_NOTADB: "damaged",
};

/** What an error of bun:sqlite on a database of the set means. */
function toSealedSqliteError(
  set: MemberSetHandle,
  reason: unknown,
  slot?: SlotNumber,
): SealedSqliteError {
  if (reason instanceof SealedSqliteError) return reason;
  const numbers = new BigUint64Array(new ArrayBuffer(64));
  const known = native().kiseki_set_status(set.number, numbers) === 0;
  const text = reason instanceof Error ? reason.message : String(reason);
  if (!known || numbers[1] === 0n) {
    return new SealedSqliteError("no_member", `No member is left: ${text}`, { cause: reason });
  }
  if (slot !== undefined && native().kiseki_slot_is_open(slot) === 0) {
    return new SealedSqliteError("slot_closed", `The key slot is closed: ${text}`, {
      cause: reason,
    });
  }
  const sqlite = reason instanceof Error && "code" in reason ? String(reason.code) : "";
  return new SealedSqliteError(codes[sqlite] ?? "io", text, { cause: reason });
}

function connect(set: MemberSetHandle, file: string, options: DatabaseOptions, flags: number) {
  const full = options.synchronous === "full" ? 1 : 0;
  const path = `file:/kiseki/${set.number}/${file}?vfs=kiseki&slot=${options.slot}&full=${full}`;
  return new Database(path, flags | constants.SQLITE_OPEN_URI);
}

/** An empty file under another name; `finishFile` gives it its own. */
function startFile(set: MemberSetHandle, file: string, options: DatabaseOptions): Database {
  const temporary = `${file}${unfinishedSuffix}`;
  if (native().kiseki_file_exists(set.number, cText(file)) !== 0) {
    throw new SealedSqliteError("exists", `Cannot create ${file}: it is there`);
  }
  for (const leftover of [temporary, `${temporary}-wal`]) {
    native().kiseki_file_delete(set.number, cText(leftover));
  }
  const flags = constants.SQLITE_OPEN_READWRITE | constants.SQLITE_OPEN_CREATE;
  const database = connect(set, temporary, options, flags);
  try {
    const argument = new Int32Array(newBytes(8).buffer);
    argument[0] = reservedSize;
    database.fileControl(reserveBytesControl, argument);
    database.run("PRAGMA page_size = 4096");
    database.run("PRAGMA journal_mode = MEMORY"); // no journal file, whose pages would be in the clear
    database.run("PRAGMA synchronous = FULL");
    return database;
  } catch (reason) {
    database.close();
    throw reason;
  }
}

/** What was written is synced on all members; the file appears on all of them, or after a crash on some, whole. */
function finishFile(set: MemberSetHandle, file: string): void {
  const temporary = cText(`${file}${unfinishedSuffix}`);
  const code = native().kiseki_file_rename(set.number, temporary, cText(file));
  if (code !== 0) throw new SealedSqliteError("no_member", `Cannot create ${file} on any member`);
}

function create(set: MemberSetHandle, file: string, options: DatabaseOptions): void {
  const database = startFile(set, file, options);
  try {
    database.run("PRAGMA journal_mode = WAL");
  } finally {
    database.close(true);
  }
  finishFile(set, file);
}

/**
 * Makes a file with what `fill` writes into it: it appears filled and synced, or not at all. `fill` closes
 * its statements and leaves no transaction open.
 * @throws {SealedSqliteError} as `openDatabase`; and what `fill` throws, with nothing made.
 */
export async function createFilledDatabase(
  set: MemberSetHandle,
  options: Pick<DatabaseOptions, "name" | "fileId" | "keyset" | "slot">,
  fill: (database: Database) => Promise<void>,
): Promise<void> {
  const file = fileName(options.name, options.fileId, options.keyset);
  const database = startFile(set, file, { ...options, synchronous: "full" });
  try {
    database.run("PRAGMA temp_store = MEMORY");
    await fill(database);
    database.run("PRAGMA journal_mode = WAL");
  } finally {
    database.close(true);
  }
  finishFile(set, file);
}

function configure(database: Database, options: DatabaseOptions): void {
  database.run(`PRAGMA cache_size = -${options.cacheKib ?? 2048}`);
  database.run("PRAGMA temp_store = MEMORY");
  database.run("PRAGMA mmap_size = 0");
  database.run("PRAGMA busy_timeout = 5000");
  database.run("PRAGMA trusted_schema = OFF");
  database.run("PRAGMA cell_size_check = ON");
  database.run(`PRAGMA synchronous = ${options.synchronous.toUpperCase()}`);
  database.run(`PRAGMA journal_size_limit = ${walSizeMax}`);
  database.run(`PRAGMA wal_autocheckpoint = ${walPagesMax}`);
  if (options.readOnly) return;
  // Raises the change counter in page 1, by which an old copy put back on one member is known.
  database.run("PRAGMA application_id = 1263748937"); // "KSKI"
}

/**
 * A connection to a sealed file, usable in the thread that made it. WAL, pages of 4096 bytes of which 32
 * are the seal's, temporary tables in memory. Close with `close(true)`, before the set.
 * @throws {SealedSqliteError} `missing`, `exists`, `damaged`, `no_member`, `slot_closed`, `io`.
 */
export function openDatabase(set: MemberSetHandle, options: DatabaseOptions): Database {
  const file = fileName(options.name, options.fileId, options.keyset);
  assert(!(options.create && options.readOnly), "what is created is written");
  let database: Database | undefined;
  try {
    if (options.create) create(set, file, options);
    const flags = options.readOnly
      ? constants.SQLITE_OPEN_READONLY
      : constants.SQLITE_OPEN_READWRITE;
    database = connect(set, file, options, flags);
    configure(database, options);
    return database;
  } catch (reason) {
    database?.close();
    throw toSealedSqliteError(set, reason, options.slot);
  }
}

/** A stretch of a file, looked at on all members. */
export interface ScrubResult {
  /** Pages in the file. */
  readonly pages: number;
  /** Pages of the stretch that no member has whole. */
  readonly damaged: number;
  /** Number of the first of them, from 1; 0 when there is none. */
  readonly firstDamaged: number;
}

/**
 * Checks the tags of pages `[first, first + count)` (from 1) on every member and writes good ones over
 * bad ones; beside writers too. Blocks for about 2 µs a page and member, plus reading: keep `count` small.
 * @throws {SealedSqliteError} `missing`, `no_member`, `slot_closed`, `io`.
 */
export function scrubFile(
  set: MemberSetHandle,
  options: Pick<DatabaseOptions, "name" | "fileId" | "keyset" | "slot">,
  first: number,
  count: number,
): ScrubResult {
  assert(first >= 1 && count >= 1, "pages count from 1");
  const file = fileName(options.name, options.fileId, options.keyset);
  const found = new BigUint64Array(new ArrayBuffer(24));
  const code = native().kiseki_file_scrub(
    set.number,
    cText(file),
    options.slot,
    first,
    count,
    found,
  );
  if (code === -2) throw new SealedSqliteError("missing", `Cannot scrub ${file}: it is not there`);
  if (code !== 0) {
    throw toSealedSqliteError(set, new Error(`Cannot scrub ${file}: errno ${-code}`), options.slot);
  }
  return {
    pages: Number(found[0]),
    damaged: Number(found[1]),
    firstDamaged: Number(found[2]),
  };
}
