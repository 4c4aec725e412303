/* Parity of erasure-code.c against liberasurecode's isa_l_rs_cauchy, for every profile. Exit status 0: equal. */
#include "erasure-code.h"

#include <liberasurecode/erasurecode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 960, HEADER_SIZE = 80 };

static int compare(uint32_t data, uint32_t parity) {
  uint8_t block[EC_FRAGMENTS_MAX][SIZE], *from[EC_FRAGMENTS_MAX], *to[EC_FRAGMENTS_MAX];
  for (uint32_t i = 0; i < data; i++) {
    from[i] = block[i];
    for (int j = 0; j < SIZE; j++) block[i][j] = (uint8_t)rand();
  }
  for (uint32_t i = 0; i < parity; i++) to[i] = block[data + i];
  if (ec_encode(data, parity, SIZE, from, to) != 0) return 1;
  struct ec_args args = {.k = (int)data, .m = (int)parity, .hd = (int)parity + 1, .ct = CHKSUM_NONE};
  int code = liberasurecode_instance_create(EC_BACKEND_ISA_L_RS_CAUCHY, &args);
  char **theirs_data, **theirs_parity;
  uint64_t fragment_size;
  if (code <= 0 || liberasurecode_encode(code, (char *)block, data * SIZE, &theirs_data, &theirs_parity, &fragment_size) != 0) return 2;
  if (fragment_size != SIZE + HEADER_SIZE) return 3;
  int result = 0;
  for (uint32_t i = 0; i < data; i++) result |= memcmp(theirs_data[i] + HEADER_SIZE, block[i], SIZE) ? 4 : 0;
  for (uint32_t i = 0; i < parity; i++) result |= memcmp(theirs_parity[i] + HEADER_SIZE, to[i], SIZE) ? 8 : 0;
  liberasurecode_encode_cleanup(code, theirs_data, theirs_parity);
  liberasurecode_instance_destroy(code);
  return result;
}

int main(void) {
  static const uint32_t profiles[][2] = {{2, 1}, {3, 1}, {3, 2}, {4, 2}, {8, 3}};
  if (ec_prepare() != 0) return 1;
  for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
    int result = compare(profiles[i][0], profiles[i][1]);
    if (result != 0) {
      printf("%u+%u: %d\n", profiles[i][0], profiles[i][1], result);
      return 1;
    }
  }
  return 0;
}
