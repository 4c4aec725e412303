import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Prng, toHex } from "@kiseki/base";
import type { CacheMode, Ticket } from "@kiseki/cache";
import type { Crypto } from "@kiseki/ports";
import type { ContentStore } from "@kiseki/vfs";
import {
  blockFileContent,
  blockFileSize,
  codeOf,
  readBlockFile,
  writeBlockFile,
} from "./block-file.ts";
import { CacheFiles } from "./cache-files.ts";
import { openPool, type Pool, scavenge } from "./pool.ts";
import { Room } from "./room.ts";

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
    pool = await openPool(options, ports.prng);
    await mkdir(join(pool.path, "chunks"), { mode: 0o700 });
  } catch (reason) {
    tell(codeOf(reason));
    const nothing = async (): Promise<void> => {};
    return { content: ports.content, scavenged: nothing(), idle: nothing, close: nothing };
  }
  const scavenged = scavenge(options.directory, closing.signal, tell);
  const { mode, sizeMax } = options;
  const files = new CacheFiles(pool, { mode, sizeMax, room: new Room(pool.path), tell });
  const content = new CachedContent(ports, files);
  return {
    content,
    scavenged: scavenged.then(() => undefined),
    idle: () => files.idle(),
    close: async () => {
      closing.abort();
      await scavenged;
      content.end();
      await files.wipe();
      await files.idle();
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
  readonly #files: CacheFiles;
  #sizeStoring = 0;
  #isClosed = false;

  constructor(
    ports: { readonly crypto: Crypto; readonly content: ContentStore },
    files: CacheFiles,
  ) {
    this.#crypto = ports.crypto;
    this.#content = ports.content;
    this.#files = files;
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

  /** Keeps nothing from now on. */
  end(): void {
    this.#isClosed = true;
  }

  async #readHere(key: string, target: Uint8Array): Promise<boolean> {
    const ticket = this.#files.read(key);
    if (ticket === undefined) return false;
    let isRight = false;
    try {
      isRight = await readBlockFile(this.#crypto, this.#files.path(key), key, target);
      if (!isRight) this.#files.tell("EBADMSG");
    } catch (reason) {
      this.#files.tell(codeOf(reason));
    }
    return this.#files.endRead(ticket, isRight);
  }

  /** Stores a copy, after the answer. */
  #keep(key: string, plaintext: Uint8Array): void {
    const size = plaintext.byteLength;
    if (this.#isClosed || size === 0 || this.#sizeStoring + size > storingSizeMax) return;
    const ticket = this.#files.admit(key, blockFileSize(size));
    if (ticket === undefined) return;
    if ("kind" in ticket) {
      this.#files.tell(ticket.kind);
      return;
    }
    this.#sizeStoring += size;
    this.#files.run(
      this.#store(ticket, blockFileContent(this.#crypto, key, plaintext)).finally(() => {
        this.#sizeStoring -= size;
      }),
    );
  }

  async #store(ticket: Ticket, content: Uint8Array): Promise<void> {
    if (await this.#files.begin(ticket)) {
      let isStored = false;
      try {
        await writeBlockFile(this.#files.path(ticket.key), content);
        isStored = true;
      } catch (reason) {
        this.#files.tell(codeOf(reason));
      }
      await this.#files.endStore(ticket, isStored);
    }
    content.fill(0);
  }
}
