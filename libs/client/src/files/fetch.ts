import {
  type BlockCache,
  type ContentStore,
  type Failure,
  failureOf,
  type KnownPiece,
  pieceSizeMax,
} from "@kiseki/vfs";
import { randomBlockSize, streamBlockSize } from "../content/blocks.ts";
import { isRefused } from "./mount.ts";

type Chunk = KnownPiece & { readonly kind: "chunk" };
const keySpan = 2 * pieceSizeMax;
/** Bytes fetched ahead at once; what somebody waits for comes on top. */
const aheadSizeMax = 32 * 1024 * 1024;

/** `[start, end)` of a chunk's plaintext. */
interface Block {
  readonly start: number;
  readonly end: number;
  readonly key: string;
}
type Take = (block: Uint8Array) => void;

function blockAt(piece: Chunk, position: number, size: number): Block {
  const from = Math.floor(position / size) * size;
  const start = Math.max(from, piece.chunkOffset);
  const end = Math.min(from + size, piece.chunkOffset + piece.length);
  // Never the same number for two ranges of one piece; a key that was made once is found faster again.
  const range = start * keySpan + (end - start);
  let key = piece.blockKeys.get(range);
  if (key === undefined) {
    key = `${piece.key}/${start}-${end}`;
    piece.blockKeys.set(range, key);
  }
  return { start, end, key };
}

/** Blocks of chunks, out of the cache or fetched, each once however many wait for it. */
export class Fetcher {
  readonly #content: ContentStore;
  readonly #cache: BlockCache;
  readonly #isKeeping: boolean;
  readonly #underWay = new Map<
    string,
    { readonly takers: Take[]; readonly ended: Promise<Failure | undefined> }
  >();
  #aheadSize = 0;
  #wipes = 0;

  constructor(content: ContentStore, cache: BlockCache, isKeeping: boolean) {
    this.#content = content;
    this.#cache = cache;
    this.#isKeeping = isKeeping;
  }

  /** Forgets all blocks; those that are fetched now are not kept. */
  wipe(): void {
    this.#wipes += 1;
    this.#cache.wipe();
  }

  /** Fills `target` with the piece's bytes from `position` in its chunk on, if all of them are here. */
  copyNow(piece: Chunk, position: number, target: Uint8Array): boolean {
    for (let done = 0; done < target.byteLength;) {
      const at = position + done;
      let block = blockAt(piece, at, streamBlockSize);
      let bytes = this.#cache.get(block.key);
      if (bytes === undefined) {
        block = blockAt(piece, at, randomBlockSize);
        bytes = this.#cache.get(block.key);
      }
      if (bytes === undefined && this.#isKeeping) {
        const size = this.#copyNear(piece, block, at, target.subarray(done));
        if (size === 0) return false;
        done += size;
        continue;
      }
      if (bytes === undefined) return false;
      const size = Math.min(block.end - at, target.byteLength - done);
      target.set(bytes.subarray(at - block.start, at - block.start + size), done);
      done += size;
    }
    return true;
  }

  /** How much of `target` the disk of this machine could fill: of a stream straight away, else by a block that memory has from then on. */
  #copyNear(piece: Chunk, block: Block, position: number, target: Uint8Array): number {
    const content = this.#content;
    const start = position - piece.chunkOffset;
    const large = blockAt(piece, position, streamBlockSize);
    const streamed = Math.min(large.end - position, target.byteLength);
    if (streamed >= randomBlockSize)
      return content.readNow?.(piece, start, target.subarray(0, streamed)) === true ? streamed : 0;
    const size = block.end - block.start;
    const blockStart = block.start - piece.chunkOffset;
    if (content.isNear?.(piece, blockStart, size) !== true) return 0;
    const bytes = this.#cache.memory(size);
    if (content.readNow?.(piece, blockStart, bytes) !== true) {
      bytes.fill(0);
      return 0;
    }
    const count = Math.min(block.end - position, target.byteLength);
    const from = position - block.start;
    target.set(bytes.subarray(from, from + count));
    this.#cache.put(block.key, bytes); // which zeroizes what it does not keep
    return count;
  }

  /** As `copyNow`, fetching what is not here. Blocks are fetched side by side. */
  async copy(
    piece: Chunk,
    position: number,
    target: Uint8Array,
    isStream: boolean,
  ): Promise<Failure | undefined> {
    if (!this.#isKeeping) {
      return this.#read(piece, position, target);
    }
    const waits: Promise<Failure | undefined>[] = [];
    for (let done = 0; done < target.byteLength;) {
      const at = position + done;
      const block = this.#blockHere(piece, at, isStream);
      const size = Math.min(block.end - at, target.byteLength - done);
      const part = target.subarray(done, done + size);
      const take: Take = (bytes) => {
        part.set(bytes.subarray(at - block.start, at - block.start + size));
      };
      const cached = this.#cache.get(block.key);
      if (cached === undefined) waits.push(this.#fetch(piece, block, take));
      else take(cached);
      done += size;
    }
    const failures = await Promise.all(waits);
    return failures.find((failure) => failure !== undefined);
  }

  /** The block that has the position already or is on its way, else one of the size that suits. */
  #blockHere(piece: Chunk, position: number, isStream: boolean): Block {
    const large = blockAt(piece, position, streamBlockSize);
    if (isStream || this.#cache.has(large.key) || this.#underWay.has(large.key)) return large;
    return blockAt(piece, position, randomBlockSize);
  }

  /** Starts to fetch what is not here of a range that somebody will ask for. Stops when enough is on its way. */
  ahead(piece: Chunk, start: number, end: number): boolean {
    if (!this.#isKeeping) return false;
    for (let at = start; at < end;) {
      const block = blockAt(piece, at, streamBlockSize);
      at = block.end;
      if (this.#cache.has(block.key) || this.#underWay.has(block.key)) continue;
      const size = block.end - block.start;
      if (this.#content.isNear?.(piece, block.start - piece.chunkOffset, size) === true) continue;
      if (this.#aheadSize + size > aheadSizeMax) return false;
      this.#aheadSize += size;
      void this.#fetch(piece, block, undefined).then(() => {
        this.#aheadSize -= size;
      });
    }
    return true;
  }

  #fetch(piece: Chunk, block: Block, take: Take | undefined): Promise<Failure | undefined> {
    const known = this.#underWay.get(block.key);
    if (known !== undefined) {
      if (take !== undefined) known.takers.push(take);
      return known.ended;
    }
    const takers = take === undefined ? [] : [take];
    const bytes = this.#cache.memory(block.end - block.start);
    const wipes = this.#wipes;
    const ended = this.#read(piece, block.start, bytes).then((failure) => {
      this.#underWay.delete(block.key);
      if (failure !== undefined) {
        bytes.fill(0);
        return failure;
      }
      for (const each of takers) each(bytes);
      if (wipes === this.#wipes) this.#cache.put(block.key, bytes);
      else bytes.fill(0);
      return undefined;
    });
    this.#underWay.set(block.key, { takers, ended });
    return ended;
  }

  async #read(piece: Chunk, position: number, target: Uint8Array): Promise<Failure | undefined> {
    const read = await this.#content.read(piece, position - piece.chunkOffset, target);
    return isRefused(read) ? failureOf(read.code) : undefined;
  }
}
