import { BoundedQueue } from "@kiseki/base";
import type { FileResult } from "@kiseki/rpc";
import { rpcVerdict, type Verdict } from "../retry/fates.ts";
import type { Attempted } from "../retry/persist.ts";
import { within } from "../retry/within.ts";
import { type Asking, failureOfWire } from "./asking.ts";
import type { OperationInit } from "./operation-message.ts";
import type { Session } from "./sessions.ts";

const requestsInFlightMax = 4;
const batchCountMax = 128;
/** Well below what a node takes at once. */
const batchSizeMax = 1024 * 1024;
const queueCountMax = 4096;

interface Waiting {
  readonly session: Session;
  readonly operation: OperationInit;
  /** Bytes of it, about. */
  readonly size: number;
  readonly settle: (ended: Attempted<FileResult>) => void;
  /** Nobody waits for it any more: what is not sent yet never is, or it would come behind what its caller did since. */
  isGivenUp: boolean;
}
const late: Attempted<never> = { kind: "failed", verdict: rpcVerdict.timeout };
const tooMuch: Verdict = { fate: "again", code: "busy" };

/**
 * Sends operations of one namespace: an operation that finds the line free goes at once, those that come while requests are
 * under way go together in the next one. Attempts only: who repeats, repeats by id.
 */
export class Applier {
  readonly #asking: Asking;
  readonly #namespace: Uint8Array;
  readonly #waiting = new BoundedQueue<Waiting>(queueCountMax);
  #next: Waiting | undefined;
  #inFlight = 0;

  constructor(asking: Asking, namespace: Uint8Array) {
    this.#asking = asking;
    this.#namespace = namespace;
  }

  async apply(
    session: Session,
    operation: OperationInit,
    size: number,
    leftMs: number,
  ): Promise<Attempted<FileResult>> {
    const { promise, resolve } = Promise.withResolvers<Attempted<FileResult>>();
    const one = { session, operation, size, settle: resolve, isGivenUp: false };
    if (!this.#waiting.push(one)) return { kind: "failed", verdict: tooMuch };
    this.#send();
    const ended = await within(promise, leftMs, late);
    one.isGivenUp = true;
    return ended;
  }

  #send(): void {
    while (this.#inFlight < requestsInFlightMax) {
      const batch = this.#take();
      const [first] = batch;
      if (first === undefined) return;
      this.#inFlight += 1;
      void this.#request(first.session, batch).finally(() => {
        this.#inFlight -= 1;
        this.#send();
      });
    }
  }

  /** Those at the front that are of one session and fit one request. */
  #take(): readonly Waiting[] {
    const batch: Waiting[] = [];
    let size = 0;
    for (;;) {
      const one = this.#next ?? this.#waiting.shift();
      this.#next = undefined;
      if (one === undefined) return batch;
      if (one.isGivenUp) continue;
      const [first] = batch;
      const isFull = batch.length === batchCountMax || size + one.size > batchSizeMax;
      if (first !== undefined && (isFull || one.session !== first.session)) {
        this.#next = one;
        return batch;
      }
      batch.push(one);
      size += one.size;
    }
  }

  async #request(session: Session, batch: readonly Waiting[]): Promise<void> {
    const operations = batch.map(({ operation }) => operation);
    const ended = await this.#asking.once(session, (client, { id }, options) =>
      client.files.apply({ session: id, namespace: this.#namespace, operations }, options),
    );
    if (ended.kind === "failed") {
      for (const { settle } of batch) settle(ended);
      return;
    }
    const { results } = ended.value;
    batch.forEach(({ settle }, i) => {
      const result = results[i];
      // Fewer answers than questions: what came of the rest is not known.
      if (result === undefined) settle({ kind: "failed", verdict: rpcVerdict.internal });
      else if (result.failure && result.conflict === undefined)
        settle(failureOfWire(result.failure));
      else settle({ kind: "done", value: result });
    });
  }
}
