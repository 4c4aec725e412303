import { concatBytes, inodeId } from "@kiseki/base";
import { decodeLease, keyAfterPrefix, leaseKey, leasePrefix } from "@kiseki/format";
import type { MapReader } from "@kiseki/ports";
import type { Answer } from "../operation.ts";
import { afterKey } from "../row-cursor.ts";
import type { Step } from "../step.ts";
import { grantSession, leaseKind, sessionsPrefix } from "./holders.ts";
import { dropLocks } from "./locks.ts";
import { releaseOpen } from "./open-files.ts";
import type { ClientId, PosixOperation } from "./operation.ts";

type Of<Kind extends PosixOperation["kind"]> = Extract<PosixOperation, { kind: Kind }>;
/** Leases that one step ends at most. */
const leasesPerStep = 256;
const nothing = new Uint8Array(0);

export function openSession(step: Step, { client, expires }: Of<"open_session">): Answer {
  grantSession(step, client, expires);
  return { kind: "none" };
}

/** Sessions that the log knows, by client above `after`: whoever serves them afresh ends those that do not come back. */
export function listSessions(
  map: MapReader,
  after: ClientId | undefined,
  countMax: number,
): readonly ClientId[] {
  const clients: ClientId[] = [];
  const prefix = sessionsPrefix();
  const start = after === undefined ? prefix : afterKey(concatBytes(prefix, after));
  if (countMax < 1) return clients;
  map.scan({ start, end: keyAfterPrefix(prefix) }, (key) => {
    clients.push(key.slice(prefix.byteLength));
    return clients.length < countMax;
  });
  return clients;
}

/** Whether, and until when, a session was granted in the log. */
export function lookupSession(map: MapReader, client: ClientId): number | undefined {
  const value = map.get(leaseKey(client, leaseKind.session, nothing));
  return value === undefined ? undefined : decodeLease(value).expires;
}

export function closeSession(step: Step, { client }: Of<"close_session">): Answer {
  const { map } = step;
  const prefix = leasePrefix(client);
  const keys: Uint8Array[] = [];
  map.scan({ start: prefix, end: keyAfterPrefix(prefix) }, (key) => {
    keys.push(key);
    return keys.length <= leasesPerStep;
  });
  for (const key of keys.slice(0, leasesPerStep)) {
    const kind = key[prefix.byteLength];
    if (kind === leaseKind.session) {
      map.delete(key);
      map.delete(concatBytes(sessionsPrefix(), client));
    } else {
      const target = key.slice(prefix.byteLength + 1);
      const view = new DataView(target.buffer);
      const home = view.getBigUint64(0);
      const inode = inodeId(view.getBigUint64(8));
      if (kind === leaseKind.open) releaseOpen(step, home, inode, client);
      else dropLocks(step, home, inode, client);
    }
  }
  return { kind: "reclaimed", hasMore: keys.length > leasesPerStep };
}
