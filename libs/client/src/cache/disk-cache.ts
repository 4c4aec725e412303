import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { newBytes, type Prng, toHex } from "@kiseki/base";
import type { CacheMode, Manifest, Ticket } from "@kiseki/cache";
import type { Clock, Crypto } from "@kiseki/ports";
import type { ContentStore, KernelCache, LendingFile, StagedFiles } from "@kiseki/vfs";
import { blockAround, randomBlockSize, streamBlockAround } from "../content/blocks.ts";
import {
  blockContentSize,
  blockFileSize,
  type BlockPart,
  type BlockPorts,
  codeOf,
  fillBlockContent,
  isReadable,
  readBlockFile,
  readBlockNow,
  type ReadNow,
  seedOf,
  writeBlockFile,
} from "./block-file.ts";
import { CacheFiles } from "./cache-files.ts";
import { ImageStore } from "./image-store.ts";
import { type CacheLatencies, Latency } from "./latency.ts";
import { Lending } from "./lending.ts";
import { adoptPool, adoptWaitMs, eraseInside, openPool, type Pool, scavenge } from "./pool.ts";
import { Room } from "./room.ts";
import { StagedReader } from "./staged-reader.ts";

export interface DiskCacheOptions {
  readonly directory: string;
  /** Of the tenant, in hex. */
  readonly tenant: string;
  /** Id in hex: staged files of others are not shown. */
  readonly namespace: string;
  readonly mode: CacheMode;
  /** Bytes on the disk of this process. */
  readonly sizeMax: number;
  /** Bytes of all pools of this machine; absent: 80 % of the file system. */
  readonly nodeSizeMax?: number | undefined;
  /** A pool that somebody has filled; one that cannot be had is told, and another takes its place. */
  readonly adopted?: string | undefined;
  /** This process stages by itself: what it has staged is shown, also where no pool was adopted. */
  readonly isStaging?: boolean | undefined;
  /** Told once for each code: whatever goes wrong here, reads go to the nodes. */
  readonly onFault: (code: string) => void;
}

/** Content that is kept on the disk of this machine, in front of the nodes that have it. */
export interface DiskCache {
  readonly content: ContentStore;
  /** Of this process alone; absent without a disk. */
  readonly pool: Pick<Pool, "id" | "path"> | undefined;
  /** Of its blocks; what is staged, and what the kernel's own threads read, is not among them. */
  readonly latencies: CacheLatencies;
  /** Absent where nothing was adopted and nothing is staged here. */
  readonly staged: StagedFiles | undefined;
  /** Bytes that may be on the disk, images with them. */
  readonly sizeOnDisk: number;
  /** What is staged. */
  readonly manifests: readonly Manifest[];
  /** Where staging puts files; absent without a disk. */
  readonly images: ImageStore | undefined;
  /** What is staged now is shown as it was then; what is not any more is not. */
  showStaged(): Promise<void>;
  /** Settles when what earlier processes left has been erased. */
  readonly scavenged: Promise<void>;
  /** False: content that is not here yet is not kept. */
  accept(isAccepting: boolean): void;
  /** Erases everything, staged files too: from the call on nothing of before is served. What is read later is kept. */
  wipe(): Promise<void>;
  /** Settles when nothing is being stored or erased. */
  idle(): Promise<void>;
  /** Erases everything; the content is then the nodes' alone. */
  close(): Promise<void>;
}

const reusedSizeMin = 256 * 1024;
const reusedCountMax = 8;
/** Copies under way to the disk; what comes on top is not kept. */
const storingSizeMax = 32 * 1024 * 1024;

type Chunk = Parameters<ContentStore["read"]>[0];
/** Bytes of a chunk's plaintext. */
interface Range {
  readonly from: number;
  readonly to: number;
}
/** Names of chunks that were asked for: a piece of a plan is read many times. */
const names = new WeakMap<Chunk, string>();
function keyOf(piece: Chunk, { from, to }: Range): string {
  let name = names.get(piece);
  if (name === undefined) names.set(piece, (name = toHex(piece.chunkId)));
  return `${name}.${from}-${to}`;
}

type Ports = {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly prng: Prng;
  readonly content: ContentStore;
  /** Of open files of this machine; without it every read of the disk is another thread's. */
  readonly readNow?: ReadNow;
  /** May answer reads by itself. */
  readonly kernel?: Pick<KernelCache, "blocks">;
};

