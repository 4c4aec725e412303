/* Hash kernels over instructions that not every x86 has: asked for once, else their callers go the plain way. */
#ifndef KISEKI_LANES_H
#define KISEKI_LANES_H
#include <stddef.h>
#include <stdint.h>

/* Finds out what this processor has; before anything below. */
void lanes_prepare(void);
/* Whether `lanes_blocks` may be called: SHA-NI and SSE4.1. */
int lanes_have_sha(void);
/* Whether `lanes_crc64` may be called: carry-less multiplication. */
int lanes_have_crc64(void);
/* Takes `blocks` blocks of 64 bytes into an MD5 and one or two SHA-256 states over the same bytes, in one pass.
 * `second` may be NULL. Outside any FIPS boundary. */
void lanes_blocks(uint32_t md5[4], uint32_t first[8], uint32_t *second, const uint8_t *source, size_t blocks);
/* CRC-64/NVME without its final complement; `size` is a multiple of 16 and at least 16. Answers 16 bytes that take the
 * place of all that came before: the CRC, from 0, over them is the one looked for. */
void lanes_crc64(uint64_t crc, const uint8_t *source, size_t size, uint8_t rest[16]);
#endif
