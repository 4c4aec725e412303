/** Lower-case hex. */
export const toHex = (source: Uint8Array): string => source.toHex();

/** @throws {RangeError} when `text` is not an even number of hex digits. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || /[^0-9a-fA-F]/.test(text)) {
    throw new RangeError("Cannot read hex: odd length or a foreign digit");
  }
  return Uint8Array.fromHex(text);
}

/**
 * Zeroed bytes over a buffer of their own, so that their address never moves (`docs/decisions/`). Small bytes that stay in
 * JavaScript, or go to native calls that keep nothing, are `new Uint8Array(size)`: a tenth of the price.
 */
export function newBytes(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(size));
}

/** The parts one after another, copied. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const part of parts) size += part.byteLength;
  const target = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    target.set(part, offset);
    offset += part.byteLength;
  }
  return target;
}

/** Order of unsigned bytes, a prefix first: negative, zero or positive. Not constant-time. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const size = Math.min(a.byteLength, b.byteLength);
  for (let i = 0; i < size; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.byteLength - b.byteLength;
}

/** Not constant-time: for ids, never for secrets or tags. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && compareBytes(a, b) === 0;
}

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const toUtf8 = (text: string): Uint8Array => encoder.encode(text);
/** The text, or `undefined` when `source` is not well-formed UTF-8. Keeps a byte order mark. */
export function fromUtf8(source: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(source);
  } catch (reason) {
    if (reason instanceof TypeError) return undefined; // the decoder's word for malformed input
    throw reason;
  }
}
