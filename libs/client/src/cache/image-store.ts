import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MiB, newBytes, type Prng, toHex, toUtf8 } from "@kiseki/base";
import {
  type CacheCapacityExceeded,
  encodeManifest,
  type Manifest,
  parseManifest,
  type StagedFile,
  type Ticket,
} from "@kiseki/cache";
import type { Crypto } from "@kiseki/ports";
import { codeOf, eraseFile } from "./block-file.ts";
import { type CacheFiles, imageKey } from "./cache-files.ts";
import { ImageFile, type Mark, verifyImage, writeImage } from "./image-file.ts";

const manifestSuffix = ".manifest";
const manifestSizeMax = 256 * MiB;
const diskBlockSize = 4096;

/** An image that is written now. One of `commit` and `abandon` ends it. */
export interface ImageWriter {
  /** Adds bytes, in order; they are borrowed until it settles. @throws where the disk fails. */
  append(bytes: Uint8Array): Promise<void>;
  /** What a manifest says of it; no manifest that names it, no image. @throws where the disk has not got it all. */
  commit(): Promise<Pick<StagedFile, "image" | "size" | "checksum">>;
  abandon(): Promise<void>;
}

/** Room of the disk that an image takes. */
const imageFileSize = (size: number): number =>
  Math.max(1, Math.ceil(size / diskBlockSize)) * diskBlockSize;

/**
 * Whole files that were staged into a pool, and the manifests that say so. An image is pinned from the moment that its
 * writing begins until its dataset is released; those that no manifest names go when a pool is opened.
 */
export class ImageStore {
  readonly #crypto: Crypto;
  readonly #prng: Prng;
  readonly #files: CacheFiles;
  readonly #images: string;
  readonly #staging: string;
  readonly #manifests = new Map<string, Manifest>();

