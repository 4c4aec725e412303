import { expect, test } from "bun:test";
import { newBytes, prngFromSeed, toHex } from "@kiseki/base";
import { openErasureCoder } from "./erasure-coder.ts";
import { slowDecode, slowEncode } from "./slow-coder.ts";

const coder = openErasureCoder(`${import.meta.dir}/../../../build/native`);
const profiles = [
  [2, 1],
  [3, 1],
  [3, 2],
  [4, 2],
  [8, 3],
] as const;
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? 0x5eed);

function* subsets(total: number, sizeMax: number): Generator<number[]> {
  for (let bits = 0; bits < 1 << total; bits++) {
    const chosen = Array.from({ length: total }, (_, i) => i).filter((i) => (bits >> i) & 1);
    if (chosen.length <= sizeMax) yield chosen;
  }
}

for (const [data, parity] of profiles) {
  const size = 192;
  const stride = 256;
  const total = data + parity;
  const block = newBytes(total * stride);
  const stripe = { block, stride, size, data, parity };
  const at = (i: number) => block.subarray(i * stride, i * stride + size);
  prngFromSeed(seed).fill(block);
  expect(coder.encode(stripe)).toBe(true);
  const whole = block.slice();

  test(`encode() of ${data}+${parity} equals the slow coder (seed ${seed})`, () => {
    const sources = Array.from({ length: data }, (_, i) => at(i));
    for (let i = 0; i < total; i++) expect(toHex(at(i))).toBe(toHex(slowEncode(sources, i, size)));
  });

  test(`recover() of ${data}+${parity} makes every set of lost fragments (seed ${seed})`, () => {
    for (const lost of subsets(total, parity)) {
      block.set(whole);
      for (const i of lost) at(i).fill(0xee);
      expect(coder.recover(stripe, lost)).toBe(true);
      expect(block).toEqual(whole);
    }
  });

  test(`slowDecode() of ${data}+${parity} finds the data in every set of k fragments (seed ${seed})`, () => {
    block.set(whole);
    const sources = Array.from({ length: data }, (_, i) => Uint8Array.from(at(i).subarray(0, 8)));
    for (const chosen of subsets(total, data)) {
      if (chosen.length < data) continue;
      const present = new Map(chosen.toReversed().map((i) => [i, at(i).subarray(0, 8)]));
      expect(slowDecode(data, present, 8).map(toHex)).toEqual(sources.map(toHex));
    }
  });

  test(`recover() of ${data}+${parity} refuses more losses than parity`, () => {
    const lost = Array.from({ length: parity + 1 }, (_, i) => i);
    expect(coder.recover(stripe, lost)).toBe(false);
  });
}

test("encode() refuses a profile that is not in the table", () => {
  const stripe = { block: newBytes(1024), stride: 64, size: 64, data: 5, parity: 1 };
  expect(coder.encode(stripe)).toBe(false);
});

// The code is on disk: a row that changes is data lost. First bytes of parity over data[i][j] = 16 i + j + 1.
const golden = [
  [2, 1, ["810f750e74fa800c"]],
  [3, 1, ["53dea5d9a22f54d7"]],
  [3, 2, ["53dea5d9a22f54d7", "c370ea0b9122b8fd"]],
  [4, 2, ["c8a88868482808f5", "f292b252721232cf"]],
  [8, 3, ["106b429db4cfe66c", "bac1e8371e654cc6", "59220bd4fd86af25"]],
] as const;
for (const [data, parity, rows] of golden) {
  test(`encode() keeps the parity of ${data}+${parity}`, () => {
    const block = newBytes((data + parity) * 8);
    for (let i = 0; i < data; i++) for (let j = 0; j < 8; j++) block[8 * i + j] = 16 * i + j + 1;
    expect(coder.encode({ block, stride: 8, size: 8, data, parity })).toBe(true);
    expect(rows.map((_, i) => toHex(block.subarray(8 * (data + i), 8 * (data + i + 1))))).toEqual([
      ...rows,
    ]);
  });
}
