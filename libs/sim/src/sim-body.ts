import { newBytes, toHex } from "@kiseki/base";
import { createHash } from "node:crypto";

/** `[start, end)` of a made-up body; the same seed and size are always the same bytes. */
export interface BodyPiece {
  readonly seed: number;
  readonly size: number;
  readonly start: number;
  readonly end: number;
  /** Stored as small content or under a customer's key: it has one owner. */
  readonly isSmall: boolean;
}
/** What an object is made of, piece after piece. */
export type Body = readonly BodyPiece[];

const kept = new Map<string, { readonly bytes: Uint8Array; readonly md5: Uint8Array }>();
const keptMax = 256;

function made(
  seed: number,
  size: number,
): { readonly bytes: Uint8Array; readonly md5: Uint8Array } {
  const name = `${seed}:${size}`;
  const known = kept.get(name);
  if (known !== undefined) return known;
  if (kept.size >= keptMax) kept.clear();
  const words = new Uint32Array(Math.ceil(size / 4));
  let x = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  const bytes = new Uint8Array(words.buffer, 0, size);
  const md5 = new Uint8Array(createHash("md5").update(bytes).digest());
  const entry = { bytes, md5 };
  kept.set(name, entry);
  return entry;
}

/** The whole body of `seed`; borrowed, never written. */
export const bodyBytes = (seed: number, size: number): Uint8Array => made(seed, size).bytes;
export const bodyMd5 = (seed: number, size: number): Uint8Array => made(seed, size).md5;
export const sizeOf = (body: Body): number =>
  body.reduce((sum, piece) => sum + piece.end - piece.start, 0);

/** Bytes `[start, end)` of a body, copied. */
export function sliceBody(body: Body, start: number, end: number): Uint8Array {
  const target = newBytes(end - start);
  let at = 0;
  for (const piece of body) {
    const length = piece.end - piece.start;
    const from = Math.max(start, at);
    const to = Math.min(end, at + length);
    if (from < to) {
      const source = bodyBytes(piece.seed, piece.size);
      const shift = piece.start - at;
      target.set(source.subarray(from + shift, to + shift), from - start);
    }
    at += length;
  }
  return target;
}
/** The pieces of `[start, end)`. */
export function cutBody(body: Body, start: number, end: number): Body {
  const pieces: BodyPiece[] = [];
  let at = 0;
  for (const piece of body) {
    const length = piece.end - piece.start;
    const from = Math.max(start, at);
    const to = Math.min(end, at + length);
    const shift = piece.start - at;
    if (from < to) pieces.push({ ...piece, start: from + shift, end: to + shift });
    at += length;
  }
  return pieces;
}
export const md5Of = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash("md5");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};
/** As S3 shows it, without quotes. */
export const etagOf = (md5: Uint8Array, parts: number): string =>
  parts === 0 ? toHex(md5) : `${toHex(md5)}-${parts}`;
