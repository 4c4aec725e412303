import { newBytes, toHex } from "@kiseki/base";
import type { CacheCapacityExceeded, StagedFile } from "@kiseki/cache";
import {
  type ContentStore,
  type FileRef,
  type FileRefusal,
  type FileService,
  pieceSizeMax,
  type PlanPiece,
  type ReadPlan,
} from "@kiseki/vfs";
import type { ImageStore, ImageWriter } from "../cache/image-store.ts";
import { ByteGate } from "../content/byte-gate.ts";

/** Plaintext on its way from nodes to images. */
const sizeUnderWayMax = 64 * 1024 * 1024;
/** Pieces of one file that are fetched at once. */
const piecesAheadMax = 4;
/** Where memory is short for so long something is broken. */
const roomWaitMs = 600_000;
/** Written at once, out of memory of its own. */
const smallSizeMax = 64 * 1024;
const zeros = newBytes(1024 * 1024);

export type Chunk = PlanPiece & { readonly kind: "chunk" };
type Image = Pick<StagedFile, "image" | "size" | "checksum" | "chunks">;
/** `changed`: somebody wrote the file meanwhile, so its pieces are not of one moment. */
export type Fetched =
  | { readonly kind: "fetched"; readonly image: Image }
  | { readonly kind: "changed" }
  | CacheCapacityExceeded
  | FileRefusal;

interface Ports {
  readonly service: Pick<FileService, "plan">;
  readonly content: Pick<ContentStore, "read">;
  readonly images: Pick<ImageStore, "begin" | "write">;
  /** Bytes of an image that were written. */
  readonly onWritten: (size: number) => void;
}
const isWhole = ({ size, pieces }: ReadPlan): boolean =>
  pieces.reduce((sum, { length }) => sum + length, 0) === size;

interface Ahead {
  readonly piece: Chunk;
  readonly bytes: Uint8Array;
  readonly share: Disposable;
  readonly read: ReturnType<ContentStore["read"]>;
}

/** Makes images of files: pieces are fetched side by side and written in order. */
export class ImageFetch implements Disposable {
  readonly #ports: Ports;
  readonly #gate: ByteGate;
  readonly #slabs: Uint8Array[] = [];

  constructor(ports: Ports, sizeMax = sizeUnderWayMax) {
    this.#ports = ports;
    this.#gate = new ByteGate(sizeMax);
  }

  /** All bytes of the file that `plan` begins to tell. @throws where the disk fails. */
  async fetch(file: FileRef, plan: ReadPlan): Promise<Fetched> {
    if (plan.size <= smallSizeMax && isWhole(plan)) return this.#fetchSmall(plan);
    const writer = await this.#ports.images.begin(plan.size);
    if ("kind" in writer) return writer;
    let isWritten = false;
    try {
      const chunks = new Set<string>();
      const fault = await this.#copy(file, plan, writer, chunks);
      if (fault !== undefined) return fault;
      isWritten = true;
      const written = await writer.commit();
      return { kind: "fetched", image: { ...written, chunks: [...chunks] } };
    } finally {
      if (!isWritten) await writer.abandon();
    }
  }

