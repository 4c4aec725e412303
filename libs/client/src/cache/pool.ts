import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { lstat, mkdir, readdir, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { newBytes, type Prng, toHex } from "@kiseki/base";
import { tryLock } from "@kiseki/host";
import { codeOf, eraseFile } from "./block-file.ts";

const lockName = "pool.lock";
const idPattern = /^[0-9a-f]{32}$/;
const attemptsMax = 3;
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;

/** A folder of this process alone, locked while it lives. */
export interface Pool {
  /** Where its blocks are. */
  readonly chunks: string;
  /** Erases all that is in it, and gives it up. */
  close(): Promise<void>;
}

/** A folder in which only its owner, or root, can put other files in place of ours. @throws when it is not. */
async function ensureFolder(path: string, isShared: boolean): Promise<void> {
  await mkdir(path, { recursive: isShared, mode: 0o700 }).catch((reason: unknown) => {
    if (codeOf(reason) !== "EEXIST") throw reason;
  });
  const { mode, uid, ...found } = await lstat(path).then((status) => ({
    mode: status.mode,
    uid: status.uid,
    isDirectory: status.isDirectory(),
  }));
  const isSticky = (mode & 0o1000) !== 0;
  const isOwn = uid === process.getuid?.() || (isShared && uid === 0);
  const isClosed = (mode & 0o022) === 0 || (isShared && isSticky);
  if (!found.isDirectory || !isOwn || !isClosed || (!isShared && (mode & 0o077) !== 0))
    throw Object.assign(new Error(`Cannot keep a cache in ${path}: others may change it`), {
      code: "EPERM",
    });
}

/** @throws when there can be no pool there. */
export async function openPool(directory: string, tenant: string, prng: Prng): Promise<Pool> {
  const tenantPath = join(directory, tenant);
  await ensureFolder(directory, true);
  await ensureFolder(tenantPath, false);
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const path = join(tenantPath, toHex(prng.fill(newBytes(16))));
    await mkdir(path, { mode: 0o700 });
    const lock = await lockPool(path);
    // A scavenger may have been quicker.
    if (lock === undefined) continue;
    const chunks = join(path, "chunks");
    await mkdir(chunks, { mode: 0o700 });
    return { chunks, close: () => erasePool(path, lock) };
  }
  throw Object.assign(new Error("Cannot lock a pool of the cache"), { code: "EAGAIN" });
}

/** A bare descriptor: a `FileHandle` that nobody refers to would be closed, and the lock lost. */
async function lockPool(path: string): Promise<number | undefined> {
  const lockPath = join(path, lockName);
  let lock: number;
  try {
    lock = openSync(lockPath, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch {
    return undefined;
  }
  if (tryLock(lock)) {
    const there = await stat(lockPath).catch(() => undefined);
    if (fstatSync(lock).ino === there?.ino) return lock;
  }
  closeSync(lock);
  return undefined;
}

async function erasePool(path: string, lock: number): Promise<void> {
  try {
    await eraseTree(join(path, "chunks"));
    await eraseFile(join(path, lockName));
    await rmdir(path).catch((reason: unknown) => {
      // A scavenger that came in between has made a lock of its own, and goes on from here.
      if (!["ENOENT", "ENOTEMPTY"].includes(codeOf(reason))) throw reason;
    });
  } finally {
    closeSync(lock);
  }
}
async function eraseTree(path: string): Promise<void> {
  const found = await readdir(path, { withFileTypes: true }).catch((reason: unknown) => {
    if (codeOf(reason) !== "ENOENT") throw reason;
    return undefined;
  });
  if (found === undefined) return;
  let fault: unknown;
  for (const entry of found) {
    const inside = join(path, entry.name);
    await (entry.isDirectory() ? eraseTree(inside) : eraseFile(inside)).catch((reason: unknown) => {
      fault ??= reason;
    });
  }
  await rmdir(path);
  if (fault !== undefined) throw fault instanceof Error ? fault : new Error("Cannot erase a file");
}

/** Erases the pools of processes that are no more. What cannot be erased is left, and told. */
export async function scavenge(
  directory: string,
  signal: AbortSignal,
  tell: (code: string) => void,
): Promise<void> {
  const names = async (path: string): Promise<string[]> =>
    (await readdir(path)).filter((name) => idPattern.test(name)).map((name) => join(path, name));
  try {
    for (const tenant of await names(directory)) {
      for (const pool of await names(tenant).catch(() => [])) {
        if (signal.aborted) return;
        const lock = await lockPool(pool);
        if (lock === undefined) continue;
        await erasePool(pool, lock).catch((reason: unknown) => {
          tell(codeOf(reason));
        });
      }
    }
  } catch (reason) {
    tell(codeOf(reason));
  }
}
