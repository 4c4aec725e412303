/**
 * Fire at what the C side parses: member lists, pages of main files, headers and frames of WALs.
 *
 * Images are made once by the real VFS, as a crash left them, damaged, and opened through the real driver. What may
 * come of it: the rows of a transaction that was committed, or a refusal with a code. `KISEKI_NATIVE_FOLDER` names
 * another build of the library (one with sanitizers: sealed.fuzz.test.ts).
 */
import type { Database } from "bun:sqlite";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes, type Prng, prngFromSeed } from "@kiseki/base";
import { type FuzzTarget, must, pick } from "@kiseki/base/contract";
import { openDatabase, scrubFile } from "./database.ts";
import { openMembers } from "./members.ts";
import { crc32c, loadSealedSqlite } from "./native.ts";
import { openSlot } from "./slots.ts";
import {
  type DatabaseOptions,
  type MemberSet,
  SealedSqliteError,
  type SlotNumber,
} from "./types.ts";

const pageSize = 4096;
const frameSize = 4120;
const walHeaderSize = 32;
const listVersionOffset = 16;
const lengths = [10, 120, 3000, 9000]; // within a cell, over a page's quarter, with overflow pages

/** Rows by key. */
type Rows = ReadonlyMap<number, string>;
/** What stands in one directory, or the note. */
type Files = Map<string, Uint8Array<ArrayBuffer>>;
interface Image {
  /** The note last. */
  readonly folders: readonly Files[];
  /** Number of the last transaction that a checkpoint carried into the main file. */
  readonly checkpointed: number;
  /** Rows after each transaction. */
  readonly states: readonly Rows[];
}

const valueOf = (prng: Prng, key: number): string =>
  `${key} ${prng.below(2 ** 32)} `.padEnd(pick(prng, lengths), "-abcdefg");

/** Changes of one transaction; row 0 tells its number. */
function change(database: Database, prng: Prng, rows: Map<number, string>, number: number): void {
  const put = database.prepare("INSERT OR REPLACE INTO t VALUES (?, ?)");
  const remove = database.prepare("DELETE FROM t WHERE k = ?");
  database.run("BEGIN IMMEDIATE");
  rows.set(0, String(number));
  put.run(0, String(number));
  for (let i = 1 + prng.below(5); i > 0; i--) {
    const key = 1 + prng.below(60);
    if (prng.chance(1, 4)) {
      rows.delete(key);
      remove.run(key);
    } else {
      rows.set(key, valueOf(prng, key));
      put.run(key, rows.get(key)!);
    }
  }
  database.run("COMMIT");
  put.finalize();
  remove.finalize();
}

const readFolder = (folder: string): Files =>
  new Map(
    readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]),
  );

