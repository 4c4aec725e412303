import { assert, newBytes } from "@kiseki/base";

/**
 * The same code in plain arithmetic, byte by byte, for tests and the simulator: GF(2^8) modulo
 * x^8 + x^4 + x^3 + x^2 + 1; row r of the matrix is a unit row below k and 1 / (r ^ column) from k on.
 */
const polynomial = 0x11d;

function multiply(a: number, b: number): number {
  let product = 0;
  for (let left = a, factor = b; left > 0; left >>= 1) {
    if (left & 1) product ^= factor;
    factor = factor & 0x80 ? (factor << 1) ^ polynomial : factor << 1;
  }
  return product;
}
/** One row of products for each factor: what a loop over bytes looks up. */
const products: readonly Uint8Array[] = Array.from({ length: 256 }, (_, a) => {
  const row = newBytes(256);
  for (let b = 0; b < 256; b++) row[b] = multiply(a, b);
  return row;
});
const inverses = Array.from({ length: 256 }, (_, a) => products[a]!.indexOf(1));

function matrixRow(data: number, index: number): number[] {
  return Array.from({ length: data }, (_, column) => {
    if (index < data) return index === column ? 1 : 0;
    return inverses[index ^ column]!;
  });
}

/** Gauss and Jordan; `undefined` when the rows are dependent. */
function invert(rows: readonly (readonly number[])[]): number[][] | undefined {
  const k = rows.length;
  const work = rows.map((row, i) => [...row, ...matrixRow(k, i)]);
  for (let column = 0; column < k; column++) {
    const pivot = work.findIndex((row, i) => i >= column && row[column] !== 0);
    if (pivot < 0) return undefined;
    [work[column], work[pivot]] = [work[pivot]!, work[column]!];
    const factor = inverses[work[column]![column]!]!;
    work[column] = work[column]!.map((value) => products[factor]![value]!);
    for (let i = 0; i < k; i++) {
      const scale = work[i]![column]!;
      if (i === column || scale === 0) continue;
      work[i] = work[i]!.map((value, j) => value ^ products[scale]![work[column]![j]!]!);
    }
  }
  return work.map((row) => row.slice(k));
}

function combine(row: readonly number[], sources: readonly Uint8Array[], size: number): Uint8Array {
  const target = newBytes(size);
  row.forEach((factor, i) => {
    const product = products[factor]!;
    const source = sources[i]!;
    for (let at = 0; at < size; at++) target[at] = target[at]! ^ product[source[at]!]!;
  });
  return target;
}

/** Fragment `index` of a stripe from its `data` fragments, each of `size` bytes. */
export function slowEncode(
  sources: readonly Uint8Array[],
  index: number,
  size: number,
): Uint8Array {
  return combine(matrixRow(sources.length, index), sources, size);
}

/** The data fragments, in order, from any `data` fragments by number. */
export function slowDecode(
  data: number,
  present: ReadonlyMap<number, Uint8Array>,
  size: number,
): readonly Uint8Array[] {
  const chosen = [...present].slice(0, data);
  assert(chosen.length === data, "there are enough fragments");
  const inverse = invert(chosen.map(([index]) => matrixRow(data, index)));
  assert(inverse !== undefined, "every set of fragments has an inverse");
  const sources = chosen.map(([, source]) => source);
  return inverse.map((row) => combine(row, sources, size));
}
