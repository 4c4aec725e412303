import { assert, customerKeyset, type Millis } from "@kiseki/base";
import { ChunkStoreError, type GetRequest, roomFor, rowName } from "@kiseki/chunk-store";
import {
  type ContentPage,
  type ContentPiece,
  type FoundObject,
  readContent,
} from "@kiseki/composition";
import { type ArenaLease, segmentSize } from "@kiseki/ports";
import type { ContentCipher, ContentSource, DataPorts, OpenTenant } from "./types.ts";

/** Bytes that one read asks of the chunk store: one fragment of a whole 4+2 chunk. */
const readSizeMax = 16 * segmentSize;
/** Reads ahead of the one being sent. */
const readsAheadMax = 2;
const piecesPerPage = 16 * 1024;
/** What was dropped since a read began is kept until it ends (STORE §4), so none goes on for ever. */
const readDurationMax = 24 * 3600 * 1000;

/** Content that is there by its name and cannot be read: too few fragments, or somebody changed them. */
export class DamagedContentError extends Error {
  override readonly name = "DamagedContentError";
  readonly kind: "lost" | "tampered";
  constructor(kind: "lost" | "tampered") {
    super(`Cannot read the content: it is ${kind}`);
    this.kind = kind;
  }
}

/** A client took a day over one read. */
class LongReadError extends Error {
  override readonly name = "LongReadError";
  constructor() {
    super("Cannot go on reading: a read ends after 24 hours");
  }
}

/** The content was replaced, or its file edited, since the read began. */
class ReplacedContentError extends Error {
  override readonly name = "ReplacedContentError";
  constructor() {
    super("Cannot go on reading: the content was replaced");
  }
}

/** One read that fits one lease: `[start, end)` of the plaintext of a piece's chunk, or zeros. */
export interface ContentRead {
  readonly piece: ContentPiece;
  readonly start: number;
  readonly size: number;
  /** What the chunk store remembers the chunk by, in a plan that is used again. */
  readonly name?: string | undefined;
}
type Read = ContentRead;
/** What was read, with the room that it lies in. */
class Filled implements Disposable {
  readonly bytes: Uint8Array;
  readonly #share: Disposable;
  readonly #lease: Disposable;
  constructor(bytes: Uint8Array, share: Disposable, lease: Disposable) {
    this.bytes = bytes;
    this.#share = share;
    this.#lease = lease;
  }
  [Symbol.dispose](): void {
    this.#lease[Symbol.dispose]();
    this.#share[Symbol.dispose]();
  }
}
type ChunkPiece = Extract<ContentPiece, { kind: "chunk" }>;

interface FoundContent {
  readonly entry: Pick<FoundObject["entry"], "size">;
  readonly cold: Pick<FoundObject["cold"], "content">;
}
/** All the reads of the range that is asked for. */
interface PlannedContent {
  readonly plan: readonly ContentRead[];
}
/** What a reader reads, of a tenant's store. */
export interface ReadRequest {
  readonly found: FoundContent | PlannedContent;
  readonly start: number;
  readonly end: number;
  /** Entered before `found` was looked up; the reader takes it over. */
  readonly place: Disposable;
  /** Asked for only when something is waited for. */
  readonly signal: AbortSignal;
  /** Of content under a customer's key; used until the reader has left its place. */
  readonly cipher?: ContentCipher | undefined;
}

/**
 * The bytes `[start, end)` of an object, opened a window ahead of whoever takes them. Holds its place among
 * the readers until closed, so that what it is about to read is not collected. Also a `ContentSource`.
 */
export class ContentReader implements ContentSource, Disposable {
  readonly size: number;
  readonly #ports: DataPorts;
  readonly #tenant: OpenTenant;
  readonly #reads: Iterator<Read>;
  readonly #ahead: (Filled | Promise<Filled>)[] = [];
  readonly #request: ReadRequest;
  readonly #startedAt: number;
  #current: Filled | undefined;
  #taken = 0;
  #isClosed = false;

  constructor(ports: DataPorts, tenant: OpenTenant, request: ReadRequest) {
    this.#ports = ports;
    this.#tenant = tenant;
    this.#request = request;
    this.#startedAt = ports.clock.monotonic();
    this.size = request.end - request.start;
    const { found, start, end } = request;
    this.#reads = "plan" in found ? found.plan.values() : planReads(tenant, found, start, end);
    try {
      this.#readAhead();
    } catch (reason) {
      this[Symbol.dispose]();
      throw reason;
    }
  }

