import { inodeId, millis, type Prng } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { type NativeClient, toRpcError } from "@kiseki/rpc";
import type { FileServiceListener } from "@kiseki/vfs";
import { backoffMs } from "../retry/backoff.ts";
import { rpcVerdict } from "../retry/fates.ts";
import type { Sessions } from "./sessions.ts";

interface Ports {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly sessions: Sessions;
  readonly signal: AbortSignal;
}

/**
 * Hears which inodes others have changed, and goes on where it was after a break; what it may have missed counts as
 * everything. Until `signal` aborts; never rejects.
 */
export async function watchChanges(
  ports: Ports,
  namespace: Uint8Array,
  listeners: readonly FileServiceListener[],
): Promise<void> {
  const { clock, prng, signal } = ports;
  let position = 0n;
  let failures = 0;
  while (!signal.aborted) {
    const heard = await hear(ports, namespace, listeners, position, (seen) => (position = seen));
    failures = heard ? 1 : failures + 1;
    await clock.sleep(millis(backoffMs(failures, prng)), signal).catch(() => undefined);
  }
}

/** One stream, until it breaks. Answers whether anything came. */
async function hear(
  { sessions, signal }: Ports,
  namespace: Uint8Array,
  listeners: readonly FileServiceListener[],
  position: bigint,
  seen: (position: bigint) => void,
): Promise<boolean> {
  const session = await sessions.ensure();
  if (session.kind === "failed") return false;
  const { id, link, leaving } = session.value;
  const client: NativeClient | undefined = await link.client();
  if (client === undefined) return false;
  let hasHeard = false;
  try {
    const request = { session: id, namespace, position };
    const hearing = AbortSignal.any([signal, leaving.signal]);
    for await (const message of client.files.watchChanges(request, { signal: hearing })) {
      hasHeard = true;
      link.answered();
      if (message.isReset) {
        for (const listener of listeners) listener.invalidated({ kind: "everything" });
      }
      for (const { inode, isDirectory, isOwn } of message.changes) {
        const kind = isDirectory ? "directory" : "inode";
        const change = { kind, inode: inodeId(inode), isOwn } as const;
        for (const listener of listeners) listener.invalidated(change);
      }
      seen(message.position);
    }
  } catch (reason) {
    if (signal.aborted || leaving.signal.aborted) return hasHeard;
    if (rpcVerdict[toRpcError(reason).code].fate === "elsewhere") link.failed();
  }
  return hasHeard;
}
