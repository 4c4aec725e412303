import { assert } from "@kiseki/base";
import { ChunkStoreError, roomFor } from "@kiseki/chunk-store";
import {
  type ContentPage,
  type ContentPiece,
  type FoundObject,
  readContent,
} from "@kiseki/composition";
import { type ArenaLease, segmentSize } from "@kiseki/ports";
import type { ContentSource, DataPorts, OpenTenant } from "./types.ts";

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

/** One read that fits one lease: `[start, end)` of the plaintext of a piece's chunk, or zeros. */
interface Read {
  readonly piece: ContentPiece;
  readonly start: number;
  readonly size: number;
}
interface Filled extends Disposable {
  readonly bytes: Uint8Array;
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
  readonly #ahead: Promise<Filled>[] = [];
  readonly #signal: AbortSignal;
  readonly #place: Disposable;
  readonly #startedAt: number;
  #current: Filled | undefined;
  #taken = 0;
  #isClosed = false;

  /** Takes over `place`, entered before `found` was looked up. */
  constructor(
    ports: DataPorts,
    tenant: OpenTenant,
    content: {
      readonly found: FoundObject;
      readonly start: number;
      readonly end: number;
      readonly place: Disposable;
      readonly signal: AbortSignal;
    },
  ) {
    this.#ports = ports;
    this.#tenant = tenant;
    this.#signal = content.signal;
    this.#place = content.place;
    this.#startedAt = ports.clock.monotonic();
    this.size = content.end - content.start;
    this.#reads = planReads(tenant, content.found, content.start, content.end);
    this.#readAhead();
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
    const settling = this.#ahead.map((ahead) =>
      ahead.then((filled) => filled[Symbol.dispose]()).catch(() => undefined),
    );
    void Promise.all(settling).finally(() => this.#place[Symbol.dispose]());
  }

  #readAhead(): void {
    while (this.#ahead.length < readsAheadMax) {
      const read = this.#reads.next();
      if (read.done) return;
      const filled = this.#fill(read.value);
      filled.catch(() => undefined); // seen by whoever takes it
      this.#ahead.push(filled);
    }
  }

  async #fill({ piece, start, size }: Read): Promise<Filled> {
    const { budget, datapath } = this.#ports;
    using held = new DisposableStack();
    const room =
      piece.kind === "hole" ? size : roomFor({ start, end: start + size }, piece.seal.size);
    held.use(await budget.take(room, this.#signal, "read"));
    const lease = held.use(await datapath.arena.borrow(room, this.#signal));
    const offset =
      piece.kind === "hole" ? zero(lease, size) : await this.#open(piece, lease, start, size, room);
    const owned = held.move();
    return {
      bytes: lease.bytes.subarray(offset, offset + size),
      [Symbol.dispose]: () => owned.dispose(),
    };
  }

  async #open(
    piece: Extract<ContentPiece, { kind: "chunk" }>,
    lease: ArenaLease,
    start: number,
    size: number,
    room: number,
  ): Promise<number> {
    const { chunkStore, crypto, metrics } = this.#ports;
    const { chunkId } = piece.address;
    const { sealId, keyset } = piece.seal;
    const keyring = this.#tenant.keys("read").keyset(keyset);
    assert(keyring !== undefined, "a chunk in use is under a live keyset");
    const dek = keyring.chunkDek(chunkId, sealId, "none");
    try {
      const outcome = await chunkStore.get({
        chunkId,
        sealId,
        dek,
        size: piece.seal.size,
        range: { start, end: start + size },
        target: { lease, offset: 0, size: room },
      });
      if (outcome.kind !== "read") {
        throw new DamagedContentError(outcome.kind === "tampered" ? "tampered" : "lost");
      }
      metrics.add("kiseki_chunk_read_bytes_total", size);
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
  found: FoundObject,
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
    for (const piece of page.pieces) yield* planPiece(piece);
    next = page.next;
  }
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