  /** As `next`, of what is here already; `undefined`: ask `next`. */
  nextNow(): Uint8Array | undefined {
    assert(!this.#isClosed, "a closed reader is not asked");
    const [filled] = this.#ahead;
    if (!(filled instanceof Filled)) return undefined;
    void this.#ahead.shift();
    return this.#show(filled);
  }

  /** The next bytes; the view stays until the next call or `dispose`. @throws {DamagedContentError} */
  async next(): Promise<Uint8Array | undefined> {
    assert(!this.#isClosed, "a closed reader is not asked");
    if (this.#ports.clock.monotonic() - this.#startedAt > readDurationMax)
      throw new LongReadError();
    this.#current?.[Symbol.dispose]();
    this.#current = undefined;
    const filled = await this.#ahead.shift();
    if (filled === undefined) return undefined;
    if (this.#isClosed) {
      filled[Symbol.dispose]();
      return undefined;
    }
    return this.#show(filled);
  }
  #show(filled: Filled): Uint8Array {
    this.#current?.[Symbol.dispose]();
    this.#current = filled;
    this.#taken = 0;
    this.#readAhead();
    return filled.bytes;
  }

  async readInto(target: Uint8Array): Promise<number> {
    if (this.#current === undefined || this.#taken === this.#current.bytes.byteLength) {
      if ((await this.next()) === undefined) return 0;
    }
    const source = this.#current!.bytes.subarray(this.#taken, this.#taken + target.byteLength);
    target.set(source);
    this.#taken += source.byteLength;
    return source.byteLength;
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#current?.[Symbol.dispose]();
    const { place } = this.#request;
    const settling: Promise<void>[] = [];
    for (const ahead of this.#ahead) {
      if (ahead instanceof Filled) ahead[Symbol.dispose]();
      else settling.push(ahead.then((filled) => filled[Symbol.dispose]()).catch(() => undefined));
    }
    if (settling.length === 0) place[Symbol.dispose]();
    else void Promise.all(settling).finally(() => place[Symbol.dispose]());
  }

  #readAhead(): void {
    while (this.#ahead.length < readsAheadMax) {
      const read = this.#reads.next();
      if (read.done) return;
      const filled = this.#fillNow(read.value) ?? this.#fill(read.value);
      if (filled instanceof Promise) filled.catch(() => undefined); // seen by whoever takes it
      this.#ahead.push(filled);
    }
  }

  /** A small read out of the system's cache, without waiting for anything; `undefined`: `#fill` it, which also says what is wrong. */
  #fillNow(read: Read): Filled | undefined {
    const { piece } = read;
    if (piece.kind === "hole" || read.size > segmentSize) return undefined;
    const { budget, clock, datapath, chunkStore, crypto } = this.#ports;
    const room = roomOf(read);
    if (room > segmentSize) return undefined;
    const share = budget.takeNow(room, "read");
    if (share === undefined) return undefined;
    let filled: Filled | undefined;
    let lease: ArenaLease | undefined;
    let dek: Uint8Array | undefined;
    try {
      dek = this.#dekOf(piece); // throws when the keys are too old
      lease = dek && datapath.arena.lend(room);
      const started = clock.monotonic();
      const outcome = lease && dek && chunkStore.getNow(requestOf(read, piece, dek, lease, room));
      if (lease && outcome?.kind === "read")
        filled = this.#filled(read, share, lease, outcome.offset, started);
      return filled;
    } finally {
      if (dek) crypto.wipe(dek);
      if (filled === undefined) {
        lease?.[Symbol.dispose]();
        share[Symbol.dispose]();
      }
    }
  }
  #filled(
    read: Read,
    share: Disposable,
    lease: ArenaLease,
    offset: number,
    started: Millis,
  ): Filled {
    if (read.piece.kind === "chunk") {
      const { clock, metrics } = this.#ports;
      metrics.add("kiseki_chunk_read_bytes_total", read.size);
      const seconds = (clock.monotonic() - started) / 1000;
      metrics.observe("kiseki_gateway_get_phase_duration_seconds", seconds, chunkFetch);
    }
    return new Filled(lease.bytes.subarray(offset, offset + read.size), share, lease);
  }

  async #fill(read: Read): Promise<Filled> {
    const { budget, clock, datapath } = this.#ports;
    const { signal } = this.#request;
    using held = new DisposableStack();
    const room = roomOf(read);
    const share = held.use(await budget.take(room, signal, "read"));
    const lease = held.use(await datapath.arena.borrow(room, signal));
    const { piece } = read;
    const started = clock.monotonic();
    const offset =
      piece.kind === "hole" ? zero(lease, read.size) : await this.#open(read, piece, lease, room);
    const filled = this.#filled(read, share, lease, offset, started);
    held.move();
    return filled;
  }

  async #open(read: Read, piece: ChunkPiece, lease: ArenaLease, room: number): Promise<number> {
    const { chunkStore, crypto } = this.#ports;
    const dek = this.#dekOf(piece);
    assert(
      dek !== undefined,
      "a chunk in use is under a live keyset, or the customer's key is here",
    );
    try {
      const outcome = await chunkStore.get(requestOf(read, piece, dek, lease, room));
      if (outcome.kind !== "read") {
        throw new DamagedContentError(outcome.kind === "tampered" ? "tampered" : "lost");
      }
      return outcome.offset;
    } catch (reason) {
      if (reason instanceof ChunkStoreError && reason.code === "lost") {
        throw new DamagedContentError("lost");
      }
      throw reason;
    } finally {
      crypto.wipe(dek);
    }
  }

  /** A customer's key opens what is under it, and nothing else; `undefined`: the key is not here. */
  #dekOf({ address, seal }: ChunkPiece): Uint8Array | undefined {
    const { cipher } = this.#request;
    if ((seal.keyset === customerKeyset) !== (cipher !== undefined)) return undefined;
    if (cipher) return cipher.chunkDek(address.chunkId, seal.sealId);
    const keyring = this.#tenant.keys("read").keyset(seal.keyset);
    return keyring?.chunkDek(address.chunkId, seal.sealId, "none");
  }
}

