import { newBytes } from "@kiseki/base";

const hexDigits = new Uint8Array(512);
for (let byte = 0; byte < 256; byte++) {
  const text = byte.toString(16).padStart(2, "0");
  hexDigits[2 * byte] = text.charCodeAt(0);
  hexDigits[2 * byte + 1] = text.charCodeAt(1);
}

/**
 * Where what is signed is put together, one byte a character. The same memory each time: to join texts and to encode
 * them costs a request several times as much.
 */
export class ByteRoom {
  readonly #bytes: Uint8Array;
  #size = 0;
  #isOver = false;

  constructor(sizeMax: number) {
    this.#bytes = newBytes(sizeMax);
  }
  /** What was put so far, good until the next `clear`; `undefined` when it did not fit. */
  get taken(): Uint8Array | undefined {
    return this.#isOver ? undefined : this.#bytes.subarray(0, this.#size);
  }
  put(text: string): void {
    const bytes = this.#bytes;
    const at = this.#size;
    if (text.length > bytes.byteLength - at) this.#isOver = true;
    if (this.#isOver) return;
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
    this.#size = at + text.length;
  }
  /** In lower case. */
  putHex(source: Uint8Array): void {
    const bytes = this.#bytes;
    if (2 * source.byteLength > bytes.byteLength - this.#size) this.#isOver = true;
    if (this.#isOver) return;
    for (let i = 0; i < source.byteLength; i++) {
      bytes[this.#size++] = hexDigits[2 * source[i]!]!;
      bytes[this.#size++] = hexDigits[2 * source[i]! + 1]!;
    }
  }
  /** A customer's key may have been part of it. */
  clear(): void {
    this.#bytes.fill(0, 0, this.#size);
    this.#size = 0;
    this.#isOver = false;
  }
}
