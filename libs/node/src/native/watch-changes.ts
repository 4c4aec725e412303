import { compareBytes, millis } from "@kiseki/base";
import type { NativeBackend, NativeCall } from "@kiseki/rpc";
import type { FileScope } from "./file-service.ts";
import type { Native } from "./native.ts";

type Request = Parameters<NativeBackend["files"]["watchChanges"]>[0];

/** A quiet stream says so, that neither end takes it for dead. */
const quietMs = 15_000;
const changesPerMessage = 1024;

/** Inodes that change, for as long as the session and the call live. */
export async function* watchChanges(
  native: Native,
  { session, tenant }: FileScope,
  { position }: Request,
  call: NativeCall,
) {
  const ending = AbortSignal.any([session.signal, call.signal, native.stopping]);
  using watch = tenant.changes.watch(position);
  yield { isReset: watch.isReset, position: watch.position, changes: [] };
  while (!ending.aborted) {
    const waiting = new AbortController();
    const stop = (): void => waiting.abort();
    ending.addEventListener("abort", stop, { once: true });
    const quiet = native.clock.sleep(millis(quietMs), waiting.signal).catch(() => undefined);
    await Promise.race([watch.changed(), quiet]);
    ending.removeEventListener("abort", stop);
    waiting.abort();
    if (ending.aborted) return;
    const taken = watch.take(changesPerMessage);
    const changes = taken.changes.map(({ inode, isDirectory, client }) => ({
      inode,
      isDirectory,
      isOwn: client !== undefined && compareBytes(client, session.clientId) === 0,
    }));
    yield { isReset: taken.isReset, position: taken.position, changes };
  }
}
