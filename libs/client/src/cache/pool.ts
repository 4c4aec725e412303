import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { lstat, mkdir, readdir, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { millis, newBytes, type Prng, toHex } from "@kiseki/base";
import { tryLock } from "@kiseki/host";
import type { Clock } from "@kiseki/ports";
import { codeOf, eraseFile } from "./block-file.ts";

const lockName = "pool.lock";
/** Locked by who waits for the pool: its holder gives it up, and scavengers leave it alone. */
const adoptName = "adopt.lock";
const idPattern = /^[0-9a-f]{32}$/;
const attemptsMax = 3;
const pollMs = 50;
/** Looks that find the pool in use by somebody who keeps it: others hold the lock for a moment to look, too. */
const refusalsMax = 4;
const erasingCountMax = 16;
/** How long the holder of a pool may take to give it up. */
export const adoptWaitMs = 10_000;
/** What the lock's file says of a holder that gives the pool to the first who asks. */
const yieldingMark = "yields\n";
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;

/** A folder of this process alone, locked while it lives. */
export interface Pool {
  /** 32 hex digits. */
  readonly id: string;
  readonly path: string;
  /** Settles when another process waits for it, or `signal` ends the watch. */
  wanted(clock: Clock, signal: AbortSignal): Promise<void>;
  /** Lets go of it and leaves what is in it, for the process that waits. */
  handOver(): void;
  /** Erases all that is in it, and gives it up. */
  close(): Promise<void>;
}
export interface PoolPlace {
  readonly directory: string;
  /** Of the tenant, in hex. */
  readonly tenant: string;
  /** The holder gives the pool to the first who asks: so does staging. */
  readonly isYielding?: boolean;
}

/** No pool of that id, or one that somebody else has. */
export class PoolError extends Error {
  override readonly name = "PoolError";
  /** `EPERM`: others may change the folder; `EBUSY`: another process has it; `ENOENT`: there is none. */
  readonly code: "EPERM" | "EBUSY" | "ENOENT" | "EINVAL";
  constructor(code: PoolError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** A folder in which only its owner, or root, can put other files in place of ours. @throws when it is not. */
async function ensureFolder(path: string, isShared: boolean): Promise<void> {
  await mkdir(path, { recursive: isShared, mode: 0o700 }).catch((reason: unknown) => {
    if (codeOf(reason) !== "EEXIST") throw reason;
  });
  await checkFolder(path, isShared);
}
async function checkFolder(path: string, isShared: boolean): Promise<void> {
  const status = await lstat(path);
  const { mode, uid } = status;
  const isSticky = (mode & 0o1000) !== 0;
  const isOwn = uid === process.getuid?.() || (isShared && uid === 0);
  const isClosed = (mode & 0o022) === 0 || (isShared && isSticky);
  if (!status.isDirectory() || !isOwn || !isClosed || (!isShared && (mode & 0o077) !== 0))
    throw new PoolError("EPERM", `Cannot keep a cache in ${path}: others may change it`);
}
async function ensurePlace({ directory, tenant }: PoolPlace): Promise<string> {
  const path = join(directory, tenant);
  await ensureFolder(directory, true);
  await ensureFolder(path, false);
  return path;
}

/** A new pool. @throws when there can be none there. */
export async function openPool(place: PoolPlace, prng: Prng): Promise<Pool> {
  const tenantPath = await ensurePlace(place);
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const id = toHex(prng.fill(newBytes(16)));
    const path = join(tenantPath, id);
    await mkdir(path, { mode: 0o700 });
    const lock = lockPool(path);
    // A scavenger may have been quicker.
    if (lock !== undefined) return held(id, path, lock, place.isYielding);
  }
  throw new PoolError("EBUSY", "Cannot lock a pool of the cache");
}

/**
 * Takes over the pool that another process filled: one that has ended, or one that gives it up when it is asked.
 * Of several that ask for one pool at once one gets it.
 *
 * @throws {PoolError} when there is none, or its holder has not given it up after `waitMs`.
 */
export async function adoptPool(
  place: PoolPlace,
  id: string,
  clock: Clock,
  waitMs: number,
): Promise<Pool> {
  if (!idPattern.test(id)) throw new PoolError("EINVAL", `Cannot adopt ${id}: it is no pool's id`);
  const path = join(await ensurePlace(place), id);
  const missing = (): PoolError =>
    new PoolError("ENOENT", `Cannot adopt ${id}: there is no such pool`);
  await checkFolder(path, false).catch((reason: unknown) => {
    throw codeOf(reason) === "ENOENT" ? missing() : reason;
  });
  const deadline = clock.monotonic() + waitMs;
  let asking: number | undefined;
  let refusals = 0;
  try {
    while (refusals < refusalsMax && clock.monotonic() < deadline) {
      asking ??= lockFile(path, adoptName, true);
      const lock = asking === undefined ? undefined : lockPool(path);
      if (lock !== undefined) return held(id, path, lock, place.isYielding);
      if ((await stat(path).catch(() => undefined)) === undefined) throw missing();
      refusals = doesYield(path) ? 0 : refusals + 1;
      await clock.sleep(millis(pollMs), neverAborted);
    }
  } finally {
    if (asking !== undefined) closeSync(asking);
  }
  throw new PoolError("EBUSY", `Cannot adopt ${id}: another process uses it`);
}
const neverAborted = new AbortController().signal;

/** Erases a pool that nobody uses, or whose holder gives it up. @throws {PoolError} as `adoptPool`. */
export async function wipePool(
  place: PoolPlace,
  id: string,
  clock: Clock,
  waitMs: number,
): Promise<void> {
  const pool = await adoptPool(place, id, clock, waitMs);
  await pool.close();
}

function held(id: string, path: string, lock: number, isYielding = false): Pool {
  ftruncateSync(lock, 0);
  if (isYielding) writeSync(lock, yieldingMark, 0);
  let isOpen = true;
  return {
    id,
    path,
    wanted: async (clock, signal) => {
      while (isOpen && !signal.aborted && !isAskedFor(path))
        await clock.sleep(millis(pollMs), signal).catch(() => undefined);
    },
    handOver: () => {
      if (isOpen) closeSync(lock);
      isOpen = false;
    },
    close: async () => {
      if (isOpen) await erasePool(path, lock);
      isOpen = false;
    },
  };
}

/** A bare descriptor: a `FileHandle` that nobody refers to would be closed, and the lock lost. */
function lockFile(path: string, name: string, isMade: boolean): number | undefined {
  const lockPath = join(path, name);
  let lock: number;
  try {
    const flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK;
    lock = openSync(lockPath, isMade ? flags | O_CREAT : flags, 0o600);
  } catch {
    return undefined;
  }
  if (tryLock(lock) && isFileAt(lock, lockPath)) return lock;
  closeSync(lock);
  return undefined;
}
/** Whether the lock is that of the file that others find there. */
function isFileAt(lock: number, path: string): boolean {
  return fstatSync(lock).ino === lstatSync(path, { throwIfNoEntry: false })?.ino;
}
const lockPool = (path: string): number | undefined => lockFile(path, lockName, true);

/** Whether somebody waits for the pool. */
function isAskedFor(path: string): boolean {
  let file: number;
  try {
    file = openSync(join(path, adoptName), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return false;
  }
  const isFree = tryLock(file);
  closeSync(file);
  return !isFree;
}
/** Whether who has the pool gives it up when it is asked. Where nobody says, somebody is about to. */
function doesYield(path: string): boolean {
  let file: number;
  try {
    file = openSync(join(path, lockName), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return true;
  }
  const isYielding = doesYieldNow(file);
  // Who waits for the waiting place, and who asks while a scavenger looks, finds the lock free again soon.
  const isFree = tryLock(file);
  closeSync(file);
  return isYielding || isFree;
}

/** `waiting`: held by staging for who adopts it; `orphaned`: by nobody. */
export type PoolUse = "in_use" | "waiting" | "orphaned";
export function poolUse(path: string): PoolUse {
  let file: number;
  try {
    file = openSync(join(path, lockName), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return "orphaned";
  }
  const isFree = tryLock(file);
  const isYielding = doesYieldNow(file);
  closeSync(file);
  if (isFree) return "orphaned";
  return isYielding ? "waiting" : "in_use";
}
function doesYieldNow(file: number): boolean {
  const mark = newBytes(yieldingMark.length);
  return readSync(file, mark, 0, mark.byteLength, 0) === mark.byteLength;
}

async function erasePool(path: string, lock: number): Promise<void> {
  try {
    await eraseInside(path, lockName);
    await eraseFile(join(path, lockName));
    await rmdir(path).catch((reason: unknown) => {
      // A scavenger that came in between has made a lock of its own, and goes on from here.
      if (!["ENOENT", "ENOTEMPTY"].includes(codeOf(reason))) throw reason;
    });
  } finally {
    closeSync(lock);
  }
}
/** Erases what is in a folder, as much of it as can be. @throws the first fault. */
export async function eraseInside(path: string, kept?: string): Promise<void> {
  const found = await readdir(path, { withFileTypes: true }).catch((reason: unknown) => {
    if (codeOf(reason) !== "ENOENT") throw reason;
    return [];
  });
  const faults: unknown[] = [];
  const eraseSome = async (): Promise<void> => {
    for (let entry = found.pop(); entry !== undefined; entry = found.pop()) {
      if (entry.name === kept) continue;
      const inside = join(path, entry.name);
      await (entry.isDirectory() ? eraseTree(inside) : eraseFile(inside)).catch((reason: unknown) =>
        faults.push(reason),
      );
    }
  };
  await Promise.all(Array.from({ length: erasingCountMax }, eraseSome));
  if (faults.length > 0) throw faults[0] instanceof Error ? faults[0] : new Error("Cannot erase");
}
async function eraseTree(path: string): Promise<void> {
  await eraseInside(path);
  await rmdir(path);
}

/** Folders of all pools under `directory`, or of one tenant's. */
export async function listPools(directory: string, tenant?: string): Promise<string[]> {
  const names = async (path: string): Promise<string[]> =>
    (await readdir(path)).filter((name) => idPattern.test(name)).map((name) => join(path, name));
  const tenants = tenant === undefined ? await names(directory) : [join(directory, tenant)];
  const found = await Promise.all(tenants.map((path) => names(path).catch(() => [])));
  return found.flat();
}

/** Erases the pools of processes that are no more. What cannot be erased is left, and told. */
export async function scavenge(
  directory: string,
  signal: AbortSignal,
  tell: (code: string) => void,
): Promise<number> {
  let count = 0;
  try {
    for (const pool of await listPools(directory)) {
      if (signal.aborted) break;
      const lock = lockPool(pool);
      if (lock === undefined) continue;
      if (isAskedFor(pool)) {
        closeSync(lock);
        continue;
      }
      await erasePool(pool, lock).then(
        () => (count += 1),
        (reason: unknown) => {
          tell(codeOf(reason));
        },
      );
    }
  } catch (reason) {
    tell(codeOf(reason));
  }
  return count;
}
