import {
  assert,
  type ChunkId,
  chunkId,
  customerKeyset,
  newBytes,
  type OperationId,
  type SealId,
  sealId,
} from "@kiseki/base";
import type { PutSignal, SealRef } from "@kiseki/chunk-store";
import { lookupChunk, type NewContent, type NewExtent } from "@kiseki/composition";
import { type ArenaLease, type HashAlgorithm, type HashState } from "@kiseki/ports";
import { chunkShare } from "./budget.ts";
import type { ContentCipher, ContentSource, DataPorts, OpenTenant } from "./types.ts";

/** Chunks of one body that are hashed, sealed and stored while the next one is filled. */
const chunksInFlightMax = 2;

type Hit = Pick<NewExtent, "chunkId" | "pool" | "profile" | "pinned">;
/** Where a byte too many would go. */
const endRoom = newBytes(1);
const phaseDedup = { phase: "dedup_check" };

export interface WriteRequest {
  readonly operationId: OperationId;
  readonly size: number;
  /** The body ends by itself, after `size` bytes at most. */
  readonly isBounded?: boolean;
  /** Digests over the whole body besides MD5; a single chunk's SHA-256 comes free. */
  readonly algorithms: ReadonlySet<HashAlgorithm>;
  readonly signal: PutSignal;
  /** Number of the pool that it goes to. */
  readonly pool: number;
  /** The content is a customer's: no chunk of it is shared with another object, nor opened without its key. */
  readonly cipher?: ContentCipher | undefined;
}

/** Content that is durable on its devices and that nothing names yet. Dispose it after the commit or the refusal. */
export interface WrittenContent extends Disposable {
  readonly content: NewContent;
  /** Bytes that came. */
  readonly size: number;
  readonly digests: ReadonlyMap<HashAlgorithm, Uint8Array>;
  /** The operation did not commit: what was stored for it alone goes again. */
  discard(): void;
}

/** The body ended before `size` bytes had come. */
export class ShortBodyError extends Error {
  override readonly name = "ShortBodyError";
}

/**
 * Takes a body of known or bounded size in: hashed and checked as it comes, cut into chunks, each looked up for a
 * dedup hit, else sealed, coded and stored, synced (DESIGN §4).
 *
 * @throws {ShortBodyError} and whatever source, keys and chunk store throw; nothing stays stored then.
 */
export async function writeContent(
  ports: DataPorts,
  tenant: OpenTenant,
  source: ContentSource,
  request: WriteRequest,
): Promise<WrittenContent> {
  const writer = new ContentWriter(ports, tenant, request);
  try {
    return await writer.run(source);
  } catch (reason) {
    await writer.undo();
    throw reason;
  }
}

class ContentWriter {
  readonly #ports: DataPorts;
  readonly #tenant: OpenTenant;
  readonly #request: WriteRequest;
  readonly #extents: NewExtent[] = [];
  readonly #stored: SealRef[] = [];
  readonly #pins: Disposable[] = [];
  /** Settled one by one; none rejects unseen. */
  readonly #inFlight: Promise<unknown>[] = [];
  #hashed: Promise<unknown> = Promise.resolve();
  #failure: { readonly reason: unknown } | undefined;

  constructor(ports: DataPorts, tenant: OpenTenant, request: WriteRequest) {
    this.#ports = ports;
    this.#tenant = tenant;
    this.#request = request;
  }