const chunkFetch = { phase: "chunk_fetch" };
const roomOf = ({ piece, start, size }: Read): number =>
  piece.kind === "hole" ? size : roomFor({ start, end: start + size }, piece.seal.size);
function requestOf(
  { start, size, name }: Read,
  { address, seal }: ChunkPiece,
  dek: Uint8Array,
  lease: ArenaLease,
  room: number,
): GetRequest & { readonly pool: number } {
  return {
    name,
    pool: address.pool,
    chunkId: address.chunkId,
    sealId: seal.sealId,
    dek,
    size: seal.size,
    range: { start, end: start + size },
    target: { lease, offset: 0, size: room },
  };
}

function zero(lease: ArenaLease, size: number): number {
  lease.bytes.fill(0, 0, size);
  return 0;
}

/**
 * Cuts the content's pieces into reads. The pieces of a range of up to 64 GiB are looked up at once, as of
 * one state of the map; of larger ones page by page, and an overwrite in between ends the read.
 */
function* planReads(
  tenant: OpenTenant,
  found: FoundContent,
  start: number,
  end: number,
): Generator<Read> {
  const { content } = found.cold;
  let next: number | undefined = start;
  while (next !== undefined && next < end) {
    const range: { readonly start: number; readonly end: number } = { start: next, end };
    const page: ContentPage = tenant.store.view((map) =>
      readContent(map, content, range, piecesPerPage),
    );
    if (page.isGone === true) throw new ReplacedContentError();
    for (const piece of page.pieces) yield* planPiece(piece);
    next = page.next;
  }
}

/** The reads of content that is on one page, to be kept and used again: in few objects. */
export function planPage({ pieces }: ContentPage): readonly ContentRead[] {
  return pieces.flatMap((piece) => {
    if (piece.kind === "hole") return [...planPiece(piece)];
    const both = { ...piece.address, ...piece.seal };
    const kept: ContentPiece = { ...piece, address: both, seal: both };
    const name = rowName(both);
    return [...planPiece(kept)].map((read) => ({ ...read, name }));
  });
}

function* planPiece(piece: ContentPiece): Generator<Read> {
  const first = piece.kind === "hole" ? 0 : piece.chunkOffset;
  const last = first + piece.length;
  for (let start = first; start < last;) {
    // Cut at multiples of the read size in the chunk, so that each read opens whole segments once.
    const end = Math.min(last, (Math.floor(start / readSizeMax) + 1) * readSizeMax);
    yield { piece, start, size: end - start };
    start = end;
  }
}
