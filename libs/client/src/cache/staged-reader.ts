import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { StagedFile, Ticket } from "@kiseki/cache";
import type { StagedFiles, StagedImage, StagedView } from "@kiseki/vfs";
import { codeOf } from "./block-file.ts";
import { type CacheFiles, imageKey } from "./cache-files.ts";
import type { Mark } from "./image-file.ts";
import type { ImageStore } from "./image-store.ts";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const verifyingCountMax = 4;

const isSame = (a: Mark, b: Mark): boolean =>
  a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.ctimeMs === b.ctimeMs;

interface Right {
  readonly file: StagedFile;
  /** Of its manifest. */
  readonly dataset: string;
  readonly mark: Mark;
}

/** Images of one namespace that were verified by this process; one that changes afterwards is not read any more. */
export class StagedReader implements StagedFiles {
  readonly #files: CacheFiles;
  readonly #images: ImageStore;
  readonly #namespace: string;
  readonly #right = new Map<bigint, Right>();
  #generation: number;

  private constructor(files: CacheFiles, images: ImageStore, namespace: string) {
    this.#files = files;
    this.#images = images;
    this.#namespace = namespace;
    this.#generation = files.generation;
  }
  /** Reads every image once. */
  static async open(
    files: CacheFiles,
    images: ImageStore,
    namespace: string,
  ): Promise<StagedReader> {
    const reader = new StagedReader(files, images, namespace);
    await reader.update();
    return reader;
  }

  /** Reads images once that it has not seen, and forgets those that no manifest names any more. */
  async update(): Promise<void> {
    const { generation } = this.#files;
    const staged = this.#images.manifests
      .filter((manifest) => manifest.namespace === this.#namespace)
      .flatMap(({ dataset, files }) => files.map((file) => ({ dataset, file })));
    const named = new Set(staged.map(({ file }) => file.image));
    for (const [inode, { file }] of this.#right)
      if (!named.has(file.image)) this.#right.delete(inode);
    const left = staged.filter(({ file }) => this.#rightOf(file.inode)?.file.image !== file.image);
    const verifySome = async (): Promise<void> => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const mark = await this.#images.verify(next.file);
        if (mark !== undefined && generation === this.#files.generation)
          this.#right.set(next.file.inode, { ...next, mark });
      }
    };
    await Promise.all(Array.from({ length: verifyingCountMax }, verifySome));
  }

  view(inode: bigint): StagedView | undefined {
    return this.#rightOf(inode)?.file;
  }
  #rightOf(inode: bigint): Right | undefined {
    if (this.#generation === this.#files.generation) return this.#right.get(inode);
    this.#generation = this.#files.generation;
    this.#right.clear();
    return undefined;
  }

  open(inode: bigint): StagedImage | undefined {
    const right = this.#rightOf(inode);
    if (right === undefined) return undefined;
    const { file, mark } = right;
    const key = imageKey(file.image);
    const ticket = this.#files.read(key);
    if (ticket === undefined) return this.#lose(inode);
    let descriptor: number | undefined;
    try {
      descriptor = openSync(this.#files.path(key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      if (isSame(fstatSync(descriptor), mark)) return this.#image(right, ticket, descriptor);
      this.#files.tell("EBADMSG");
    } catch (reason) {
      this.#files.tell(codeOf(reason));
    }
    if (descriptor !== undefined) closeSync(descriptor);
    this.#files.endRead(ticket, false);
    return this.#lose(inode);
  }
  #lose(inode: bigint): undefined {
    this.#right.delete(inode);
  }

  #image({ file, dataset, mark }: Right, ticket: Ticket, descriptor: number): StagedImage {
    const files = this.#files;
    const { generation } = files;
    let isRight = true;
    const fill = (offset: number, target: Uint8Array): boolean => {
      for (let at = 0; at < target.byteLength;) {
        const size = readSync(descriptor, target, at, target.byteLength - at, offset + at);
        if (size === 0) return false;
        at += size;
      }
      return isSame(fstatSync(descriptor), mark);
    };
    return {
      size: file.size,
      modified: file.modified,
      // A dataset may be one file.
      paths: [`${dataset}/${file.path}`, dataset],
      descriptor,
      read: (offset, target) => {
        if (!isRight || generation !== files.generation) return false;
        try {
          isRight = fill(offset, target);
          if (!isRight) files.tell("EBADMSG");
        } catch (reason) {
          isRight = false;
          files.tell(codeOf(reason));
        }
        if (!isRight) this.#lose(file.inode);
        return isRight;
      },
      close: () => {
        closeSync(descriptor);
        files.endRead(ticket, isRight);
      },
    };
  }
}
