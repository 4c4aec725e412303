/* Whether segments have their checksums. */
#include "crc32c.h"
#include "fuse.h"

#define SIDE_BY_SIDE 4

static uint32_t get_big_endian(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int are_right_plain(const struct sums *sums, const uint8_t *bytes, size_t size) {
  for (uint32_t i = 0; size > 0; i++) {
    uint32_t number = sums->number + i;
    uint8_t numbered[4] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), (uint8_t)(number >> 24)};
    size_t part = size < LENT_SEGMENT ? size : LENT_SEGMENT;
    uint32_t crc = crc32c_plain(crc32c_plain(~sums->seed, numbered, sizeof numbered), bytes, part);
    if (~crc != get_big_endian(sums->bytes + 4 * (size_t)i)) return 0;
    bytes += part, size -= part;
  }
  return 1;
}

#if defined(__x86_64__)
/* Several segments at once: one instruction does not wait for that of another segment. */
__attribute__((target("sse4.2"))) static void crc_side_by_side(uint64_t crc[SIDE_BY_SIDE], const uint8_t *source) {
  uint64_t a = crc[0], b = crc[1], c = crc[2], d = crc[3];
  for (size_t at = 0; at < LENT_SEGMENT; at += 8) {
    uint64_t word[SIDE_BY_SIDE];
    for (size_t i = 0; i < SIDE_BY_SIDE; i++) memcpy(&word[i], source + i * LENT_SEGMENT + at, 8);
    a = _mm_crc32_u64(a, word[0]), b = _mm_crc32_u64(b, word[1]), c = _mm_crc32_u64(c, word[2]), d = _mm_crc32_u64(d, word[3]);
  }
  crc[0] = a, crc[1] = b, crc[2] = c, crc[3] = d;
}
__attribute__((target("sse4.2"))) static int are_right_quickly(const struct sums *sums, const uint8_t *bytes, size_t size) {
  const uint8_t *sum = sums->bytes;
  uint32_t number = sums->number;
  for (; size >= SIDE_BY_SIDE * LENT_SEGMENT; bytes += SIDE_BY_SIDE * LENT_SEGMENT, size -= SIDE_BY_SIDE * LENT_SEGMENT) {
    uint64_t crc[SIDE_BY_SIDE];
    for (size_t i = 0; i < SIDE_BY_SIDE; i++) crc[i] = _mm_crc32_u32(~sums->seed, number++);
    crc_side_by_side(crc, bytes);
    for (size_t i = 0; i < SIDE_BY_SIDE; i++, sum += 4)
      if (~(uint32_t)crc[i] != get_big_endian(sum)) return 0;
  }
  for (; size > 0; sum += 4) {
    size_t part = size < LENT_SEGMENT ? size : LENT_SEGMENT;
    if (~crc32c_instruction(_mm_crc32_u32(~sums->seed, number++), bytes, part) != get_big_endian(sum)) return 0;
    bytes += part, size -= part;
  }
  return 1;
}
#endif

int are_right(const struct sums *sums, const uint8_t *bytes, size_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return are_right_quickly(sums, bytes, size);
#endif
  return are_right_plain(sums, bytes, size);
}
