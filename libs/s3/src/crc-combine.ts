/**
 * CRCs of two byte strings put together without the bytes. All three are reflected, start at all
 * ones and end inverted (CRC-32: ISO 3309; CRC-32C: RFC 3720; CRC-64/NVME: NVM Express base spec).
 * A CRC is a polynomial over GF(2); in reflected form its top bit is x⁰. Kept as two 32-bit halves,
 * the high one 0 for the short CRCs, since a complete may ask for 10,000 products at once.
 */
export type CrcAlgorithm = "crc32" | "crc32c" | "crc64nvme";

/** High and low 32 bits, each unsigned. */
type Halves = readonly [high: number, low: number];

interface Polynomial {
  readonly isWide: boolean;
  /** Bit-reflected, without the top term. */
  readonly reflected: Halves;
  /** x^(8·2^i) for i from 0, grown as needed. */
  readonly squares: Halves[];
}
const short = (reflected: number): Polynomial => ({
  isWide: false,
  reflected: [0, reflected],
  squares: [[0, 1 << 23]],
});
const polynomials: Readonly<Record<CrcAlgorithm, Polynomial>> = {
  crc32: short(0xedb88320),
  crc32c: short(0x82f63b78),
  crc64nvme: { isWide: true, reflected: [0x9a6c9329, 0xac4bc9b5], squares: [[1 << 23, 0]] },
};

/** The product of two polynomials modulo the third. */
function multiply(a: Halves, b: Halves, { isWide, reflected }: Polynomial): Halves {
  let [high, low] = b;
  let productHigh = 0;
  let productLow = 0;
  for (let i = 0; i < (isWide ? 64 : 32); i++) {
    const word = isWide && i < 32 ? a[0] : a[1];
    if ((word >>> (31 - (i & 31))) & 1) {
      productHigh ^= high;
      productLow ^= low;
    }
    const isOdd = (low & 1) === 1;
    low = ((low >>> 1) | (high << 31)) >>> 0;
    high >>>= 1;
    if (isOdd) {
      high = (high ^ reflected[0]) >>> 0;
      low = (low ^ reflected[1]) >>> 0;
    }
  }
  return [productHigh >>> 0, productLow >>> 0];
}

/** x^(8·size) modulo the polynomial, by squaring. */
function powerOfBytes(size: number, polynomial: Polynomial): Halves {
  const { squares, isWide } = polynomial;
  let result: Halves = isWide ? [0x80000000, 0] : [0, 0x80000000]; // x⁰
  for (let i = 0, rest = size; rest > 0; i++, rest = Math.floor(rest / 2)) {
    if (i === squares.length) squares.push(multiply(squares[i - 1]!, squares[i - 1]!, polynomial));
    if (rest % 2 === 1) result = multiply(result, squares[i]!, polynomial);
  }
  return result;
}

/** One CRC and how many bytes it is of. */
interface CrcPiece {
  /** Big-endian, 4 or 8 bytes. */
  readonly value: Uint8Array;
  /** In bytes, a safe integer ≥ 0. */
  readonly size: number;
}

/** The CRC of the pieces' bytes one after another, big-endian. The CRC of nothing is 0. */
export function combineCrcs(algorithm: CrcAlgorithm, pieces: readonly CrcPiece[]): Uint8Array {
  const polynomial = polynomials[algorithm];
  let crc: Halves = [0, 0];
  let power: Halves = [0, 0];
  let powerSize = -1; // parts are mostly of one size
  for (const { value, size } of pieces) {
    if (size !== powerSize) {
      power = powerOfBytes(size, polynomial);
      powerSize = size;
    }
    const [high, low] = multiply(crc, power, polynomial);
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    crc = polynomial.isWide
      ? [(high ^ view.getUint32(0)) >>> 0, (low ^ view.getUint32(4)) >>> 0]
      : [0, (low ^ view.getUint32(0)) >>> 0];
  }
  const target = new DataView(new ArrayBuffer(polynomial.isWide ? 8 : 4));
  if (polynomial.isWide) target.setUint32(0, crc[0]);
  target.setUint32(polynomial.isWide ? 4 : 0, crc[1]);
  return new Uint8Array(target.buffer);
}

/** A short CRC of small bytes, bit by bit: for checksums of checksums, never for content. */
export function crcOfSmall(algorithm: "crc32" | "crc32c", source: Uint8Array): Uint8Array {
  const [, reflected] = polynomials[algorithm].reflected;
  let crc = 0xffffffff;
  for (const byte of source) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ reflected;
  }
  const target = new DataView(new ArrayBuffer(4));
  target.setUint32(0, (crc ^ 0xffffffff) >>> 0);
  return new Uint8Array(target.buffer);
}
