import { assert, type Millis, newBytes } from "@kiseki/base";
import {
  bulkEntrySize,
  bulkPayloadMax,
  bulkRequestSize,
  type BulkRequest,
  bulkRequestsMax,
  bulkSealedSize,
  type BulkStatus,
  type ChunkCapability,
  decodeBulkEntries,
  decodeBulkRequest,
  encodeBulkAnswer,
} from "@kiseki/format";
import { SocketOutput } from "../front/socket-output.ts";
import { chunkShare } from "../object/budget.ts";
import { type BulkOutcome, bulkStatus, checkRight, workRead, workWrite } from "./bulk-work.ts";
import { manySize, workReadMany } from "./bulk-read-many.ts";
import type { Native } from "./native.ts";

export interface BulkSocket {
  write(source: Uint8Array): number;
  pause(): void;
  resume(): void;
  /** Sends what was written, then closes. */
  end(): void;
  terminate(): void;
}
type WriteRequest = Extract<BulkRequest, { kind: "write" }>;
type ManyRequest = Extract<BulkRequest, { kind: "read_many" }>;
/** A payload on its way here; disposed of where it never comes. */
interface Incoming extends Disposable {
  readonly target: Uint8Array;
  /** All of it is here. */
  readonly begin: (crc: number) => void;
  filled: number;
  crc: number;
}

/** What arrived and was not taken yet: beyond it the socket is not read. */
const queuedSizeMax = 256 * 1024;

/**
 * One client's frames. Headers are taken apart as they come, payloads go into the arena, answers go out as they are ready.
 * A client that sends faster than its writes are kept is not read meanwhile.
 */
export class BulkConnection {
  readonly #native: Native;
  readonly #socket: BulkSocket;
  readonly #output: SocketOutput;
  /** Tenant of the certificate, in hex; undefined where none is asked for. */
  readonly #certified: string | undefined;
  readonly #gone = new AbortController();
  readonly #queue: Uint8Array[] = [];
  readonly #header = new Uint8Array(new ArrayBuffer(bulkRequestSize));
  readonly #requestIds = new Set<number>();
  #headerSize = 0;
  /** Bytes to come of a payload that nobody wants. */
  #unwantedSize = 0;
  #queuedSize = 0;
  #incoming: Incoming | undefined;
  #isTaking = false;
  #isPaused = false;
  #isEnding = false;
  #slotFreed: (() => void) | undefined;
  #sending: Promise<unknown> = Promise.resolve();
  #moved: Millis;

  constructor(native: Native, socket: BulkSocket, certified: string | undefined) {
    this.#native = native;
    this.#socket = socket;
    this.#certified = certified;
    this.#output = new SocketOutput(socket, () => undefined);
    this.#moved = native.clock.monotonic();
  }

