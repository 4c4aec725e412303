/**
 * What `kiseki-client cache` says to a client that lives: calls about its caches, on a socket in its pool's folder
 * (docs/formats/client-process.md). The folder is 0700 and the socket 0600: its owner and root alone get there.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { toUtf8 } from "@kiseki/base";
import type { CacheStats } from "../cache-counters.ts";
import {
  cacheCalls,
  type CacheOwner,
  type LatencyRows,
  readLatencies,
  readStats,
} from "./cache-calls.ts";
import type { Call } from "./connection.ts";
import {
  FieldReader,
  FieldWriter,
  FrameReader,
  ProtocolError,
  protocolVersion,
  type VerbName,
  verbs,
} from "./frame.ts";
import { listenUnix } from "./listen.ts";

const socketName = "control";
const answerSizeMax = 4096;
const answerWaitMs = 5000;
/** What is erased is overwritten first: 50 GiB take a while. */
const wipeWaitMs = 600_000;

/** Whom is meant: the 32 hex digits of the pool's id. Who may read them may open the socket. */
const tokenOf = (poolId: string): Uint8Array => toUtf8(poolId);

/** Lets who owns the pool's folder count and wipe what `owner` keeps. @throws where no socket can be made. */
export function serveControl(
  { path, id }: { readonly path: string; readonly id: string },
  owner: CacheOwner,
): AsyncDisposable {
  const socket = join(path, socketName);
  rmSync(socket, { force: true }); // of a process that had the pool before and was killed
  const table = new Map<number, Call>();
  for (const [name, call] of Object.entries(cacheCalls(owner)))
    table.set(verbs[name as VerbName], call);
  const server = listenUnix(socket, tokenOf(id), table, () => Promise.resolve());
  return { [Symbol.asyncDispose]: () => server.close() };
}

type Pool = Parameters<typeof serveControl>[0];

/** Has the process that holds the pool wipe all it keeps. What is there then; `undefined`: nobody did. */
export async function wipeLive(pool: Pool): Promise<CacheStats | undefined> {
  using caller = await Caller.to(pool);
  if ((await caller?.call("wipe", wipeWaitMs)) === undefined) return undefined;
  return await statsOf(caller);
}
/** What the process that holds the pool has counted; `undefined`: it does not answer. */
export async function liveStats(pool: Pool): Promise<CacheStats | undefined> {
  using caller = await Caller.to(pool);
  return await statsOf(caller);
}
/** How long its disk took; `undefined`: it does not say. */
export async function liveLatencies(pool: Pool): Promise<LatencyRows | undefined> {
  using caller = await Caller.to(pool);
  return await answerOf(caller, "cacheLatencies", readLatencies);
}
const statsOf = (caller: Caller | undefined): Promise<CacheStats | undefined> =>
  answerOf(caller, "cacheStats", readStats);

async function answerOf<T>(
  caller: Caller | undefined,
  name: VerbName,
  read: (fields: FieldReader) => T,
): Promise<T | undefined> {
  const answer = await caller?.call(name, answerWaitMs);
  try {
    return answer && read(answer);
  } catch (reason) {
    if (reason instanceof ProtocolError) return undefined;
    throw reason;
  }
}

/** One call after another. */
class Caller implements Disposable {
  readonly #reader = new FrameReader(answerSizeMax);
  #socket: { write(bytes: Uint8Array): number; end(): void } | undefined;
  #answered: ((answer: FieldReader | undefined) => void) | undefined;

  /** `undefined`: nobody listens there, or means another pool. */
  static async to({ path, id }: Pool): Promise<Caller | undefined> {
    const caller = new Caller();
    try {
      caller.#socket = await Bun.connect<undefined>({
        unix: join(path, socketName),
        socket: {
          data: (_, bytes) => caller.#take(bytes),
          close: () => caller.#end(),
          error: () => caller.#end(),
        },
      });
    } catch {
      return undefined; // who has the pool is another program, or ends now
    }
    const hello = new FieldWriter().u16(protocolVersion).bytes(tokenOf(id));
    if ((await caller.call("hello", answerWaitMs, hello)) !== undefined) return caller;
    caller[Symbol.dispose]();
    return undefined;
  }
  /** The fields of the answer; `undefined`: refused, or none within `waitMs`. */
  async call(
    name: VerbName,
    waitMs: number,
    fields = new FieldWriter(0),
  ): Promise<FieldReader | undefined> {
    const { promise, resolve } = Promise.withResolvers<FieldReader | undefined>();
    this.#answered = resolve;
    if (this.#socket === undefined) return undefined;
    this.#socket.write(fields.frame(1, verbs[name], 0));
    const late = setTimeout(() => this.#end(), waitMs);
    return promise.finally(() => clearTimeout(late));
  }
  #take(bytes: Uint8Array): void {
    try {
      const taken = this.#reader.next(bytes, 0);
      if (taken === undefined) return;
      const { status, body } = taken.frame;
      this.#answered?.(status === 0 ? new FieldReader(body) : undefined);
    } catch (reason) {
      if (!(reason instanceof ProtocolError)) throw reason;
      this.#end();
    }
  }
  #end(): void {
    this.#socket?.end();
    this.#socket = undefined;
    this.#answered?.(undefined);
  }
  [Symbol.dispose](): void {
    this.#end();
  }
}