/** Faults of the disk are told by `onFault`; the content works without it. */
export async function openDiskCache(ports: Ports, options: DiskCacheOptions): Promise<DiskCache> {
  const told = new Set<string>();
  const tell = (code: string): void => {
    if (!told.has(code)) options.onFault(code);
    told.add(code);
  };
  let opened: Opened;
  try {
    opened = await openOnDisk(ports, options, tell);
  } catch (reason) {
    tell(codeOf(reason));
    return withoutDisk(ports.content);
  }
  const { pool, files, images, staged } = opened;
  const closing = new AbortController();
  const scavenged = scavenge(options.directory, closing.signal, tell);
  const content = new CachedContent(ports, files);
  const quietly = (work: Promise<void>): Promise<void> =>
    work.catch((reason: unknown) => {
      tell(codeOf(reason));
    });
  return {
    content,
    pool,
    latencies: content.latencies,
    staged,
    get sizeOnDisk() {
      return files.sizeOnDisk;
    },
    get manifests() {
      return images.manifests;
    },
    images,
    showStaged: async () => {
      await staged?.update();
    },
    scavenged: scavenged.then(() => undefined),
    accept: (isAccepting) => {
      if (!closing.signal.aborted) files.isAccepting = isAccepting;
    },
    wipe: async () => {
      await Promise.all([files.wipe(), quietly(images.forget())]);
    },
    idle: () => files.idle(),
    close: async () => {
      closing.abort();
      files.isAccepting = false;
      await scavenged;
      await files.wipe();
      await files.idle();
      await quietly(pool.close());
    },
  };
}

interface Opened {
  readonly pool: Pool;
  readonly files: CacheFiles;
  readonly images: ImageStore;
  readonly staged: StagedReader | undefined;
}
async function openOnDisk(
  ports: Ports,
  options: DiskCacheOptions,
  tell: (code: string) => void,
): Promise<Opened> {
  const { adopted, mode, sizeMax, directory, nodeSizeMax, namespace } = options;
  let pool: Pool | undefined;
  if (adopted !== undefined) {
    pool = await adoptPool(options, adopted, ports.clock, adoptWaitMs).catch((reason: unknown) => {
      tell(codeOf(reason));
      return undefined;
    });
  }
  const isAdopted = pool !== undefined;
  pool ??= await openPool(options, ports.prng);
  try {
    const room = new Room(ports.clock, pool, { directory, nodeSizeMax });
    const lending = ports.kernel && new Lending(ports.kernel);
    const files = new CacheFiles(pool, { mode, sizeMax, room, lending, tell });
    const images = await ImageStore.open(ports, files);
    const chunks = join(pool.path, "chunks");
    // Blocks that another process kept: what they are is in no table.
    if (isAdopted) await eraseInside(chunks);
    await mkdir(chunks, { recursive: true, mode: 0o700 });
    const isShown = isAdopted || options.isStaging === true;
    const staged = isShown ? await StagedReader.open(files, images, namespace) : undefined;
    return { pool, files, images, staged };
  } catch (reason) {
    await pool.close().catch(() => undefined);
    throw reason;
  }
}

function withoutDisk(content: ContentStore): DiskCache {
  const nothing = async (): Promise<void> => {};
  return {
    content,
    pool: undefined,
    latencies: { read: new Latency(), write: new Latency() },
    staged: undefined,
    sizeOnDisk: 0,
    manifests: [],
    images: undefined,
    showStaged: nothing,
    scavenged: nothing(),
    accept: () => undefined,
    wipe: nothing,
    idle: nothing,
    close: nothing,
  };
}

/** The range as a part of the block that a stream has there, if it is one. */
function partAround(piece: Chunk, range: Range): BlockPart | undefined {
  const around = streamBlockAround(piece, range);
  const size = around.to - around.from;
  const from = range.from - around.from;
  const isPart = range.to <= around.to && range.to - range.from < size;
  if (!isPart || !isReadable(from, range.to - around.from, size)) return undefined;
  return { key: keyOf(piece, around), size, from };
}

/** Reads out of files where they have the bytes, else of the nodes. Never throws, as what it stands before. */
class CachedContent implements ContentStore {
  readonly latencies: CacheLatencies = { read: new Latency(), write: new Latency() };
  readonly #clock: Clock;
  readonly #crypto: Crypto;
  readonly #blocks: BlockPorts;
  readonly #content: ContentStore;
  readonly #files: CacheFiles;
  #sizeStoring = 0;
  /** Zeroized, of copies that were stored. */
  readonly #free: Uint8Array[] = [];

  constructor(
    {
      clock,
      crypto,
      content,
      readNow = () => false,
    }: Pick<Ports, "clock" | "crypto" | "content" | "readNow">,
    files: CacheFiles,
  ) {
    this.#clock = clock;
    this.#crypto = crypto;
    this.#blocks = { crypto, readNow };
    this.#content = content;
    this.#files = files;
  }

  write(...request: Parameters<ContentStore["write"]>): ReturnType<ContentStore["write"]> {
    return this.#content.write(...request);
  }