  arrived(source: Uint8Array): void {
    if (this.#isEnding) return;
    this.#moved = this.#native.clock.monotonic();
    this.#queue.push(source);
    this.#queuedSize += source.byteLength;
    if (this.#queuedSize > queuedSizeMax && !this.#isPaused) {
      this.#isPaused = true;
      this.#socket.pause();
    }
    if (!this.#isTaking) void this.#take();
  }
  drained(): void {
    this.#moved = this.#native.clock.monotonic();
    this.#output.drained();
  }
  closed(): void {
    this.#isEnding = true;
    this.#gone.abort(new Error("The client has gone"));
    this.#output.closed();
    this.#slotFreed?.();
    this.#release();
  }
  cut(): void {
    this.#socket.terminate();
  }
  get isIdle(): boolean {
    return this.#requestIds.size === 0;
  }
  /** Since when nothing moved; a half-sent frame or an answer that is not taken may not wait as long as an idle client. */
  isOverdue(now: Millis, idleMs: number, stallMs: number): boolean {
    const isInFrame = this.#incoming !== undefined || this.#headerSize + this.#unwantedSize > 0;
    const isStalled = isInFrame || this.#output.isWaiting;
    const isBusy = this.#requestIds.size > 0 && !isStalled;
    return !isBusy && now - this.#moved > (isStalled ? stallMs : idleMs);
  }

  async #take(): Promise<void> {
    this.#isTaking = true;
    try {
      while (this.#queue.length > 0 && !this.#isEnding) {
        const source = this.#queue[0]!;
        const used = await this.#takeSome(source);
        this.#queuedSize -= used;
        if (used === source.byteLength) this.#queue.shift();
        else this.#queue[0] = source.subarray(used);
        if (this.#isPaused && this.#queuedSize <= queuedSizeMax / 2) {
          this.#isPaused = false;
          this.#socket.resume();
        }
      }
    } catch (reason) {
      if (!this.#isEnding) this.#native.onBug("bulk", reason);
      this.cut();
    } finally {
      this.#isTaking = false;
    }
  }

  #takeSome(source: Uint8Array): number | Promise<number> {
    if (this.#incoming) return this.#fill(this.#incoming, source);
    if (this.#unwantedSize === 0) return this.#takeHeader(source);
    const used = Math.min(this.#unwantedSize, source.byteLength);
    this.#unwantedSize -= used;
    return used;
  }
  /** How much of `source` belongs to the header; once it is whole, begins what it asks for. */
  async #takeHeader(source: Uint8Array): Promise<number> {
    const part = source.subarray(0, bulkRequestSize - this.#headerSize);
    this.#header.set(part, this.#headerSize);
    this.#headerSize += part.byteLength;
    if (this.#headerSize < bulkRequestSize) return part.byteLength;
    this.#headerSize = 0;
    const { crypto } = this.#native.ports;
    const request = decodeBulkRequest(this.#header, (bytes) => crypto.crc32c(0, bytes));
    if (request === undefined || this.#requestIds.has(request.requestId)) {
      this.#refuse(request);
      return part.byteLength;
    }
    await this.#slot();
    if (this.#isEnding) return part.byteLength;
    this.#requestIds.add(request.requestId);
    if (request.kind === "read_many") this.#incoming = this.#entries(request);
    else await this.#takeRequest(request);
    return part.byteLength;
  }
  async #takeRequest(request: Exclude<BulkRequest, ManyRequest>): Promise<void> {
    const right = checkRight(this.#native, request, this.#certified);
    if (typeof right === "string") {
      if (request.kind === "write") this.#unwantedSize = bulkSealedSize(request);
      this.#answer(request, bulkStatus(right));
    } else if (request.kind === "read") {
      this.#begin(request, workRead(this.#native, request, right, this.#gone.signal));
    } else {
      this.#incoming = await this.#receive(request, right);
      if (this.#isEnding) this.#release();
    }
  }
  async #slot(): Promise<void> {
    while (this.#requestIds.size >= bulkRequestsMax && !this.#isEnding) {
      await new Promise<void>((resolve) => (this.#slotFreed = resolve));
    }
  }

  /** Room for the payload, and for what will be coded of it: else many half-sent ones could wait for each other for ever. */
  async #receive(request: WriteRequest, right: ChunkCapability): Promise<Incoming | undefined> {
    const { budget, datapath } = this.#native.ports;
    const { signal } = this.#gone;
    const size = bulkSealedSize(request);
    using held = new DisposableStack();
    try {
      const share = held.use(await budget.take(chunkShare(request.size), signal, "fill"));
      const lease = held.use(await datapath.arena.borrow(size, signal));
      const owned = held.move();
      return {
        target: lease.bytes.subarray(0, size),
        begin: (crc) =>
          this.#begin(request, workWrite(this.#native, request, right, { lease, share, crc })),
        filled: 0,
        crc: 0,
        [Symbol.dispose]: () => owned.dispose(),
      };
    } catch (reason) {
      if (signal.aborted) return undefined;
      throw reason;
    }
  }
  #entries(request: ManyRequest): Incoming {
    const target = newBytes(request.count * bulkEntrySize);
    const begin = (crc: number): void => {
      if (crc !== request.payloadCrc) return this.#answer(request, bulkStatus("checksum"));
      const entries = decodeBulkEntries(target);
      if (entries === undefined || manySize(entries) > bulkPayloadMax) return this.#refuse(request);
      const work = workReadMany(this.#native, entries, this.#certified, this.#gone.signal);
      this.#begin(request, work);
    };
    return { target, begin, filled: 0, crc: 0, [Symbol.dispose]: () => undefined };
  }
  #fill(incoming: Incoming, source: Uint8Array): number {
    const { target } = incoming;
    const part = source.subarray(0, target.byteLength - incoming.filled);
    target.set(part, incoming.filled);
    incoming.filled += part.byteLength;
    incoming.crc = this.#native.ports.crypto.crc32c(incoming.crc, part) >>> 0;
    if (incoming.filled === target.byteLength) {
      this.#incoming = undefined;
      incoming.begin(incoming.crc);
    }
    return part.byteLength;
  }

  #begin(request: BulkRequest, work: Promise<BulkOutcome>): void {
    void work.then(
      (outcome) => this.#answer(request, outcome),
      (reason: unknown) => {
        this.#native.onBug("bulk", reason);
        this.#answer(request, bulkStatus("internal"));
      },
    );
  }
  #answer(request: BulkRequest, outcome: BulkOutcome): void {
    const { kind, requestId } = request;
    this.#count(kind, outcome.status);
    this.#sending = this.#sending.then(async () => {
      using sent = outcome;
      this.#moved = this.#native.clock.monotonic();
      await this.#send(kind, requestId, sent);
      this.#requestIds.delete(requestId);
      this.#slotFreed?.();
    });
  }
  async #send(
    kind: BulkRequest["kind"],
    requestId: number,
    { status, payload, whole, retryAfterMs }: BulkOutcome,
  ): Promise<void> {
    if (this.#gone.signal.aborted) return;
    const { crypto } = this.#native.ports;
    const payloadCrc = payload ? crypto.crc32c(0, payload) >>> 0 : 0;
    const payloadSize = payload?.byteLength ?? 0;
    const answer = { kind, requestId, status, payloadSize, payloadCrc, retryAfterMs };
    const header = encodeBulkAnswer(answer, (bytes) => crypto.crc32c(0, bytes));
    if (whole !== undefined) {
      whole.set(header);
      await this.#output.send(whole);
      return;
    }
    await this.#output.send(header);
    if (payload !== undefined) await this.#output.send(payload);
  }

  /** Nothing behind such a header can be understood. */
  #refuse(request: BulkRequest | undefined): void {
    assert(!this.#isEnding, "a connection that ends takes no headers");
    this.#isEnding = true;
    const answer = request ?? { kind: "read" as const, requestId: 0 };
    this.#count(answer.kind, "malformed");
    this.#sending = this.#sending.then(async () => {
      await this.#send(answer.kind, answer.requestId, bulkStatus("malformed"));
      this.#socket.end();
    });
  }
  #count(kind: BulkRequest["kind"], status: BulkStatus): void {
    this.#native.ports.metrics.add("kiseki_bulk_frames_total", 1, { kind, status });
  }
  #release(): void {
    this.#queue.length = 0;
    this.#incoming?.[Symbol.dispose]();
    this.#incoming = undefined;
  }
}
