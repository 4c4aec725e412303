/**
 * Reed–Solomon over GF(2^8), systematic, on the caller's buffers: ISA-L with the matrix of liberasurecode's
 * `isa_l_rs_cauchy` (`docs/decisions/0004-erasure-code.md`). The data path links the same C; this wrapper
 * serves tools and tests that hold fragments in one block. Every set of k fragments of every profile is
 * inverted when the library loads: one without an inverse stops the load. Profiles outside the table,
 * fragments larger than their stride and more losses than parity are refused.
 */
export type { ErasureCoder } from "./erasure-coder.ts";
export { openErasureCoder } from "./erasure-coder.ts";
