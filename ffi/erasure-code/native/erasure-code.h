/* Systematic Reed–Solomon over GF(2^8) on the caller's buffers (docs/decisions/0004-erasure-code.md).
 *
 * The matrix is that of liberasurecode's isa_l_rs_cauchy: rows 0..k-1 are the identity, row r >= k holds
 * 1 / (r ^ column). Fragments are numbered like its rows. Only the profiles of the table are known. */
#ifndef KISEKI_ERASURE_CODE_H
#define KISEKI_ERASURE_CODE_H
#include <stddef.h>
#include <stdint.h>

enum { EC_FRAGMENTS_MAX = 16, EC_SIZE_MAX = 8 << 20 };

/* Builds the tables and inverts every k-subset of every profile. 0, or -1 when one has no inverse. Call before the rest. */
int ec_prepare(void);
/* True for a profile of the table. */
int ec_known(uint32_t data, uint32_t parity);
/* parity[0..m) from data[0..k), `size` bytes each. 0, or -1 for a bad argument. */
int ec_encode(uint32_t data, uint32_t parity, size_t size, uint8_t *const *sources, uint8_t *const *targets);
/* Makes fragments wanted[0..count) from the k fragments present[0..k), whose bytes are sources[0..k).
 * Targets do not overlap sources. 0, or -1 for a bad argument (unknown profile, number out of range or twice). */
int ec_recover(uint32_t data, uint32_t parity, size_t size, const uint32_t *present, uint8_t *const *sources,
               const uint32_t *wanted, uint32_t count, uint8_t *const *targets);
#endif
