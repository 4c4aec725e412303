#include "erasure-code.h"

#include <isa-l/erasure_code.h>
#include <pthread.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { PROFILES = 5, DATA_MAX = 8 };

struct profile {
  uint32_t data, parity;
  uint8_t matrix[EC_FRAGMENTS_MAX * DATA_MAX];
  uint8_t tables[32 * DATA_MAX * EC_FRAGMENTS_MAX];
};
static struct profile profiles[PROFILES] = {
    {.data = 2, .parity = 1}, {.data = 3, .parity = 1}, {.data = 3, .parity = 2}, {.data = 4, .parity = 2}, {.data = 8, .parity = 3},
};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int prepared = -1;

static struct profile *find(uint32_t data, uint32_t parity) {
  for (int i = 0; i < PROFILES; i++)
    if (profiles[i].data == data && profiles[i].parity == parity) return &profiles[i];
  return NULL;
}

/* The inverse of rows present[0..k) into `inverse`; nonzero when there is none. */
static int invert(const struct profile *profile, const uint32_t *present, uint8_t *inverse) {
  uint8_t rows[DATA_MAX * DATA_MAX];
  uint32_t k = profile->data;
  for (uint32_t i = 0; i < k; i++) memcpy(rows + i * k, profile->matrix + present[i] * k, k);
  return gf_invert_matrix(rows, inverse, (int)k);
}

static int every_subset_inverts(const struct profile *profile) {
  uint32_t total = profile->data + profile->parity;
  uint8_t inverse[DATA_MAX * DATA_MAX];
  for (uint32_t mask = 0; mask < 1u << total; mask++) {
    if ((uint32_t)__builtin_popcount(mask) != profile->data) continue;
    uint32_t present[DATA_MAX], count = 0;
    for (uint32_t i = 0; i < total; i++)
      if (mask >> i & 1) present[count++] = i;
    if (invert(profile, present, inverse) != 0) return 0;
  }
  return 1;
}

static void prepare_once(void) {
  for (int i = 0; i < PROFILES; i++) {
    struct profile *profile = &profiles[i];
    int k = (int)profile->data, m = (int)profile->parity;
    gf_gen_cauchy1_matrix(profile->matrix, k + m, k);
    if (!every_subset_inverts(profile)) return;
    ec_init_tables(k, m, profile->matrix + k * k, profile->tables);
  }
  prepared = 0;
}

int ec_prepare(void) {
  pthread_once(&once, prepare_once);
  return prepared;
}

int ec_known(uint32_t data, uint32_t parity) { return find(data, parity) != NULL; }

int ec_encode(uint32_t data, uint32_t parity, size_t size, uint8_t *const *sources, uint8_t *const *targets) {
  struct profile *profile = find(data, parity);
  if (prepared != 0 || !profile || size == 0 || size > EC_SIZE_MAX) return -1;
  uint8_t *from[DATA_MAX], *to[EC_FRAGMENTS_MAX];
  memcpy(from, sources, data * sizeof *from);
  memcpy(to, targets, parity * sizeof *to);
  ec_encode_data((int)size, (int)data, (int)parity, profile->tables, from, to);
  return 0;
}

int ec_recover(uint32_t data, uint32_t parity, size_t size, const uint32_t *present, uint8_t *const *sources,
               const uint32_t *wanted, uint32_t count, uint8_t *const *targets) {
  struct profile *profile = find(data, parity);
  uint32_t total = data + parity, seen = 0;
  if (prepared != 0 || !profile || size == 0 || size > EC_SIZE_MAX || count > total) return -1;
  for (uint32_t i = 0; i < data; i++) {
    if (present[i] >= total || seen >> present[i] & 1) return -1;
    seen |= 1u << present[i];
  }
  for (uint32_t i = 0; i < count; i++)
    if (wanted[i] >= total) return -1;
  if (count == 0) return 0;
  uint8_t inverse[DATA_MAX * DATA_MAX], rows[EC_FRAGMENTS_MAX * DATA_MAX];
  if (invert(profile, present, inverse) != 0) return -1;
  for (uint32_t i = 0; i < count; i++) /* row of the matrix times the inverse */
    for (uint32_t column = 0; column < data; column++) {
      uint8_t sum = 0;
      for (uint32_t j = 0; j < data; j++)
        sum ^= gf_mul(profile->matrix[wanted[i] * data + j], inverse[j * data + column]);
      rows[i * data + column] = sum;
    }
  uint8_t tables[32 * DATA_MAX * EC_FRAGMENTS_MAX], *from[DATA_MAX], *to[EC_FRAGMENTS_MAX];
  memcpy(from, sources, data * sizeof *from);
  memcpy(to, targets, count * sizeof *to);
  ec_init_tables((int)data, (int)count, rows, tables);
  ec_encode_data((int)size, (int)data, (int)count, tables, from, to);
  return 0;
}

/* --- for bun:ffi: one block in which fragment i lies at i * stride ------------------------------------------------- */

EXPORT uint32_t kiseki_ec_abi(void) { return ec_prepare() == 0 ? 1 : 0; }

EXPORT int32_t kiseki_ec_encode(uint8_t *block, uint32_t stride, uint32_t data, uint32_t parity, uint32_t size) {
  uint8_t *from[EC_FRAGMENTS_MAX], *to[EC_FRAGMENTS_MAX];
  if (!ec_known(data, parity) || size > stride) return -1;
  for (uint32_t i = 0; i < data; i++) from[i] = block + (size_t)i * stride;
  for (uint32_t i = 0; i < parity; i++) to[i] = block + (size_t)(data + i) * stride;
  return ec_encode(data, parity, size, from, to);
}

/* Makes the fragments of bit set `lost` anew from the lowest k of the others. */
EXPORT int32_t kiseki_ec_recover(uint8_t *block, uint32_t stride, uint32_t data, uint32_t parity, uint32_t size, uint32_t lost) {
  uint8_t *from[EC_FRAGMENTS_MAX], *to[EC_FRAGMENTS_MAX];
  uint32_t present[EC_FRAGMENTS_MAX], wanted[EC_FRAGMENTS_MAX], have = 0, count = 0;
  if (!ec_known(data, parity) || size > stride) return -1;
  for (uint32_t i = 0; i < data + parity; i++) {
    uint8_t *place = block + (size_t)i * stride;
    if (lost >> i & 1) {
      wanted[count] = i;
      to[count++] = place;
    } else if (have < data) {
      present[have] = i;
      from[have++] = place;
    }
  }
  return have == data ? ec_recover(data, parity, size, present, from, wanted, count, to) : -1;
}