  async read(piece: Chunk, start: number, target: Uint8Array): ReturnType<ContentStore["read"]> {
    const from = piece.chunkOffset + start;
    const range = { from, to: from + target.byteLength };
    const key = keyOf(piece, range);
    if (await this.#readHere({ key, size: target.byteLength, from: 0 }, target))
      return { kind: "read" };
    if (await this.#readWithin(piece, range, target)) return { kind: "read" };
    const { generation } = this.#files;
    const read = await this.#content.read(piece, start, target);
    // What was asked for before a wipe is not kept after it.
    if (read.kind === "read" && generation === this.#files.generation) this.#keep(key, target);
    return read;
  }

  readNow(piece: Chunk, start: number, target: Uint8Array): boolean {
    const from = piece.chunkOffset + start;
    const range = { from, to: from + target.byteLength };
    const exact = { key: keyOf(piece, range), size: target.byteLength, from: 0 };
    if (this.#readHereNow(exact, target)) return true;
    const part = partAround(piece, range);
    return part !== undefined && this.#readHereNow(part, target);
  }
  isNear(piece: Chunk, start: number, size: number): boolean {
    const from = piece.chunkOffset + start;
    const around = streamBlockAround(piece, { from });
    const isHere = this.#files.has(keyOf(piece, { from, to: from + size }));
    return isHere || this.#files.has(keyOf(piece, around));
  }

  lend(piece: Chunk, start: number, file: LendingFile): void {
    const from = piece.chunkOffset + start;
    const around = streamBlockAround(piece, { from });
    if (!this.#files.has(keyOf(piece, around))) {
      this.#lendBlock(piece, blockAround(piece, from, randomBlockSize), file);
      return;
    }
    // Who reads one block is about to read the others.
    if (!this.#lendBlock(piece, around, file)) return;
    for (let at = piece.chunkOffset; at < piece.chunkOffset + piece.length;) {
      const block = streamBlockAround(piece, { from: at });
      this.#lendBlock(piece, block, file);
      at = block.to;
    }
  }
  /** Whether it is lent now and was not before. */
  #lendBlock(piece: Chunk, { from, to }: Range, file: LendingFile): boolean {
    const { lending } = this.#files;
    const key = keyOf(piece, { from, to });
    const start = piece.offset + from - piece.chunkOffset;
    if (lending === undefined || lending.isLent(key, file, start) || !this.#files.has(key))
      return false;
    const block = { ...file, key, start, length: to - from };
    try {
      lending.lend({ ...block, path: this.#files.path(key), seed: seedOf(this.#crypto, key) });
      return true;
    } catch (reason) {
      // Whoever reads it next finds out what it is.
      this.#files.tell(codeOf(reason));
      return false;
    }
  }

  /** A few bytes here and there of what was once read as a stream. */
  async #readWithin(piece: Chunk, range: Range, target: Uint8Array): Promise<boolean> {
    const part = partAround(piece, range);
    return part !== undefined && (await this.#readHere(part, target));
  }
  #readHereNow(part: BlockPart, target: Uint8Array): boolean {
    const ticket = this.#files.read(part.key);
    if (ticket === undefined) return false;
    let isRight: boolean | undefined = false;
    const began = this.#clock.monotonic();
    try {
      isRight = readBlockNow(this.#blocks, this.#files.path(part.key), part, target);
      if (isRight === true) this.latencies.read.record(this.#clock.monotonic() - began);
      if (isRight === false) this.#files.tell("EBADMSG");
    } catch (reason) {
      this.#files.tell(codeOf(reason));
    }
    const isServed = this.#files.endRead(ticket, isRight !== false);
    return isServed && isRight === true;
  }
  async #readHere(part: BlockPart, target: Uint8Array): Promise<boolean> {
    const ticket = this.#files.read(part.key);
    if (ticket === undefined) return false;
    let isRight = false;
    const began = this.#clock.monotonic();
    try {
      isRight = await readBlockFile(this.#blocks, this.#files.path(part.key), part, target);
      if (isRight) this.latencies.read.record(this.#clock.monotonic() - began);
      if (!isRight) this.#files.tell("EBADMSG");
    } catch (reason) {
      this.#files.tell(codeOf(reason));
    }
    return this.#files.endRead(ticket, isRight);
  }

  /** Stores a copy, after the answer. */
  #keep(key: string, plaintext: Uint8Array): void {
    const size = plaintext.byteLength;
    if (size === 0 || this.#sizeStoring + size > storingSizeMax) return;
    const ticket = this.#files.admit(key, blockFileSize(size));
    if (ticket === undefined) return;
    if ("kind" in ticket) {
      this.#files.tell(ticket.kind);
      return;
    }
    this.#sizeStoring += size;
    const content = this.#memory(blockContentSize(size));
    fillBlockContent(this.#crypto, key, plaintext, content);
    this.#files.run(
      this.#store(ticket, content).finally(() => {
        this.#sizeStoring -= size;
      }),
    );
  }

  async #store(ticket: Ticket, content: Uint8Array): Promise<void> {
    if (await this.#files.begin(ticket)) {
      let isStored = false;
      const began = this.#clock.monotonic();
      try {
        await writeBlockFile(this.#files.path(ticket.key), content);
        this.latencies.write.record(this.#clock.monotonic() - began);
        isStored = true;
      } catch (reason) {
        this.#files.tell(codeOf(reason));
      }
      await this.#files.endStore(ticket, isStored);
    }
    content.fill(0);
    if (content.byteLength >= reusedSizeMin && this.#free.length < reusedCountMax)
      this.#free.push(content);
  }
  /** Memory that is new costs as much as the copy. */
  #memory(size: number): Uint8Array {
    const index = this.#free.findLastIndex(({ byteLength }) => byteLength === size);
    return index < 0 ? newBytes(size) : this.#free.splice(index, 1)[0]!;
  }
}
