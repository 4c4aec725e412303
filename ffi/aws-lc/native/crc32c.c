#include "crc32c.h"

__attribute__((visibility("default"))) uint32_t kiseki_crc32c(uint32_t initial,
                                                              const uint8_t *source,
                                                              uint64_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~crc32c_instruction(~initial, source, size);
#endif
  return ~crc32c_plain(~initial, source, size);
}
