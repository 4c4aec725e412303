import type { NodeNumber } from "./file-system.ts";
import type { FileRef, FileRefusal, PlanPiece, StoredContent } from "./file-service.ts";

/** The file that a piece is of. */
export interface LendingFile {
  readonly node: NodeNumber;
  /** Of its content. */
  readonly version: bigint;
  readonly size: number;
}

/** Bytes of one namespace: sealed and opened by the client, kept by the nodes. Never throws and never rejects. */
export interface ContentStore {
  /**
   * Stores content for a file. It is synced on its devices when this is answered, and lost unless an operation names
   * it; `receipt_stale` of that operation says that it must be stored anew. `source`: 1 byte to `pieceSizeMax`,
   * borrowed until the answer.
   */
  write(file: FileRef, source: Uint8Array): Promise<StoredContent | FileRefusal>;
  /** Fills `target` with the piece's bytes from `start` (in the piece) on. `target` is borrowed until the answer. */
  read(
    piece: PlanPiece & { readonly kind: "chunk" },
    start: number,
    target: Uint8Array,
  ): Promise<{ readonly kind: "read" } | FileRefusal>;
  /** As `read`, if the bytes are on this machine and nothing has to be waited for. False: `target` may have been written to. */
  readNow?(
    piece: PlanPiece & { readonly kind: "chunk" },
    start: number,
    target: Uint8Array,
  ): boolean;
  /** Whether the block of `size` bytes from `start` (in the piece) on is kept on this machine, or the stream's block around it. */
  isNear?(piece: PlanPiece & { readonly kind: "chunk" }, start: number, size: number): boolean;
  /** Lends the kernel what this machine keeps of the piece around `start` (in the piece), and near it. */
  lend?(piece: PlanPiece & { readonly kind: "chunk" }, start: number, file: LendingFile): void;
}

/** No piece of content crosses a multiple of this: where chunks are cut (DESIGN §3). */
export const pieceSizeMax = 4 * 1024 * 1024;
