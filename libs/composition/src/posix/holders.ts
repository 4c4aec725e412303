import type { InodeId } from "@kiseki/base";
import { concatBytes, wallTime } from "@kiseki/base";
import { encodeLease, keyAfterPrefix, leaseKey } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { Step } from "../step.ts";
import type { ClientId } from "./operation.ts";

/** Kinds of leases, in their keys. */
export const leaseKind = { lock: 1, open: 2, session: 3 } as const;
const nobody = new Uint8Array(0);
const held = encodeLease({ epoch: 0n, expires: wallTime(0), payload: new Uint8Array(0) });
/** What the log says of how long a keeper keeps; its end is told by whoever named it. */
const keeperMs = 60_000;

/** Names a file in the keys of its leases. */
export function leaseTarget(home: bigint, inode: InodeId): Uint8Array {
  const target = new Uint8Array(16);
  const view = new DataView(target.buffer);
  view.setBigUint64(0, home);
  view.setBigUint64(8, inode);
  return target;
}
/** Rows of all sessions with that lease on the file; the client's id follows. No client has an empty id. */
export const holdersPrefix = (kind: number, home: bigint, inode: InodeId): Uint8Array =>
  leaseKey(nobody, kind, leaseTarget(home, inode));
export const holderKey = (
  kind: number,
  home: bigint,
  inode: InodeId,
  client: Uint8Array,
): Uint8Array => concatBytes(holdersPrefix(kind, home, inode), client);

/** Rows of all sessions; the client's id follows. */
export const sessionsPrefix = (): Uint8Array => leaseKey(nobody, leaseKind.session, nobody);
export function grantSession({ map }: Step, client: ClientId, expires: number): void {
  const row = encodeLease({ epoch: 0n, expires: wallTime(expires), payload: nobody });
  map.put(leaseKey(client, leaseKind.session, nobody), row);
  map.put(concatBytes(sessionsPrefix(), client), row);
}

/** The session holds the file open: a row by session, to end with it, and one by file, to ask when it loses its name. */
export function holdInode({ map }: Step, home: bigint, inode: InodeId, client: ClientId): void {
  map.put(leaseKey(client, leaseKind.open, leaseTarget(home, inode)), held);
  const holder = holderKey(leaseKind.open, home, inode, client);
  if (map.get(holder) === undefined) map.put(holder, held);
}

/** Whether a file outlives its last name, which goes now: a session holds it open, or its keeper does from now on. */
export function isKept(step: Step, home: bigint, inode: InodeId): boolean {
  const { keeper: keeperOf, now } = step.context;
  const keeper = keeperOf?.(inode);
  if (keeper === undefined) return isHeldOpen(step.map, home, inode);
  grantSession(step, keeper, now + keeperMs);
  holdInode(step, home, inode, keeper);
  return true;
}

/** Whether a session holds the file open: it outlives its names then. */
export function isHeldOpen(map: MapReader, home: bigint, inode: InodeId): boolean {
  const start = holdersPrefix(leaseKind.open, home, inode);
  let isHeld = false;
  map.scan({ start, end: keyAfterPrefix(start), expected: 1 }, () => {
    isHeld = true;
    return false;
  });
  return isHeld;
}