  async #fetchSmall({ size, pieces }: ReadPlan): Promise<Fetched> {
    const bytes = newBytes(size);
    const chunks = pieces.filter((piece) => piece.kind === "chunk");
    const reads = chunks.map((piece) => {
      const into = bytes.subarray(piece.offset, piece.offset + piece.length);
      return this.#ports.content.read(piece, 0, into);
    });
    const ended = await Promise.all(reads);
    const refusal = ended.find((read) => read.kind === "refused");
    if (refusal !== undefined) return refusal;
    const fetched = await this.write(bytes, chunks);
    bytes.fill(0);
    return fetched;
  }
  /** The image of a small file, all of whose bytes are here. @throws where the disk fails. */
  async write(
    bytes: Uint8Array,
    chunks: readonly Chunk[],
  ): Promise<Exclude<Fetched, { kind: "changed" } | FileRefusal>> {
    const written = await this.#ports.images.write(bytes);
    if ("kind" in written) return written;
    this.#ports.onWritten(bytes.byteLength);
    const ids = new Set(chunks.map(({ chunkId }) => toHex(chunkId)));
    return { kind: "fetched", image: { ...written, chunks: [...ids] } };
  }

  async #copy(
    file: FileRef,
    first: ReadPlan,
    writer: ImageWriter,
    chunks: Set<string>,
  ): Promise<FileRefusal | { readonly kind: "changed" } | undefined> {
    for (let plan = first; ;) {
      const fault = await this.#copyPieces(plan.pieces, writer, chunks);
      if (fault !== undefined) return fault;
      const last = plan.pieces.at(-1);
      const end = last === undefined ? 0 : last.offset + last.length;
      if (end >= first.size) return undefined;
      const next = await this.#ports.service.plan(file, end, first.size);
      if (next.kind === "refused") return next;
      if (next.contentVersion !== first.contentVersion || next.pieces.length === 0)
        return { kind: "changed" };
      plan = next;
    }
  }

  async #copyPieces(
    pieces: readonly PlanPiece[],
    writer: ImageWriter,
    chunks: Set<string>,
  ): Promise<FileRefusal | undefined> {
    const ahead: Ahead[] = [];
    let next = 0;
    try {
      for (const piece of pieces) {
        if (piece.kind === "hole") {
          next = Math.max(next, pieces.indexOf(piece) + 1);
          await this.#copyHole(piece.length, writer);
          continue;
        }
        for (; next < pieces.length && ahead.length < piecesAheadMax; next += 1) {
          const wanted = pieces[next]!;
          if (wanted.kind === "hole") continue;
          const share = this.#gate.takeNow(wanted.length);
          // Who holds memory does not wait for more: all files together could do so for ever.
          if (share === undefined && ahead.length > 0) break;
          ahead.push(this.#start(wanted, share ?? (await this.#room(wanted.length))));
        }
        const fault = await this.#finish(ahead.shift()!, writer);
        if (fault !== undefined) return fault;
        chunks.add(toHex(piece.chunkId));
      }
      return undefined;
    } finally {
      // Their memory is borrowed until they have ended.
      for (const left of ahead) {
        await left.read;
        this.#giveBack(left);
      }
    }
  }
  async #copyHole(length: number, writer: ImageWriter): Promise<void> {
    for (let left = length; left > 0; left -= zeros.byteLength) {
      const size = Math.min(left, zeros.byteLength);
      await writer.append(zeros.subarray(0, size));
      this.#ports.onWritten(size);
    }
  }

  async #room(size: number): Promise<Disposable> {
    const share = await this.#gate.take(size, roomWaitMs);
    if (share === undefined) throw new Error("No memory has come free to stage with");
    return share;
  }
  #start(piece: Chunk, share: Disposable): Ahead {
    const bytes = this.#borrow(piece.length);
    return { piece, bytes, share, read: this.#ports.content.read(piece, 0, bytes) };
  }
  async #finish(ahead: Ahead, writer: ImageWriter): Promise<FileRefusal | undefined> {
    try {
      const read = await ahead.read;
      if (read.kind === "refused") return read;
      await writer.append(ahead.bytes);
      this.#ports.onWritten(ahead.bytes.byteLength);
      return undefined;
    } finally {
      this.#giveBack(ahead);
    }
  }

  /** Large pieces share memory: what is new costs page faults. */
  #borrow(size: number): Uint8Array {
    if (size <= pieceSizeMax / 16) return newBytes(size);
    return (this.#slabs.pop() ?? newBytes(pieceSizeMax)).subarray(0, size);
  }
  #giveBack({ bytes, share }: Ahead): void {
    if (bytes.buffer.byteLength === pieceSizeMax) this.#slabs.push(new Uint8Array(bytes.buffer));
    else bytes.fill(0);
    share[Symbol.dispose]();
  }
  /** When all is fetched: nothing of it stays in memory. */
  [Symbol.dispose](): void {
    for (const slab of this.#slabs.splice(0)) slab.fill(0);
  }
}
