import type { Profile } from "@kiseki/ports";
import { assert } from "@kiseki/base";

/** Slow and plain GF(2^8) coding (polynomial 0x11d) over a systematic Cauchy matrix, for the simulator alone. */
const exponents = new Uint8Array(512);
const logarithms = new Uint8Array(256);
{
  let x = 1;
  for (let i = 0; i < 255; i++) {
    exponents[i] = x;
    exponents[i + 255] = x;
    logarithms[x] = i;
    x <<= 1;
    if (x & 0x100) x ^= 0x11d;
  }
}
const multiply = (a: number, b: number): number =>
  a === 0 || b === 0 ? 0 : exponents[logarithms[a]! + logarithms[b]!]!;
const invert = (a: number): number => exponents[255 - logarithms[a]!]!;

function row(data: number, index: number): Uint8Array {
  const coefficients = new Uint8Array(data);
  if (index < data) coefficients[index] = 1;
  else for (let i = 0; i < data; i++) coefficients[i] = invert(index ^ i);
  return coefficients;
}
function addScaled(target: Uint8Array, source: Uint8Array, factor: number): void {
  if (factor === 0) return;
  const table = new Uint8Array(256);
  for (let i = 0; i < 256; i++) table[i] = multiply(factor, i);
  for (let i = 0; i < source.byteLength; i++) target[i]! ^= table[source[i]!]!;
}
/** Gauss-Jordan; `matrix` is k × k and invertible as every square part of a Cauchy matrix is. */
function inverse(matrix: readonly Uint8Array[]): Uint8Array[] {
  const size = matrix.length;
  const left = matrix.map((line) => line.slice());
  const right = matrix.map((_, i) => row(size, i));
  for (let column = 0; column < size; column++) {
    const pivot = left.findIndex((line, i) => i >= column && line[column] !== 0);
    assert(pivot >= 0, "a Cauchy part has an inverse");
    [left[column], left[pivot]] = [left[pivot]!, left[column]!];
    [right[column], right[pivot]] = [right[pivot]!, right[column]!];
    const factor = invert(left[column]![column]!);
    for (const line of [left[column]!, right[column]!])
      for (let i = 0; i < size; i++) line[i] = multiply(line[i]!, factor);
    for (let other = 0; other < size; other++) {
      const scale = left[other]![column]!;
      if (other === column || scale === 0) continue;
      addScaled(left[other]!, left[column]!, scale);
      addScaled(right[other]!, right[column]!, scale);
    }
  }
  return right;
}

/** Data fragments from any k of them, all padded to `size` bytes. */
export function decodeFragments(
  profile: Extract<Profile, { kind: "ec" }>,
  have: readonly { readonly index: number; readonly payload: Uint8Array }[],
  size: number,
): Uint8Array[] {
  const chosen = have.slice(0, profile.data);
  assert(chosen.length === profile.data, "k fragments are here");
  const decoder = inverse(chosen.map((fragment) => row(profile.data, fragment.index)));
  return decoder.map((coefficients) => {
    const target = new Uint8Array(size);
    for (let i = 0; i < profile.data; i++) addScaled(target, chosen[i]!.payload, coefficients[i]!);
    return target;
  });
}
/** Fragment `index` from the data fragments. */
export function codeFragment(
  profile: Extract<Profile, { kind: "ec" }>,
  data: readonly Uint8Array[],
  index: number,
  size: number,
): Uint8Array {
  const target = new Uint8Array(size);
  const coefficients = row(profile.data, index);
  for (let i = 0; i < profile.data; i++) addScaled(target, data[i]!, coefficients[i]!);
  return target;
}