class Bed {
  readonly #root = mkdtempSync(
    join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "kiseki-fuzz-"),
  );
  readonly #slot: SlotNumber;
  readonly images: readonly Image[];
  constructor() {
    const built = join(import.meta.dir, "../../../build/native");
    loadSealedSqlite(process.env["KISEKI_NATIVE_FOLDER"] ?? built);
    this.#slot = openSlot({
      pageKey: newBytes(32).fill(0x11),
      maskKey: newBytes(32).fill(0x22),
    });
    this.images = [1, 2].flatMap((members) => [
      this.#makeImage(members, 12, 12),
      this.#makeImage(members, 12, 0),
      this.#makeImage(members, 10, 5),
    ]);
    this.clear();
  }

  /** Nothing stays between executions; `lay` makes the folder again. */
  clear(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }

  options(changes: Partial<DatabaseOptions> = {}): DatabaseOptions {
    const fileId = newBytes(16).fill(0xf1);
    return { name: "f", fileId, keyset: 1, slot: this.#slot, synchronous: "full", ...changes };
  }

  directories(image: Pick<Image, "folders">): readonly string[] {
    return image.folders.map((_, i) => join(this.#root, `${i}`));
  }

  openSet(image: Pick<Image, "folders">): MemberSet {
    const directories = this.directories(image);
    return openMembers({
      directories: directories.slice(0, -1),
      versionNote: join(directories.at(-1)!, "note"),
      silentMax: 60_000,
    });
  }

  lay(image: Pick<Image, "folders">): void {
    for (const [i, directory] of this.directories(image).entries()) {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory, { recursive: true });
      for (const [name, bytes] of image.folders[i]!) writeFileSync(join(directory, name), bytes);
    }
  }

  /** `count` transactions, of which the first `checkpointed` are in the main file, and none of the rest. */
  #makeImage(members: number, count: number, checkpointed: number): Image {
    const empty = { folders: Array.from({ length: members + 1 }, (): Files => new Map()) };
    this.lay(empty);
    const prng = prngFromSeed(count * 16 + checkpointed);
    const set = this.openSet(empty);
    const database = openDatabase(set, this.options({ create: true }));
    database.run("PRAGMA wal_autocheckpoint = 0");
    database.run("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL)");
    const rows = new Map<number, string>();
    const states: Rows[] = [new Map()];
    for (let number = 1; number <= count; number++) {
      change(database, prng, rows, number);
      states.push(new Map(rows));
      if (number === checkpointed) database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    const folders = this.directories(empty).map(readFolder);
    database.close(true);
    set.close();
    return { folders, checkpointed, states };
  }
}
let bed: Bed | undefined;

const extremes = [0, 1, 2, 0x7f, 0x80, 0xff];

/** One edit of a file; `unit` and `head` say where its records begin. */
function damage(prng: Prng, source: Uint8Array<ArrayBuffer>, head: number, unit: number) {
  const size = source.byteLength;
  const bytes = source.slice();
  const count = Math.max(1, Math.floor((size - head) / unit));
  const record = (): number => Math.min(size, head + prng.below(count) * unit);
  const at = prng.below(size + 1);
  switch (prng.below(9)) {
    case 0:
      if (at < size) bytes[at]! ^= 1 << prng.below(8);
      return bytes;
    case 1: // a field of a record: at its begin or its end, where headers, nonces and tags are
      return bytes.fill(
        pick(prng, extremes),
        ...span(
          record() + pick(prng, [0, 4, 8, 16, 20, 24, 28, unit - 32, unit - 20, unit - 4]),
          1 + prng.below(8),
        ),
      );
    case 2:
      return bytes.subarray(0, at).slice();
    case 3:
      return bytes.subarray(0, record()).slice();
    case 4: // records change places
      bytes.copyWithin(record(), record(), record() + unit);
      return bytes;
    case 5:
      return bytes.fill(0, ...span(record(), unit * (1 + prng.below(3))));
    case 6:
      prng.fill(bytes.subarray(...span(at, 1 + prng.below(600))));
      return bytes;
    case 7: {
      const more = newBytes(size + prng.below(2 * unit));
      more.set(bytes);
      if (prng.chance(1, 2)) prng.fill(more.subarray(size));
      else more.copyWithin(size, Math.min(size, record()), Math.min(size, record() + unit));
      return more;
    }
    default: // everything before moves
      return Uint8Array.from([
        ...bytes.subarray(0, at),
        ...prng.fill(newBytes(1 + prng.below(40))),
        ...bytes.subarray(at),
      ]);
  }
}
const span = (start: number, size: number): [start: number, end: number] => [start, start + size];

/** Makes the checksum of a WAL's header fit: it is not keyed, so whoever writes to the disk can do it too. */
function sumHeader(bytes: Uint8Array): void {
  if (bytes.byteLength < walHeaderSize) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const isLittle = (view.getUint32(0) & 1) === 0;
  let [s0, s1] = [0, 0];
  for (let i = 0; i < 24; i += 8) {
    s0 = (s0 + view.getUint32(i, isLittle) + s1) >>> 0;
    s1 = (s1 + view.getUint32(i + 4, isLittle) + s0) >>> 0;
  }
  view.setUint32(24, s0);
  view.setUint32(28, s1);
}
function sumList(bytes: Uint8Array): void {
  const end = bytes.byteLength - 4;
  if (end < 0) return;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(
    end,
    crc32c(0, bytes.subarray(0, end)),
    true,
  );
}

interface Kind {
  readonly suffix: string;
  readonly head: number;
  readonly unit: number;
  /** Makes sums fit that whoever damages the file could make too. */
  readonly sum?: (bytes: Uint8Array) => void;
}
const main: Kind = { suffix: ".db", head: 0, unit: pageSize };
const wal: Kind = { suffix: ".db-wal", head: walHeaderSize, unit: frameSize, sum: sumHeader };
const list: Kind = { suffix: "members", head: listVersionOffset, unit: 8, sum: sumList };
const note: Kind = { ...list, suffix: "note" };

/** Damages `files` up to three times; the words say what was done. */
function damageFile(prng: Prng, files: Files, kind: Kind, isForged: boolean): string {
  const name = [...files.keys()].find((each) => each.endsWith(kind.suffix));
  if (name === undefined) return `no ${kind.suffix}`;
  if (prng.chance(1, 24)) {
    files.delete(name);
    return `${name} is gone`;
  }
  let bytes = files.get(name)!;
  for (let i = prng.below(3); i >= 0; i--) bytes = damage(prng, bytes, kind.head, kind.unit);
  if (isForged) {
    if (kind === wal && bytes.byteLength >= walHeaderSize && prng.chance(1, 2))
      bytes.fill(pick(prng, extremes), ...span(prng.below(24), 1 + prng.below(4)));
    kind.sum?.(bytes);
  }
  files.set(name, bytes);
  return `${name}: ${bytes.byteLength} bytes, crc32c ${crc32c(0, bytes)}`;
}

/** Rows and their number, all of one transaction. */
function checkRows(database: Database, image: Image): number {
  const tables = database.query<{ name: string }, []>("SELECT name FROM sqlite_master").all();
  if (!tables.some(({ name }) => name === "t")) {
    must(image.checkpointed === 0, "a table that a checkpoint wrote stays");
    return 0;
  }
  using statement = database.prepare<{ k: number; v: string }, []>("SELECT k, v FROM t ORDER BY k");
  const rows = new Map(statement.all().map(({ k, v }) => [k, v]));
  const number = Number(rows.get(0) ?? 0);
  must(number >= image.checkpointed, "what a checkpoint wrote is not lost");
  const state = image.states[number];
  must(state !== undefined && state.size === rows.size, "the rows are those of a transaction");
  for (const [key, value] of state) must(rows.get(key) === value, `row ${key} is what was written`);
  return number;
}

/** Reads all, writes, scrubs; closed in any case. */
function useDatabase(at: Bed, image: Image, set: MemberSet): number {
  const database = openDatabase(set, at.options());
  try {
    const number = checkRows(database, image);
    const check = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get();
    must(check?.integrity_check === "ok", `a file that opens is whole: ${check?.integrity_check}`);
    database.run("CREATE TABLE IF NOT EXISTS more (k)");
    database.run("INSERT INTO more VALUES (1)");
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    must(checkRows(database, image) === number, "a write changes no other row");
    return number;
  } finally {
    database.close();
  }
}

const refusals = new Set(["damaged", "missing", "older_list", "no_member", "foreign", "io"]);
/** The word of a refusal. @throws what is none. */
function refusalOf(set: MemberSet | undefined, reason: unknown): string {
  const isSqlite =
    reason instanceof Error && "code" in reason && /^SQLITE_/.test(String(reason.code));
  if (!isSqlite && !(reason instanceof SealedSqliteError)) throw reason;
  // openDatabase() has named its own; a statement's error says SQLITE_….
  const code =
    reason instanceof SealedSqliteError ? reason.code : String((reason as { code?: unknown }).code);
  if (!isSqlite || set === undefined)
    must(refusals.has(code), `a refusal has a known code: ${code}`);
  else must(/^SQLITE_(IOERR|CORRUPT|NOTADB)/.test(code), `a refusal names damage: ${code}`);
  return code;
}

function run(kinds: readonly Kind[], prng: Prng, show: (input: string) => void): string {
  bed ??= new Bed();
  const image = pick(prng, bed.images);
  const folders = image.folders.map((files): Files => new Map(files));
  const members = folders.length - 1;
  const isForged = prng.chance(1, 3);
  const done: string[] = [];
  const hit = new Set<number>();
  for (let i = prng.below(2); i >= 0; i--) {
    const kind = pick(prng, kinds);
    const member = prng.below(members);
    if (kind !== note) hit.add(member);
    done.push(
      `${member}/${damageFile(prng, folders[kind === note ? members : member]!, kind, isForged)}`,
    );
  }
  show(`image ${bed.images.indexOf(image)}: ${done.join("; ")}`);
  bed.lay({ folders });
  let set: MemberSet | undefined;
  try {
    set = bed.openSet({ folders });
    const scrubbed = prng.chance(1, 4) ? scrubFile(set, bed.options(), 1, 1000) : undefined;
    const number = useDatabase(bed, image, set);
    if (hit.size < members && !isForged && !kinds.includes(list))
      must(number === image.states.length - 1, "what one member has whole is not lost");
    return number === image.states.length - 1
      ? scrubbed?.damaged
        ? "scrubbed"
        : "accepted"
      : "cut";
  } catch (reason) {
    const code = refusalOf(set, reason);
    if (kinds.includes(list)) return code;
    must(hit.size === members || isForged, `one good member is enough: ${code}`);
    return code;
  } finally {
    set?.close();
    bed.clear();
  }
}

const target = (name: string, kinds: readonly Kind[]): FuzzTarget => ({
  name,
  run: (prng, show) => run(kinds, prng, show),
});
export const sealedTargets: readonly FuzzTarget[] = [
  target("sealed-pages", [main]),
  target("sealed-wal", [wal, wal, main]),
  target("sealed-members", [list, note, main]),
];
