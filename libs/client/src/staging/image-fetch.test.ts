import { expect, test } from "bun:test";
import { chunkId, inodeId, newBytes } from "@kiseki/base";
import type { FileRef, ReadPlan } from "@kiseki/vfs";
import { ImageFetch } from "./image-fetch.ts";

const pieceSize = 70_000;
const piecesCount = 6;
const file: FileRef = { home: 1n, inode: inodeId(2n) };

function planOf(number: number): ReadPlan & { readonly kind: "plan" } {
  const pieces = Array.from({ length: piecesCount }, (_, i) => ({
    ...({ kind: "chunk", length: pieceSize, chunkOffset: 0, access: {} } as const),
    offset: i * pieceSize,
    chunkId: chunkId(newBytes(32).fill(number * piecesCount + i)),
  }));
  return { kind: "plan", size: piecesCount * pieceSize, contentVersion: 1n, pieces, leaseMs: 1000 };
}

test("ImageFetch: files that all want more memory than there is go on with what they have", async () => {
  const written: number[][] = [];
  let lent = 0;
  let lentMost = 0;
  const fetch = new ImageFetch(
    {
      service: { plan: () => Promise.reject(new Error("the plan is whole")) },
      content: {
        read: async (piece, _start, target) => {
          lentMost = Math.max(lentMost, (lent += target.byteLength));
          await Bun.sleep(0);
          target.fill(piece.chunkId[0]!);
          return { kind: "read" };
        },
      },
      images: {
        begin: async (size) => {
          const first: number[] = [];
          return {
            append: async (bytes) => {
              first.push(bytes[0]!);
              await Bun.sleep(0);
              lent -= bytes.byteLength;
            },
            commit: async () => {
              written.push(first);
              return { image: "image", size, checksum: 0 };
            },
            abandon: async () => {},
          };
        },
        write: () => Promise.reject(new Error("no file is small")),
      },
      onWritten: () => {},
    },
    4 * pieceSize,
  );
  const all = await Promise.all([0, 1, 2, 3, 4].map((n) => fetch.fetch(file, planOf(n))));
  expect(all.map(({ kind }) => kind)).toEqual(Array(5).fill("fetched"));
  const expected = [0, 1, 2, 3, 4].map((n) => [0, 1, 2, 3, 4, 5].map((i) => n * piecesCount + i));
  expect(written.toSorted((a, b) => a[0]! - b[0]!)).toEqual(expected);
  expect(lentMost).toBeLessThanOrEqual(4 * pieceSize);
});
