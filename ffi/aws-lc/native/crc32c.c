/* CRC-32C (Castagnoli, RFC 3720 B.4): the processor's instruction where it has one, else bit by bit. */
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_instruction(uint32_t crc,
                                                                     const uint8_t *source,
                                                                     uint64_t size) {
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

static uint32_t crc32c_plain(uint32_t crc, const uint8_t *source, uint64_t size) {
  for (; size > 0; source++, size--) {
    crc ^= *source;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
  }
  return crc;
}

__attribute__((visibility("default"))) uint32_t kiseki_crc32c(uint32_t initial,
                                                              const uint8_t *source,
                                                              uint64_t size) {
  uint32_t crc = ~initial;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~crc32c_instruction(crc, source, size);
#endif
  return ~crc32c_plain(crc, source, size);
}
