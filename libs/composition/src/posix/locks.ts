import type { InodeId } from "@kiseki/base";
import { wallTime } from "@kiseki/base";
import type { FileLock } from "@kiseki/format";
import {
  decodeFileLocks,
  decodeLease,
  encodeFileLocks,
  encodeLease,
  keyAfterPrefix,
  leaseKey,
} from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { Answer, DirKeys, Refusal } from "../operation.ts";
import { isRefusal, refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import { findFile } from "./file.ts";
import { holderKey, holdersPrefix, leaseKind, leaseTarget } from "./holders.ts";
import type { ClientId, FileRef, LockRange, PosixOperation } from "./operation.ts";
import type { FoundLock } from "./reading.ts";

type Of<Kind extends PosixOperation["kind"]> = Extract<PosixOperation, { kind: Kind }>;
/** Ranges that one session may hold on one file. */
const locksMax = 1024;
const rangeEnd = 1n << 63n;
const nothing = new Uint8Array(0);
const leaseOf = (payload: Uint8Array): Uint8Array =>
  encodeLease({ epoch: 0n, expires: wallTime(0), payload });

type Range = Pick<LockRange, "space" | "owner" | "start" | "end">;
const overlaps = (a: Range, b: Range): boolean =>
  a.space === b.space && a.start < b.end && b.start < a.end;

/** The owner's locks without what they cover of `range`: one may fall in two. */
export function withoutRange(locks: readonly FileLock[], range: Range): readonly FileLock[] {
  return locks.flatMap((lock) => {
    if (lock.owner !== range.owner || !overlaps(lock, range)) return [lock];
    const pieces: FileLock[] = [];
    if (lock.start < range.start) pieces.push({ ...lock, end: range.start });
    if (lock.end > range.end) pieces.push({ ...lock, start: range.end });
    return pieces;
  });
}
/** With `lock`, touching ones of the same owner and kind joined; in the order of their starts. */
export function withRange(locks: readonly FileLock[], lock: FileLock): readonly FileLock[] {
  let { start, end } = lock;
  const others = withoutRange(locks, lock).filter((other) => {
    const isLike =
      other.space === lock.space && other.owner === lock.owner && other.kind === lock.kind;
    const isTouching =
      isLike && other.pid === lock.pid && (other.end === start || other.start === end);
    if (!isTouching) return true;
    if (other.end === start) ({ start } = other);
    else ({ end } = other);
    return false;
  });
  return [...others, { ...lock, start, end }].toSorted((a, b) =>
    a.start < b.start ? -1 : a.start > b.start ? 1 : 0,
  );
}

function locksOf(map: MapReader, file: FileRef, client: ClientId): readonly FileLock[] {
  const value = map.get(holderKey(leaseKind.lock, file.home, file.inode, client));
  return value === undefined ? [] : decodeFileLocks(decodeLease(value).payload);
}
function putLocks(step: Step, file: FileRef, client: ClientId, locks: readonly FileLock[]): void {
  const { map } = step;
  const byFile = holderKey(leaseKind.lock, file.home, file.inode, client);
  const byClient = leaseKey(client, leaseKind.lock, leaseTarget(file.home, file.inode));
  if (locks.length === 0) {
    map.delete(byFile);
    map.delete(byClient);
    return;
  }
  map.put(byFile, leaseOf(encodeFileLocks(locks)));
  map.put(byClient, leaseOf(nothing));
}
/** The session's locks on the file go. */
export function dropLocks(step: Step, home: bigint, inode: InodeId, client: ClientId): void {
  const key = holderKey(leaseKind.lock, home, inode, client);
  if (step.map.get(key) === undefined) return;
  step.map.delete(key);
  step.map.delete(leaseKey(client, leaseKind.lock, leaseTarget(home, inode)));
}

/** The first lock of another owner that is in the way. */
function findConflict(
  map: MapReader,
  file: FileRef,
  client: ClientId,
  wanted: LockRange,
): Extract<FoundLock, { kind: "lock" }> | undefined {
  let found: Extract<FoundLock, { kind: "lock" }> | undefined;
  const start = holdersPrefix(leaseKind.lock, file.home, file.inode);
  map.scan({ start, end: keyAfterPrefix(start) }, (key, value) => {
    const holder = key.slice(start.byteLength);
    const isOwn = holder.toHex() === client.toHex();
    const lock = decodeFileLocks(decodeLease(value).payload).find(
      (each) =>
        overlaps(each, wanted) &&
        !(isOwn && each.owner === wanted.owner) &&
        (each.kind === "exclusive" || wanted.kind === "exclusive"),
    );
    if (lock !== undefined) found = { kind: "lock", client: holder, lock };
    return found === undefined;
  });
  return found;
}

const isRange = ({ start, end }: Pick<LockRange, "start" | "end">): boolean =>
  start >= 0n && start < end && end <= rangeEnd;

export function lockFile(step: Step, operation: Of<"lock">): Answer | Refusal {
  const { client, lock } = operation;
  const file = findLockable(step, operation.file);
  if (isRefusal(file)) return file;
  if (!isRange(lock)) return refuse("invalid_argument");
  if (findConflict(step.map, file, client, lock) !== undefined) return refuse("lock_conflict");
  const locks = withRange(locksOf(step.map, file, client), lock);
  if (locks.length > locksMax) return refuse("too_many_locks");
  putLocks(step, file, client, locks);
  return { kind: "none" };
}
export function unlockFile(step: Step, operation: Of<"unlock">): Answer | Refusal {
  const { client, lock, file } = operation;
  if (!isRange(lock)) return refuse("invalid_argument");
  const before = locksOf(step.map, file, client);
  if (before.length === 0) return { kind: "none" };
  const locks = withoutRange(before, lock);
  if (locks.length > locksMax) return refuse("too_many_locks");
  putLocks(step, file, client, locks);
  return { kind: "none" };
}
/** Directories may be locked too (flock). */
function findLockable(step: Step, ref: FileRef): FileRef | Refusal {
  if (ref.home === 0n) return ref;
  const file = findFile(step.map, step.context.dirKeys, ref);
  return isRefusal(file) ? file : ref;
}

/** F_GETLK: what keeps `lock` from being granted now. */
export function findLock(
  map: MapReader,
  dirKeys: DirKeys,
  query: { readonly file: FileRef; readonly client: ClientId; readonly lock: LockRange },
): FoundLock | Refusal {
  const { file, client, lock } = query;
  if (file.home !== 0n) {
    const found = findFile(map, dirKeys, file);
    if (isRefusal(found)) return found;
  }
  return findConflict(map, file, client, lock) ?? { kind: "free" };
}
