/** What the tests of this folder share: directories that are removed afterwards, and crash images. */
import type { Database } from "bun:sqlite";
import { dlopen, FFIType } from "bun:ffi";
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBytes } from "@kiseki/base";
import { openDatabase } from "./database.ts";
import { openMembers } from "./members.ts";
import { loadSealedSqlite } from "./native.ts";
import { openSlot } from "./slots.ts";
import type { DatabaseOptions, LostMember, MemberSet, MemberSetOptions } from "./types.ts";

/** A sanitized build lies elsewhere under the same name (docs/decisions/0003-sealed-vfs-mirrors.md). */
export const nativeFolder =
  process.env["KISEKI_NATIVE_FOLDER"] ?? join(import.meta.dir, "../../../build/native");
loadSealedSqlite(nativeFolder);

export const fileId = newBytes(16).fill(0xf1);
export const keys = { pageKey: newBytes(32).fill(0x11), maskKey: newBytes(32).fill(0x22) };
/** Every value holds it; no file may. */
export const canary = "the canary sings in clear";

export interface Bench extends Disposable {
  readonly root: string;
  readonly directories: readonly string[];
  readonly note: string;
  readonly lost: LostMember[];
}

export function openBench(
  count: number,
  root = mkdtempSync(join(tmpdir(), "kiseki-sqlite-")),
): Bench {
  const directories = Array.from({ length: count }, (_, i) => join(root, `member-${i}`));
  for (const directory of [...directories, join(root, "config")])
    mkdirSync(directory, { recursive: true });
  return {
    root,
    directories,
    note: join(root, "config", "members"),
    lost: [],
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

export function openSet(bench: Bench, changes: Partial<MemberSetOptions> = {}): MemberSet {
  return openMembers({
    directories: bench.directories,
    versionNote: bench.note,
    silentMax: 2000,
    onLost: (lost) => bench.lost.push(lost),
    ...changes,
  });
}

export function databaseOptions(changes: Partial<DatabaseOptions> = {}): DatabaseOptions {
  return {
    name: "shard",
    fileId,
    keyset: 1,
    slot: openSlot(keys),
    synchronous: "full",
    ...changes,
  };
}

export const value = (n: number): string => `${n} ${canary} ${n * 7919}`.padEnd(200, "-");

export function createTable(set: MemberSet, changes: Partial<DatabaseOptions> = {}): Database {
  const database = openDatabase(set, databaseOptions({ create: true, ...changes }));
  database.run("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL)");
  return database;
}

export function insertRows(database: Database, from: number, to: number): void {
  const insert = database.prepare("INSERT INTO t VALUES (?, ?)");
  try {
    database.run("BEGIN IMMEDIATE");
    for (let n = from; n < to; n++) insert.run(n, value(n));
    database.run("COMMIT");
  } finally {
    insert.finalize();
  }
}

/** Keys of all rows; throws when one does not hold its own value. */
export function readKeys(database: Database): readonly number[] {
  using statement = database.prepare<{ k: number; v: string }, []>("SELECT k, v FROM t ORDER BY k");
  const rows = statement.all();
  for (const { k, v } of rows)
    if (v !== value(k)) throw new Error(`Row ${k} holds what was not written`);
  return rows.map(({ k }) => k);
}

/** The directories as a crash now would leave them, of a bench of their own. */
export function crashImage(bench: Bench): Bench {
  const image = openBench(bench.directories.length);
  for (const [i, directory] of bench.directories.entries()) {
    cpSync(directory, image.directories[i]!, { recursive: true });
  }
  cpSync(bench.note, image.note);
  return image;
}

export function fileOf(bench: Bench, member: number, suffix: ".db" | ".db-wal"): string {
  const directory = bench.directories[member]!;
  const name = readdirSync(directory).find((file) => file.endsWith(suffix));
  if (!name) throw new Error(`No ${suffix} in ${directory}`);
  return join(directory, name);
}

export function patchFile(
  path: string,
  patch: (bytes: Uint8Array) => Uint8Array | undefined,
): void {
  const bytes = new Uint8Array(readFileSync(path));
  writeFileSync(path, patch(bytes) ?? bytes);
}
export const flipBit = (path: string, offset: number): void =>
  patchFile(path, (bytes) => {
    bytes[offset]! ^= 1;
    return undefined;
  });

/** A file system of its own for a test, or `undefined` where nothing can be mounted. */
export interface Volume extends Disposable {
  readonly path: string;
  freeze(): void;
  thaw(): void;
  /** As a power cut leaves it: nothing unsynced survives, the journal is not flushed. */
  cut(): void;
  remount(): void;
}
const succeeds = (...cmd: string[]): boolean =>
  Bun.spawnSync(cmd, { stderr: "ignore" }).exitCode === 0;

export function openVolume(kind: "tmpfs" | "ext4", sizeMib: number): Volume | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const root = mkdtempSync(join(tmpdir(), "kiseki-volume-"));
  const [path, image] = [join(root, "mount"), join(root, "image")];
  mkdirSync(path);
  const mount = (): boolean =>
    kind === "tmpfs"
      ? succeeds("mount", "-t", "tmpfs", "-o", `size=${sizeMib}m`, "none", path)
      : succeeds("mount", "-o", "loop", image, path);
  const isReady =
    kind === "tmpfs" ||
    (succeeds("truncate", "-s", `${sizeMib}M`, image) && succeeds("mkfs.ext4", "-q", image));
  if (!isReady || !mount()) {
    rmSync(root, { recursive: true });
    return undefined;
  }
  return {
    path,
    freeze: () => succeeds("fsfreeze", "-f", path),
    thaw: () => succeeds("fsfreeze", "-u", path),
    cut: () => shutDown(path),
    remount() {
      succeeds("umount", path);
      if (!mount()) throw new Error("Cannot mount the volume again");
    },
    [Symbol.dispose]() {
      if (!succeeds("umount", path)) succeeds("umount", "-l", path);
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** EXT4_IOC_SHUTDOWN without a flush of the journal (linux/fs/ext4/ext4.h). */
function shutDown(path: string): void {
  const libc = dlopen("libc.so.6", {
    ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  });
  const flags = newBytes(4);
  flags[0] = 2;
  const fd = openSync(path, "r");
  const code = libc.symbols.ioctl(fd, 0x8004587dn, flags);
  closeSync(fd);
  libc.close();
  if (code !== 0) throw new Error("Cannot shut the volume down");
}
