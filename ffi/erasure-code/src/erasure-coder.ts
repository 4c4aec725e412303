/**
 * Reed–Solomon over GF(2^8), systematic, on the caller's buffers: ISA-L with the matrix of liberasurecode's
 * `isa_l_rs_cauchy` (`docs/decisions/0004-erasure-code.md`). The package is its C, which the data path links;
 * this wrapper lets its tests hold it against plain TypeScript, and no program imports it. Every set of k
 * fragments of every profile is inverted when the library loads: one without an inverse stops the load.
 * Profiles outside the table, fragments larger than their stride and more losses than parity are refused.
 */
import { dlopen, FFIType, suffix } from "bun:ffi";
import { assert } from "@kiseki/base";

const abiVersion = 1;
const { ptr, u32, i32 } = FFIType;
const symbols = {
  kiseki_ec_abi: { args: [], returns: u32 },
  kiseki_ec_encode: { args: [ptr, u32, u32, u32, u32], returns: i32 },
  kiseki_ec_recover: { args: [ptr, u32, u32, u32, u32, u32], returns: i32 },
} as const;

/** Fragments of one stripe: `size` bytes each, fragment i at `i * stride` of `block`, data before parity. */
export interface Stripe {
  readonly block: Uint8Array;
  readonly stride: number;
  readonly size: number;
  readonly data: number;
  readonly parity: number;
}
export interface ErasureCoder {
  /** Writes the parity fragments. False for a profile that is not known. */
  encode(stripe: Stripe): boolean;
  /** Makes the fragments `lost` anew from the lowest `data` others. False when too many are lost. */
  recover(stripe: Stripe, lost: readonly number[]): boolean;
}

/** Loads `libkiseki-erasure-code` from `directory` (built by `scripts/native`). @throws {Error} when it is not there. */
export function openErasureCoder(directory: string): ErasureCoder {
  const native = dlopen(`${directory}/libkiseki-erasure-code.${suffix}`, symbols).symbols;
  assert(native.kiseki_ec_abi() === abiVersion, "every set of fragments has an inverse, one ABI");
  const check = (stripe: Stripe) => {
    const { block, stride, size, data, parity } = stripe;
    assert(size >= 1 && size <= stride, "a fragment fits its stride");
    assert(
      (data + parity - 1) * stride + size <= block.byteLength,
      "all fragments lie in the block",
    );
  };
  return {
    encode(stripe) {
      check(stripe);
      const { block, stride, size, data, parity } = stripe;
      return native.kiseki_ec_encode(block, stride, data, parity, size) === 0;
    },
    recover(stripe, lost) {
      check(stripe);
      const { block, stride, size, data, parity } = stripe;
      let bits = 0;
      for (const index of lost) bits |= 1 << index;
      return native.kiseki_ec_recover(block, stride, data, parity, size, bits) === 0;
    },
  };
}