  async run(source: ContentSource): Promise<WrittenContent> {
    const { size } = this.#request;
    const { chunkSize } = this.#ports;
    if (size === 0) {
      await this.#ending(source);
      return this.#finish({ kind: "empty" }, 0, await this.#digestNothing());
    }
    if (size <= chunkSize) return this.#runSingle(source);
    using state = this.#ports.datapath.openHash(["md5", ...this.#request.algorithms]);
    let taken = 0;
    try {
      for (let filled = chunkSize; filled === chunkSize && taken < size; taken += filled) {
        filled = await this.#startChunk(source, state, taken, Math.min(chunkSize, size - taken));
      }
      await this.#ending(source);
    } finally {
      await Promise.all(this.#inFlight); // the state is in use until then
    }
    this.#throwFailure();
    const extents = this.#extents.sort((a, b) => a.offset - b.offset);
    const content: NewContent = taken === 0 ? { kind: "empty" } : { kind: "extents", extents };
    return this.#finish(content, taken, this.#ports.datapath.digest(state));
  }

  /** One chunk: its SHA-256 serves the payload hash, the checksum and the chunk id. */
  async #runSingle(source: ContentSource): Promise<WrittenContent> {
    const { datapath, smallSizeMax } = this.#ports;
    const { size: sizeMax, algorithms } = this.#request;
    using _share = await this.#takeShare(sizeMax);
    using lease = await (datapath.arena.lend(sizeMax) ??
      datapath.arena.borrow(sizeMax, this.#signal));
    const size = await this.#fill(source, lease, sizeMax);
    await this.#ending(source);
    if (size === 0) return this.#finish({ kind: "empty" }, 0, await this.#digestNothing());
    const isSmall = size <= smallSizeMax;
    const wanted = new Set<HashAlgorithm>(["md5", ...algorithms]);
    const ownWanted = wanted.delete("sha256") || (!isSmall && this.#isShared);
    using state = datapath.openHash(wanted);
    const { sha256 } = await datapath.hash({
      state,
      source: { lease, offset: 0, size },
      own: ownWanted,
    });
    const digests = new Map(datapath.digest(state));
    if (sha256) digests.set("sha256", sha256);
    if (!isSmall) {
      await this.#storeChunk(lease, 0, size, sha256);
      return this.#finish({ kind: "extents", extents: this.#extents }, size, digests);
    }
    const content = await this.#storeSmall(lease, size);
    return this.#finish(content, size, digests);
  }

  /** Made when something waits. */
  get #signal(): AbortSignal {
    const { signal } = this.#request;
    return typeof signal === "function" ? signal() : signal;
  }
  #takeShare(sizeMax: number): Disposable | Promise<Disposable> {
    const { budget } = this.#ports;
    const share = chunkShare(sizeMax);
    return budget.takeNow(share, "fill") ?? budget.take(share, this.#signal, "fill");
  }
  /** Answers how many bytes there were, once they are here. */
  async #startChunk(
    source: ContentSource,
    state: HashState,
    offset: number,
    sizeMax: number,
  ): Promise<number> {
    if (this.#inFlight.length >= chunksInFlightMax) await this.#inFlight.shift();
    this.#throwFailure();
    const { datapath } = this.#ports;
    using held = new DisposableStack();
    held.use(await this.#takeShare(sizeMax));
    const lease = held.use(await datapath.arena.borrow(sizeMax, this.#signal));
    const size = await this.#fill(source, lease, sizeMax);
    if (size === 0) return 0;
    const owned = held.move();
    const hashed = this.#hashed.then(() =>
      datapath.hash({ state, source: { lease, offset: 0, size }, own: this.#isShared }),
    );
    this.#hashed = hashed.catch(() => undefined); // seen through `stored` below
    const stored = hashed.then(({ sha256 }) => this.#storeChunk(lease, offset, size, sha256));
    this.#inFlight.push(
      stored
        .catch((reason: unknown) => (this.#failure ??= { reason }))
        .finally(() => owned.dispose()),
    );
    return size;
  }

  /** Answers how many bytes there were: `size`, or fewer of a body that ends by itself. */
  async #fill(source: ContentSource, lease: ArenaLease, size: number): Promise<number> {
    const target = lease.bytes.subarray(0, size);
    let filled = 0;
    while (filled < size) {
      const count = await source.readInto(target.subarray(filled));
      if (count === 0 && this.#request.isBounded === true) break;
      if (count === 0) throw new ShortBodyError("Cannot store the body: it ended early");
      filled += count;
    }
    return filled;
  }

  /** Reads up to the end of the body, where a wrapped one is checked last. */
  async #ending(source: ContentSource): Promise<void> {
    const more = await source.readInto(endRoom);
    assert(more === 0, "a body has no more bytes than its head said");
  }

  async #storeChunk(
    lease: ArenaLease,
    offset: number,
    size: number,
    sha256: Uint8Array | undefined,
  ): Promise<void> {
    const { chunkStore } = this.#ports;
    const id = this.#chunkIdOf(sha256);
    if (this.#isShared) {
      const pin = this.#tenant.pins.pin(id);
      const hit = this.#findHitTimed(id, size);
      if (hit) {
        this.#pins.push(pin);
        this.#extents.push({ ...hit, offset, length: size, chunkOffset: 0 });
        return;
      }
      pin[Symbol.dispose]();
    }
    const seal = this.#newSeal();
    const placement = await this.#put(lease, size, id, seal, false);
    assert(chunkStore.has(id, seal), "a stored chunk is in the index");
    this.#extents.push({
      chunkId: id,
      pool: placement.pool,
      profile: placement.profile,
      offset,
      length: size,
      chunkOffset: 0,
      seal: {
        sealId: seal,
        keyset: placement.keyset,
        placementEpoch: placement.placementEpoch,
        size,
        missing: placement.missing,
      },
    });
  }

  /** Whether equal content of other objects may be the same chunk. */
  get #isShared(): boolean {
    return this.#request.cipher === undefined;
  }
  #chunkIdOf(sha256: Uint8Array | undefined): ChunkId {
    if (!this.#isShared) return chunkId(this.#ports.prng.fill(newBytes(32)));
    assert(sha256 !== undefined, "a chunk's own hash was asked for");
    return this.#tenant.keys("write").chunkIdOf(sha256);
  }

  #findHitTimed(id: ChunkId, size: number): Hit | undefined {
    const { clock, metrics } = this.#ports;
    const started = clock.monotonic();
    const hit = this.#findHit(id, size);
    const name = "kiseki_chunk_persistent_write_phase_duration_seconds";
    metrics.observe(name, (clock.monotonic() - started) / 1000, phaseDedup);
    return hit;
  }
  /** A hit is given only for a chunk that is complete, of the profile that would be written now, in a live keyset. */
  #findHit(id: ChunkId, size: number): Hit | undefined {
    const { chunkStore } = this.#ports;
    const { pool } = this.#request;
    const profile = chunkStore.profileOf(pool);
    if (profile === undefined) return undefined;
    const address = { chunkId: id, pool, profile };
    const live = this.#tenant.store.view((map) => lookupChunk(map, address));
    if (live === undefined || live.size !== size) return undefined;
    if (live.missing > 0) return undefined; // until repair has told the shard
    if (live.keyset !== this.#tenant.keys("write").current) return undefined;
    return chunkStore.has(id, live.sealId) ? { ...address, pinned: live.sealId } : undefined;
  }

  async #storeSmall(lease: ArenaLease, size: number): Promise<NewContent> {
    const id = chunkId(this.#ports.prng.fill(new Uint8Array(32)));
    const seal = this.#newSeal();
    const placement = await this.#put(lease, size, id, seal, true);
    const ref = {
      chunkId: id,
      sealId: seal,
      pool: placement.pool,
      profile: placement.profile,
      keyset: placement.keyset,
      placementEpoch: placement.placementEpoch,
      size,
      missing: placement.missing,
    };
    return { kind: "small", ref };
  }

  #newSeal(): SealId {
    return sealId(this.#ports.prng.fill(new Uint8Array(16)));
  }

  async #put(lease: ArenaLease, size: number, id: ChunkId, seal: SealId, small: boolean) {
    const { chunkStore, crypto, metrics } = this.#ports;
    const { cipher, pool } = this.#request;
    const { writing, current } = this.#tenant.keys("write");
    const keyset = cipher ? customerKeyset : current;
    const dek = cipher?.chunkDek(id, seal) ?? writing.chunkDek(id, seal, "none");
    try {
      const placement = await chunkStore.put(
        {
          pool,
          tenant: this.#tenant.id,
          shard: this.#tenant.shard,
          epoch: this.#tenant.owner.epoch,
          operationId: this.#request.operationId,
          keyset,
          chunkId: id,
          sealId: seal,
          dek,
          source: { lease, offset: 0, size },
          small,
        },
        this.#request.signal,
      );
      this.#stored.push({ chunkId: id, sealId: seal });
      metrics.add("kiseki_chunk_write_bytes_total", size);
      return { ...placement, keyset };
    } finally {
      crypto.wipe(dek);
    }
  }

  async #digestNothing(): Promise<ReadonlyMap<HashAlgorithm, Uint8Array>> {
    using state = this.#ports.datapath.openHash(["md5", ...this.#request.algorithms]);
    return new Map(this.#ports.datapath.digest(state));
  }

  #finish(
    content: NewContent,
    size: number,
    digests: ReadonlyMap<HashAlgorithm, Uint8Array>,
  ): WrittenContent {
    return {
      content,
      size,
      digests,
      discard: () => this.#remove(),
      [Symbol.dispose]: () => this.#unpin(),
    };
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.reason;
  }

  #remove(): void {
    this.#ports.chunkStore.remove(this.#stored);
    this.#stored.length = 0;
  }

  /** After a failure: waits for what is under way, then forgets all of it. */
  async undo(): Promise<void> {
    await Promise.all(this.#inFlight);
    this.#remove();
    this.#unpin();
  }
  #unpin(): void {
    for (const pin of this.#pins.splice(0)) pin[Symbol.dispose]();
  }
}
