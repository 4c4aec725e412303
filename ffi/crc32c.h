/* CRC-32C (Castagnoli, RFC 3720 B.4): the processor's instruction where it has one, else a table. `crc` is as it goes on, without the
 * inversions at the begin and the end of a whole checksum. */
#ifndef KISEKI_CRC32C_H
#define KISEKI_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t crc32c_table[256];
__attribute__((constructor)) static void crc32c_make_table(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
    crc32c_table[byte] = crc;
  }
}
static inline uint32_t crc32c_plain(uint32_t crc, const uint8_t *source, size_t size) {
  for (; size > 0; size--) crc = (crc >> 8) ^ crc32c_table[(crc ^ *source++) & 0xff];
  return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

/* Where `__builtin_cpu_supports("sse4.2")`. */
__attribute__((target("sse4.2"))) static inline uint32_t crc32c_instruction(uint32_t crc, const uint8_t *source, size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; source += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, source, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = (uint32_t)wide;
  for (; size > 0; source++, size--) crc = _mm_crc32_u8(crc, *source);
  return crc;
}
#endif

#endif
