import type { InodeId } from "@kiseki/base";
import { concatBytes } from "@kiseki/base";
import { keyAfterPrefix, leaseKey } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";

/** Kinds of leases, in their keys. */
export const leaseKind = { lock: 1, open: 2, session: 3 } as const;
const nobody = new Uint8Array(0);

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

/** Whether a session holds the file open: it outlives its names then. */
export function isHeldOpen(map: MapReader, home: bigint, inode: InodeId): boolean {
  const start = holdersPrefix(leaseKind.open, home, inode);
  let isHeld = false;
  map.scan({ start, end: keyAfterPrefix(start) }, () => {
    isHeld = true;
    return false;
  });
  return isHeld;
}