  private constructor(ports: { readonly crypto: Crypto; readonly prng: Prng }, files: CacheFiles) {
    this.#crypto = ports.crypto;
    this.#prng = ports.prng;
    this.#files = files;
    this.#images = join(files.pool.path, "images");
    this.#staging = join(files.pool.path, "staging");
  }
  /** Reads the manifests; invalid ones and images of none are erased. Nothing is verified yet. */
  static async open(
    ports: { readonly crypto: Crypto; readonly prng: Prng },
    files: CacheFiles,
  ): Promise<ImageStore> {
    const store = new ImageStore(ports, files);
    await mkdir(store.#images, { recursive: true, mode: 0o700 });
    await mkdir(store.#staging, { recursive: true, mode: 0o700 });
    await store.#load();
    return store;
  }

  /** Of each dataset that is staged, whole or in part. */
  get manifests(): readonly Manifest[] {
    return [...this.#manifests.values()];
  }
  get stagedSize(): number {
    let size = 0;
    for (const { files } of this.#manifests.values()) for (const file of files) size += file.size;
    return size;
  }

  /** @throws when the file cannot be made. */
  async begin(size: number): Promise<ImageWriter | CacheCapacityExceeded> {
    const admitted = await this.#admit(size);
    if ("kind" in admitted) return admitted;
    const { image, ticket } = admitted;
    try {
      const file = await ImageFile.create(this.#crypto, this.#files.path(ticket.key));
      return this.#writer(image, ticket, file, size);
    } catch (reason) {
      await this.#files.endStore(ticket, false);
      throw reason;
    }
  }
  /** As `begin`, `append` and `commit`, of an image that is small. @throws where the disk has not got it. */
  async write(
    bytes: Uint8Array,
  ): Promise<Pick<StagedFile, "image" | "size" | "checksum"> | CacheCapacityExceeded> {
    const admitted = await this.#admit(bytes.byteLength);
    if ("kind" in admitted) return admitted;
    const { image, ticket } = admitted;
    let isStored = false;
    try {
      const written = await writeImage(this.#crypto, this.#files.path(ticket.key), bytes);
      isStored = true;
      return { image, ...written };
    } finally {
      await this.#files.endStore(ticket, isStored);
    }
  }
  async #admit(
    size: number,
  ): Promise<{ readonly image: string; readonly ticket: Ticket } | CacheCapacityExceeded> {
    const image = toHex(this.#prng.fill(newBytes(16)));
    const ticket = this.#files.admit(imageKey(image), imageFileSize(size), true);
    if (ticket === undefined) throw new Error("Two images have one name");
    if ("kind" in ticket) return ticket;
    if (!(await this.#files.begin(ticket))) return { kind: "cache_capacity_exceeded" };
    return { image, ticket };
  }
  #writer(image: string, ticket: Ticket, file: ImageFile, size: number): ImageWriter {
    const abandon = async (): Promise<void> => {
      await file.abandon();
      await this.#files.endStore(ticket, false);
    };
    return {
      append: (bytes) => file.append(bytes),
      commit: async () => {
        try {
          const written = await file.end();
          if (written.size !== size)
            throw new Error(`An image of ${size} bytes was written with ${written.size}`);
          await this.#files.endStore(ticket, true);
          return { image, ...written };
        } catch (reason) {
          await this.#files.endStore(ticket, false);
          throw reason;
        }
      },
      abandon,
    };
  }

  /** The mark of a file's image, if that has the bytes that were staged. */
  async verify(file: StagedFile): Promise<Mark | undefined> {
    const key = imageKey(file.image);
    const ticket = this.#files.read(key);
    if (ticket === undefined) return undefined;
    let mark: Mark | undefined;
    try {
      mark = await verifyImage(this.#crypto, this.#files.path(key), file);
      if (mark === undefined) this.#files.tell("EBADMSG");
    } catch (reason) {
      this.#files.tell(codeOf(reason));
    }
    return this.#files.endRead(ticket, mark !== undefined) ? mark : undefined;
  }

  /** Keeps what is staged of a dataset in place of what was; images that it names no more are erased. */
  async saveManifest(manifest: Manifest): Promise<void> {
    const path = this.#manifestPath(manifest.dataset);
    const next = `${path}.new`;
    await writeFile(next, encodeManifest(manifest), { mode: 0o600 });
    await rename(next, path);
    const before = this.#manifests.get(manifest.dataset);
    this.#manifests.set(manifest.dataset, manifest);
    const kept = new Set(manifest.files.map(({ image }) => image));
    await this.#releaseImages((before?.files ?? []).filter(({ image }) => !kept.has(image)));
  }
  /** False: it is not staged. */
  async release(dataset: string): Promise<boolean> {
    const manifest = this.#manifests.get(dataset);
    if (manifest === undefined) return false;
    this.#manifests.delete(dataset);
    await eraseFile(this.#manifestPath(dataset));
    await this.#releaseImages(manifest.files);
    return true;
  }
  /** Forgets everything, after a wipe has taken the images. */
  async forget(): Promise<void> {
    const paths = this.manifests.map(({ dataset }) => this.#manifestPath(dataset));
    this.#manifests.clear();
    await Promise.all(paths.map((path) => eraseFile(path)));
  }
  async #releaseImages(files: readonly StagedFile[]): Promise<void> {
    const left = [...files];
    const releaseSome = async (): Promise<void> => {
      for (let file = left.pop(); file !== undefined; file = left.pop())
        await this.#files.release(imageKey(file.image));
    };
    await Promise.all(Array.from({ length: 16 }, releaseSome));
  }

  #manifestPath(dataset: string): string {
    const name = toHex(this.#crypto.sha256(toUtf8(dataset)).subarray(0, 16));
    return join(this.#staging, name + manifestSuffix);
  }
  async #load(): Promise<void> {
    const known = new Set<string>();
    for (const manifest of await readManifests(this.#files.pool.path)) {
      const files = await this.#adopt(manifest);
      for (const { image } of files) known.add(image);
      this.#manifests.set(manifest.dataset, {
        ...manifest,
        files,
        isComplete: manifest.isComplete && files.length === manifest.files.length,
      });
    }
    const paths = new Set(this.manifests.map(({ dataset }) => this.#manifestPath(dataset)));
    const left = [
      ...(await readdir(this.#images))
        .filter((name) => !known.has(name))
        .map((name) => join(this.#images, name)),
      ...(await readdir(this.#staging))
        .map((name) => join(this.#staging, name))
        .filter((path) => !paths.has(path)),
    ];
    for (const path of left)
      await eraseFile(path).catch((reason: unknown) => this.#files.tell(codeOf(reason)));
  }
  /** The files whose images are there and have room. */
  async #adopt(manifest: Manifest): Promise<StagedFile[]> {
    const found: StagedFile[] = [];
    for (const file of manifest.files) {
      const path = this.#files.path(imageKey(file.image));
      const status = await stat(path).catch(() => undefined);
      if (status === undefined) continue;
      if (this.#files.adopt(imageKey(file.image), imageFileSize(file.size))) found.push(file);
      else this.#files.tell("cache_capacity_exceeded");
    }
    return found;
  }
}

/** Manifests of a pool, whoever has it; what is no manifest is skipped (spec §7.7). */
export async function readManifests(poolPath: string): Promise<Manifest[]> {
  const folder = join(poolPath, "staging");
  const names = (await readdir(folder).catch(() => [])).filter((name) =>
    name.endsWith(manifestSuffix),
  );
  const found: Manifest[] = [];
  for (const name of names) {
    const path = join(folder, name);
    const status = await stat(path).catch(() => undefined);
    if (status === undefined || status.size > manifestSizeMax) continue;
    const text = await readFile(path, "utf8").catch(() => "");
    const manifest = parseManifest(text);
    if (manifest !== undefined) found.push(manifest);
  }
  return found;
}
