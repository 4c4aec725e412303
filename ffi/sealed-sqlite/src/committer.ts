import { JSCallback, type Pointer } from "bun:ffi";
import type { Database } from "bun:sqlite";
import { assert } from "@kiseki/base";
import { native, showDatabase } from "./native.ts";
import { SealedSqliteError } from "./types.ts";

/** Commits a connection's transactions and checkpoints its WAL in other threads. */
export interface Committer extends Disposable {
  /** Frames in the WAL after the last commit. */
  readonly frames: number;
  /**
   * Ends the open transaction as `COMMIT` does, synced as the connection syncs. Nothing else may be done with the
   * connection before this settles. @throws {SealedSqliteError} `io`: what became of it is not known.
   */
  commit(): Promise<void>;
  /** Moves what the WAL holds to the main file, as far as readers let it. Outside of transactions; as `commit`. */
  checkpoint(): Promise<void>;
}

const acts = { commit: 0, checkpoint: 1 } as const;
const notThere = -1;
/** A pending promise does not keep Bun's event loop alive; this timer does, referenced while something runs. */
const keepAliveMillis = 2 ** 30;

/** What runs for this thread, and the one callback by which C says that something has ended. */
class Running {
  readonly #acts = new Map<Pointer, (code: number) => void>();
  readonly #keepAlive = setInterval(() => {}, keepAliveMillis).unref();
  /** Never closed: a thread may be about to call it. */
  readonly #callback = new JSCallback(() => this.#look(), {
    args: [],
    returns: "void",
    threadsafe: true,
  });

  run(committer: Pointer, act: keyof typeof acts): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    if (this.#acts.size === 0) this.#keepAlive.ref();
    this.#acts.set(committer, resolve);
    const isServed =
      native().kiseki_committer_start(committer, acts[act], this.#callback.ptr) !== 0;
    if (!isServed) this.#settle(committer, errorCode);
    return promise;
  }
  #look(): void {
    for (const committer of [...this.#acts.keys()]) {
      const code = native().kiseki_committer_result(committer);
      if (code !== notThere) this.#settle(committer, code);
    }
  }
  #settle(committer: Pointer, code: number): void {
    const resolve = this.#acts.get(committer);
    assert(resolve !== undefined, "what has ended was running");
    this.#acts.delete(committer);
    if (this.#acts.size === 0) this.#keepAlive.unref();
    resolve(code);
  }
}
const errorCode = 1; // SQLITE_ERROR
let running: Running | undefined;

/** Of a connection that `openDatabase` gave, which from then on checkpoints only when told. Dispose it before the connection is closed. */
export function openCommitter(database: Database): Committer {
  showDatabase(database);
  let pointer = native().kiseki_committer_open() as Pointer | null;
  if (pointer === null) {
    throw new SealedSqliteError("io", "Cannot make a committer: no memory");
  }
  running ??= new Running();
  const threads = running;
  let isBusy = false;
  const run = async (act: keyof typeof acts): Promise<void> => {
    assert(
      pointer !== null && !isBusy,
      "a committer does one thing at a time, until it is disposed",
    );
    isBusy = true;
    const code = await threads.run(pointer, act);
    isBusy = false;
    if (code === 0) return;
    throw new SealedSqliteError("io", `Cannot ${act}: SQLite says ${code}`);
  };
  return {
    get frames() {
      return pointer === null ? 0 : native().kiseki_committer_frames(pointer);
    },
    commit: () => run("commit"),
    checkpoint: () => run("checkpoint"),
    [Symbol.dispose]() {
      assert(!isBusy, "a committer rests when it is disposed");
      if (pointer !== null) native().kiseki_committer_close(pointer);
      pointer = null;
    },
  };
}
