import {
  type AllocatedRange,
  type CopyRange,
  fail,
  type Failure,
  failureOf,
  type FileRefusalCode,
  isFailure,
  pieceSizeMax,
} from "@kiseki/vfs";
import { isRefused, type Mount } from "./mount.ts";
import type { FileHandle, OpenFile } from "./open-file.ts";
import type { Reader } from "./reading.ts";
import type { Writer } from "./writing.ts";

/** What copy_file_range(2) moves as bytes at once, where it cannot be done by reference. */
const copiedSizeMax = pieceSizeMax;

/** Refusals of a copy by reference that say nothing against one by bytes. */
const isForBytes: ReadonlySet<FileRefusalCode> = new Set([
  "source_is_small",
  "too_many_extents",
  "unsupported",
]);

/** Changes of content that the node makes: each sees everything that was written before. */
export class Content {
  readonly #mount: Mount;
  readonly #writer: Writer;
  readonly #reader: Reader;

  constructor(mount: Mount, writer: Writer, reader: Reader) {
    this.#mount = mount;
    this.#writer = writer;
    this.#reader = reader;
  }

  allocate(handle: FileHandle, range: AllocatedRange): Promise<undefined | Failure> {
    const { file } = handle;
    return file.exclusively(async () => {
      const failure = await this.#ready(handle);
      if (failure !== undefined) return failure;
      const applied = await this.#mount.apply({ kind: "allocate", file: file.ref, ...range });
      if (isFailure(applied)) return applied;
      this.#mount.settle(file.node, applied.attributes, true);
      file.forgetPlan();
      return undefined;
    });
  }

  async seek(handle: FileHandle, offset: number, what: "data" | "hole"): Promise<number | Failure> {
    const { image } = handle.file;
    // All of an image is data.
    if (image !== undefined && offset >= image.size) return fail("ENXIO");
    if (image !== undefined) return what === "data" ? offset : image.size;
    const failure = await handle.file.exclusively(() => this.#ready(handle));
    if (failure !== undefined) return failure;
    const answer = await this.#mount.service.seek(handle.file.ref, offset, what);
    return isRefused(answer) ? failureOf(answer.code) : answer.offset;
  }

  /** Stores what is in memory, by who has the file exclusively. */
  async #ready(handle: FileHandle): Promise<Failure | undefined> {
    if (handle.isLost) return fail("EIO");
    await this.#writer.flushNow(handle.file);
    return handle.takeError();
  }

  copy(source: FileHandle, target: FileHandle, range: CopyRange): Promise<number | Failure> {
    if (source.file === target.file)
      return source.file.exclusively(() => this.#copy(source, target, range));
    // Always in one order, or two copies could wait for each other.
    const [first, second] = [source.file, target.file].sort(byNumber) as [OpenFile, OpenFile];
    return first.exclusively(() => second.exclusively(() => this.#copy(source, target, range)));
  }

  async #copy(source: FileHandle, target: FileHandle, range: CopyRange): Promise<number | Failure> {
    const failure = (await this.#ready(source)) ?? (await this.#ready(target));
    if (failure !== undefined) return failure;
    const { sourceOffset, targetOffset, length } = range;
    const answer = await this.#mount.service.apply({
      kind: "copy_range",
      source: source.file.ref,
      sourceOffset,
      target: target.file.ref,
      targetOffset,
      length,
    });
    if (isRefused(answer)) {
      return isForBytes.has(answer.code)
        ? this.#copyBytes(source, target, range)
        : failureOf(answer.code);
    }
    this.#mount.settle(target.file.node, answer.attributes, true);
    target.file.forgetPlan();
    return answer.length ?? 0;
  }

  async #copyBytes(
    source: FileHandle,
    target: FileHandle,
    { sourceOffset, targetOffset, length }: CopyRange,
  ): Promise<number | Failure> {
    const bytes = new Uint8Array(Math.min(length, copiedSizeMax));
    const count = await this.#reader.read(source, sourceOffset, bytes);
    if (isFailure(count) || count === 0) return count;
    target.file.write(targetOffset, bytes.subarray(0, count));
    const failure = await this.#writer.flushNow(target.file);
    return failure ?? count;
  }
}

const byNumber = (a: OpenFile, b: OpenFile): number => a.node.number - b.node.number;
