import type { Prng } from "@kiseki/base";
import { prngFromSeed, sameBytes, toUtf8 } from "@kiseki/base";
import type { Content, ObjectAttributes } from "@kiseki/format";
import { expect } from "bun:test";
import type { Bed } from "../bed.test-helper.ts";
import { namespaceA, testAddress, testDirKeys, testSeal } from "../bed.test-helper.ts";
import type { Answer, RefusalCode } from "../operation.ts";
import { readContent } from "../read-content.ts";
import { Tree } from "./bed.test-helper.ts";
import type { ContentOperation, WritePiece } from "./content-operation.ts";
import { readFileContent } from "./content-read.ts";
import type { FileRef, PosixAnswer } from "./operation.ts";

type Given<O> = O extends ContentOperation ? Omit<O, "namespace" | "file"> : never;

/** Never 0, so that a hole is told from a chunk. */
const patternAt = (chunk: number, offset: number): number => 1 + ((chunk * 89 + offset * 7) % 255);

/** Files of a tree whose chunks hold a pattern each. */
export class ContentBed {
  readonly prng: Prng;
  readonly tree: Tree;
  readonly bed: Bed;
  next = 1;

  constructor(seed: number, tree = new Tree()) {
    this.prng = prngFromSeed(seed);
    this.tree = tree;
    this.bed = tree.bed;
  }
  /** New pieces side by side in `[offset, offset + size)`, and the bytes there. `isSmall`: one piece, in a small chunk. */
  pieces(offset: number, size: number, isSmall = false) {
    const pieces: WritePiece[] = [];
    const plain = new Uint8Array(size);
    let at = 0;
    while (at < size) {
      const length = isSmall ? size : Math.min(size - at, 1 + this.prng.below(90));
      const n = this.next++;
      const chunkOffset = isSmall ? 0 : this.prng.below(100 - length + 1);
      for (let i = 0; i < length; i++) plain[at + i] = patternAt(n, chunkOffset + i);
      const range = { offset: offset + at, length, chunkOffset };
      const address = testAddress(n);
      pieces.push(
        isSmall
          ? { kind: "small", ...range, ref: { ...address, ...testSeal(n, size) } }
          : { kind: "chunk", ...range, ...address, seal: testSeal(n) },
      );
      at += length;
    }
    return { pieces, plain };
  }
  act(file: FileRef, operation: Given<ContentOperation>): PosixAnswer | RefusalCode {
    const answer = this.bed.decide({ namespace: namespaceA, file, ...operation });
    if (typeof answer !== "string" && answer.kind !== "file") throw new Error(answer.kind);
    return answer;
  }
  /** Puts an object as S3 does, with a checksum. */
  putObject(
    key: string,
    size: number,
    extras: Pick<ObjectAttributes, "encryption" | "storageClass"> = {},
  ): Uint8Array {
    const { pieces, plain } = this.pieces(0, size);
    const extents = pieces.flatMap((piece) => (piece.kind === "chunk" ? [piece] : []));
    const answer: Answer | RefusalCode = this.bed.decide({
      kind: "put_object",
      namespace: namespaceA,
      key: toUtf8(key),
      content: extents.length === 0 ? { kind: "empty" } : { kind: "extents", extents },
      size,
      etag: { md5: this.prng.fill(new Uint8Array(16)), parts: 0 },
      attributes: {
        headers: [],
        userMetadata: [["a", "b"]],
        ...extras,
        checksums: [{ algorithm: "crc32c", value: new Uint8Array(4), isComposite: false }],
      },
    });
    expect(answer).toMatchObject({ kind: "object" });
    return plain;
  }
  /** The bytes that a file holds, over pages of a few pieces. */
  read(file: FileRef, start: number, end: number): Uint8Array {
    const read = new Uint8Array(end - start);
    let position: number | undefined = start;
    while (position !== undefined) {
      const query = { file, start: position, end, countMax: 1 + this.prng.below(40) };
      const found = readFileContent(this.bed.map, testDirKeys, query);
      if (found.kind === "refused") throw new Error(found.code);
      fill(read, start, found.page.pieces);
      position = found.page.next;
    }
    return read;
  }
  /** The bytes of content as S3 finds it. */
  readObject(content: Content, size: number): Uint8Array {
    const read = new Uint8Array(size);
    fill(read, 0, readContent(this.bed.map, content, { start: 0, end: size }, 1e6).pieces);
    return read;
  }
}

function fill(
  target: Uint8Array,
  start: number,
  pieces: ReturnType<typeof readContent>["pieces"],
): void {
  for (const piece of pieces) {
    if (piece.kind === "hole") continue;
    const { chunkId } = piece.address;
    const n = new DataView(chunkId.buffer, chunkId.byteOffset).getUint32(28);
    if (!sameBytes(piece.seal.sealId, testSeal(n).sealId))
      throw new Error(`chunk ${n} has its seal`);
    for (let i = 0; i < piece.length; i++) {
      target[piece.offset - start + i] = patternAt(n, piece.chunkOffset + i);
    }
  }
}
