import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { type Prng, toHex } from "@kiseki/base";
import { BlockTable, type CacheMode, type Ticket } from "@kiseki/cache";
import type { Crypto } from "@kiseki/ports";
import type { ContentStore } from "@kiseki/vfs";
import {
  blockFileContent,
  blockFileSize,
  codeOf,
  eraseFile,
  readBlockFile,
  writeBlockFile,
} from "./block-file.ts";
import { openPool, type Pool, scavenge } from "./pool.ts";

export interface DiskCacheOptions {
  readonly directory: string;
  /** Of the tenant, in hex. */
  readonly tenant: string;
  readonly mode: CacheMode;
  /** Bytes on the disk of this process. */
  readonly sizeMax: number;
  /** Told once for each code: whatever goes wrong here, reads go to the nodes. */
  readonly onFault: (code: string) => void;
}

/** Content that is kept on the disk of this machine, in front of the nodes that have it. */
export interface DiskCache {
  readonly content: ContentStore;
  /** Settles when what earlier processes left has been erased. */
  readonly scavenged: Promise<void>;
  /** Settles when nothing is being stored or erased. */
  idle(): Promise<void>;
  /** Erases everything; the content is then the nodes' alone. */
  close(): Promise<void>;
}

/** Copies under way to the disk; what comes on top is not kept. */
const storingSizeMax = 32 * 1024 * 1024;
const erasingCountMax = 8;
/** Share of the file system from which on nothing is stored, whoever filled it (spec §7.9). */
const usedShareMax = 0.9;

type Chunk = Parameters<ContentStore["read"]>[0];

/** Faults of the disk are told by `onFault`; the content works without it. */
export async function openDiskCache(
  ports: { readonly crypto: Crypto; readonly prng: Prng; readonly content: ContentStore },
  options: DiskCacheOptions,
): Promise<DiskCache> {
  const told = new Set<string>();
  const tell = (code: string): void => {
    if (!told.has(code)) options.onFault(code);
    told.add(code);
  };
  const closing = new AbortController();
  let pool: Pool;
  try {
    pool = await openPool(options.directory, options.tenant, ports.prng);
  } catch (reason) {
    tell(codeOf(reason));
    const nothing = async (): Promise<void> => {};
    return { content: ports.content, scavenged: nothing(), idle: nothing, close: nothing };
  }
  const scavenged = scavenge(options.directory, closing.signal, tell);
  const content = new CachedContent(
    ports,
    pool.chunks,
    new BlockTable(options.mode, options.sizeMax),
    tell,
  );
  return {
    content,
    scavenged,
    idle: () => content.idle(),
    close: async () => {
      closing.abort();
      await scavenged;
      await content.wipe();
      await pool.close().catch((reason: unknown) => {
        tell(codeOf(reason));
      });
    },
  };
}

/** Reads out of files where they have the bytes, else of the nodes. Never throws, as what it stands before. */
class CachedContent implements ContentStore {
  readonly #crypto: Crypto;
  readonly #content: ContentStore;
  readonly #chunks: string;
  readonly #table: BlockTable;
  readonly #tell: (code: string) => void;
  readonly #tasks = new Set<Promise<void>>();
  #sizeStoring = 0;
  #isClosed = false;

  constructor(
    ports: { readonly crypto: Crypto; readonly content: ContentStore },
    chunks: string,
    table: BlockTable,
    tell: (code: string) => void,
  ) {
    this.#crypto = ports.crypto;
    this.#content = ports.content;
    this.#chunks = chunks;
    this.#table = table;
    this.#tell = tell;
  }

  write(...request: Parameters<ContentStore["write"]>): ReturnType<ContentStore["write"]> {
    return this.#content.write(...request);
  }

  async read(piece: Chunk, start: number, target: Uint8Array): ReturnType<ContentStore["read"]> {
    const from = piece.chunkOffset + start;
    const key = `${toHex(piece.chunkId)}.${from}-${from + target.byteLength}`;
    if (await this.#readHere(key, target)) return { kind: "read" };
    const read = await this.#content.read(piece, start, target);
    if (read.kind === "read") this.#keep(key, target);
    return read;
  }

  async idle(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  async wipe(): Promise<void> {
    this.#isClosed = true;
    const keys = this.#table.wipe();
    const eraseSome = async (): Promise<void> => {
      for (let key = keys.pop(); key !== undefined; key = keys.pop()) await this.#erase(key);
    };
    await Promise.all(Array.from({ length: erasingCountMax }, eraseSome));
    await this.idle();
  }

  #path(key: string): string {
    return join(this.#chunks, key.slice(0, 2), key);
  }

  async #readHere(key: string, target: Uint8Array): Promise<boolean> {
    const ticket = this.#table.read(key);
    if (ticket === undefined) return false;
    let isRight = false;
    try {
      isRight = await readBlockFile(this.#crypto, this.#path(key), key, target);
      if (!isRight) this.#tell("EBADMSG");
    } catch (reason) {
      this.#tell(codeOf(reason));
    }
    const isServed = this.#table.endRead(ticket, isRight);
    if (!isServed) this.#run(this.#erase(key));
    return isServed;
  }

  /** Stores a copy, after the answer. */
  #keep(key: string, plaintext: Uint8Array): void {
    const size = plaintext.byteLength;
    if (this.#isClosed || size === 0 || this.#sizeStoring + size > storingSizeMax) return;
    const ticket = this.#table.admit(key, blockFileSize(size));
    if (ticket === undefined) return;
    if ("kind" in ticket) {
      this.#tell(ticket.kind);
      return;
    }
    this.#sizeStoring += size;
    this.#run(
      this.#store(ticket, blockFileContent(this.#crypto, key, plaintext)).finally(() => {
        this.#sizeStoring -= size;
      }),
    );
  }

  async #store(ticket: Ticket, content: Uint8Array): Promise<void> {
    await Promise.all(ticket.evicted.map((key) => this.#erase(key)));
    if (this.#table.begin(ticket)) {
      let isStored = false;
      try {
        const { blocks, bavail } = await statfs(this.#chunks);
        if (bavail < blocks * (1 - usedShareMax))
          throw Object.assign(new Error(), { code: "ENOSPC" });
        await writeBlockFile(this.#path(ticket.key), content);
        isStored = true;
      } catch (reason) {
        this.#tell(codeOf(reason));
      }
      this.#table.endStore(ticket, isStored);
      await this.#erase(ticket.key);
    }
    content.fill(0);
  }

  /** Erases the file if it is to go and nobody is at it. */
  async #erase(key: string): Promise<void> {
    if (!this.#table.takeErasable(key)) return;
    try {
      await eraseFile(this.#path(key));
      this.#table.erased(key);
    } catch (reason) {
      this.#tell(codeOf(reason));
    }
  }

  #run(task: Promise<void>): void {
    const settled = task.finally(() => this.#tasks.delete(settled));
    this.#tasks.add(settled);
  }
}
