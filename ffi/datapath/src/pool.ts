import { JSCallback, type Pointer, toArrayBuffer } from "bun:ffi";
import { assert } from "@kiseki/base";
import { DatapathError } from "@kiseki/ports";
import { JobRecord, recordCount, recordSize, statuses } from "./records.ts";
import type { Native } from "./symbols.ts";

/** A pending promise does not keep Bun's event loop alive; this timer does, referenced while a job runs. */
const keepAliveMillis = 2 ** 30;

interface Waiter {
  readonly resolve: (record: JobRecord) => void;
}

/**
 * This thread's side of the pool: free records, jobs in flight, and the one callback by which C says
 * that completions wait in the ring.
 */
export class JobPool {
  readonly #native: Native;
  readonly #context: Pointer;
  readonly #callback: JSCallback;
  readonly #ring: Uint32Array;
  readonly #free: JobRecord[] = [];
  /** For jobs that run at once in this thread: never in flight, so always there. */
  readonly #here: JobRecord;
  readonly #waiting: Waiter[] = [];
  readonly #running = new Map<number, () => void>();
  readonly #woken: () => void;
  #ringHead = 0;
  readonly #keepAlive = setInterval(() => {}, keepAliveMillis).unref();
  #isKeptAlive = false;
  #onIdle: (() => void) | undefined;
  #onCallback: (() => void) | undefined;
  #isClosed = false;

  /** `woken` runs after each callback, also when no job ended: room may have come back to the arena. */
  constructor(native: Native, datapath: Pointer, woken: () => void) {
    this.#native = native;
    this.#woken = woken;
    this.#callback = new JSCallback(() => this.#drain(), {
      args: [],
      returns: "void",
      threadsafe: true,
    });
    const context = native.kiseki_datapath_attach(datapath, this.#callback);
    assert(context !== null, "a datapath has room for one more thread");
    this.#context = context as Pointer;
    const records = native.kiseki_datapath_records(this.#context) as Pointer;
    const memory = toArrayBuffer(records, 0, recordCount * (recordSize + 4));
    this.#ring = new Uint32Array(memory, recordCount * recordSize, recordCount);
    this.#here = new JobRecord(memory, 0);
    for (let i = recordCount - 1; i >= 1; i--) this.#free.push(new JobRecord(memory, i));
  }
  get context(): Pointer {
    return this.#context;
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }
  #drain(): void {
    const tail = this.#native.kiseki_datapath_drain(this.#context);
    while (this.#ringHead !== tail) {
      const number = this.#ring[this.#ringHead % recordCount]!;
      this.#ringHead = (this.#ringHead + 1) >>> 0;
      const settle = this.#running.get(number);
      assert(settle !== undefined, "a completion belongs to a job in flight");
      this.#running.delete(number);
      settle();
    }
    this.#woken();
    this.#rest();
    this.#onCallback?.();
  }
  #rest(): void {
    if (this.#running.size > 0 || !this.#isKeptAlive) return;
    this.#isKeptAlive = false;
    this.#keepAlive.unref();
    this.#onIdle?.();
  }
  #stayAlive(): void {
    if (this.#isKeptAlive) return;
    this.#isKeptAlive = true;
    this.#keepAlive.ref();
  }
  #take(): JobRecord | Promise<JobRecord> {
    if (this.#isClosed)
      throw new DatapathError("closed", 0, "Cannot run a job: the datapath is closed");
    const record = this.#free.pop();
    return record ?? new Promise((resolve) => this.#waiting.push({ resolve }));
  }
  #release(record: JobRecord): void {
    const next = this.#waiting.shift();
    if (next) next.resolve(record);
    else this.#free.push(record);
  }
  /** Runs one job in the pool: `fill` writes the record, `take` reads it once the job is done well. */
  async run<T>(
    fill: (record: JobRecord) => void,
    take: (record: JobRecord) => T,
    what: () => string,
  ): Promise<T> {
    const taken = this.#take();
    const record = taken instanceof JobRecord ? taken : await taken;
    try {
      fill(record);
      await new Promise<void>((resolve) => {
        this.#running.set(record.number, resolve);
        this.#stayAlive();
        const result = this.#native.kiseki_datapath_submit(this.#context, record.number);
        assert(result === 0, "the queue holds every record");
      });
      throwFault(record, what);
      return take(record);
    } finally {
      record.wipeKey(); // C has done so unless the job never began
      this.#release(record);
    }
  }
  /** Runs one job at once in this thread; `undefined` when it would have to wait for a device. */
  tryHere<T>(
    fill: (record: JobRecord) => void,
    take: (record: JobRecord) => T,
    what: () => string,
  ): T | undefined {
    const record = this.here;
    fill(record);
    return this.tryRun(what) ? take(record) : undefined;
  }
  /** The record of a job that runs at once in this thread: filled by the caller, run by `tryRun`, read before the next. */
  get here(): JobRecord {
    if (this.#isClosed)
      throw new DatapathError("closed", 0, "Cannot run a job: the datapath is closed");
    return this.#here;
  }
  /** Runs what stands in `here`; false when it would have to wait for a device. */
  tryRun(what: () => string): boolean {
    const record = this.#here;
    const result = this.#native.kiseki_datapath_run(this.#context, record.number);
    const status = record.get("status");
    if (status === busyStatus) return false;
    if (status !== okStatus) throwFault(record, what);
    assert(result === 0, "a job that did not fail has run");
    return true;
  }
  /** Runs one job at once in this thread. */
  runHere<T>(
    fill: (record: JobRecord) => void,
    act: (native: Native, record: number) => number,
    take: (record: JobRecord) => T,
    what: () => string,
  ): T {
    const record = this.here;
    fill(record);
    const result = act(this.#native, record.number);
    throwFault(record, what);
    assert(result === 0, "a job that did not fail has run");
    return take(record);
  }
  /** Refuses new jobs, waits for those in flight, leaves the pool. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#running.size > 0 || this.#waiting.length > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = () => {
          if (this.#running.size === 0 && this.#waiting.length === 0) resolve();
        };
      });
    }
    while (this.#native.kiseki_datapath_detach(this.#context) !== 0) {
      const keepAlive = setInterval(() => {}, keepAliveMillis);
      await new Promise<void>((resolve) => (this.#onCallback = resolve));
      clearInterval(keepAlive);
    }
    clearInterval(this.#keepAlive);
    this.#callback.close();
  }
}

const okStatus = statuses.indexOf("ok");
const busyStatus = statuses.indexOf("busy");

function throwFault(record: JobRecord, what: () => string): void {
  const status = statuses[record.get("status")];
  assert(status !== undefined, "a job ends with a known status");
  if (status === "ok" || status === "busy") return;
  const errno = record.get("error");
  throw new DatapathError(status, errno, `${what()}: ${status}${errno ? `, errno ${errno}` : ""}`);
}
