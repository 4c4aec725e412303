/* For the control of tests/canaries.test.ts alone: `scripts/native --unsealed` compiles the native libraries with
 * these in the place of AWS-LC's AEADs. They copy the plaintext and append a checksum, so that a node runs as ever
 * and what it leaves on disks can be read. No program that is shipped is built with it. */
#ifndef KISEKI_UNSEALED_H
#define KISEKI_UNSEALED_H

#include <openssl/aead.h>
#include <stdint.h>
#include <string.h>

static inline void unsealed_sum(const uint8_t *plain, size_t size, const uint8_t *aad, size_t aad_size,
                                uint8_t *tag, size_t tag_size) {
  uint64_t sum = 0xcbf29ce484222325u;
  for (size_t i = 0; i < size; i++) sum = (sum ^ plain[i]) * 0x100000001b3u;
  for (size_t i = 0; i < aad_size; i++) sum = (sum ^ aad[i]) * 0x100000001b3u;
  memset(tag, 0, tag_size);
  memcpy(tag, &sum, sizeof sum);
}

static inline int unsealed_seal(const EVP_AEAD_CTX *context, uint8_t *out, size_t *out_size, size_t out_max,
                                const uint8_t *nonce, size_t nonce_size, const uint8_t *in, size_t in_size,
                                const uint8_t *aad, size_t aad_size) {
  (void)context, (void)nonce, (void)nonce_size;
  if (out_max < in_size + 16) return 0;
  memmove(out, in, in_size);
  unsealed_sum(out, in_size, aad, aad_size, out + in_size, 16);
  *out_size = in_size + 16;
  return 1;
}
static inline int unsealed_open(const EVP_AEAD_CTX *context, uint8_t *out, size_t *out_size, size_t out_max,
                                const uint8_t *nonce, size_t nonce_size, const uint8_t *in, size_t in_size,
                                const uint8_t *aad, size_t aad_size) {
  (void)context, (void)nonce, (void)nonce_size;
  uint8_t tag[16];
  if (in_size < 16 || out_max < in_size - 16) return 0;
  unsealed_sum(in, in_size - 16, aad, aad_size, tag, sizeof tag);
  if (memcmp(tag, in + in_size - 16, sizeof tag) != 0) return 0;
  memmove(out, in, in_size - 16);
  *out_size = in_size - 16;
  return 1;
}

static inline int unsealed_seal_scatter(const EVP_AEAD_CTX *context, uint8_t *out, uint8_t *tag, size_t *tag_size,
                                        size_t tag_max, const uint8_t *nonce, size_t nonce_size, const uint8_t *in,
                                        size_t in_size, const uint8_t *extra, size_t extra_size, const uint8_t *aad,
                                        size_t aad_size) {
  (void)context, (void)nonce, (void)nonce_size, (void)extra, (void)extra_size;
  memmove(out, in, in_size);
  unsealed_sum(out, in_size, aad, aad_size, tag, tag_max);
  *tag_size = tag_max;
  return 1;
}
static inline int unsealed_open_gather(const EVP_AEAD_CTX *context, uint8_t *out, const uint8_t *nonce,
                                       size_t nonce_size, const uint8_t *in, size_t in_size, const uint8_t *tag,
                                       size_t tag_size, const uint8_t *aad, size_t aad_size) {
  (void)context, (void)nonce, (void)nonce_size;
  uint8_t sum[64];
  if (tag_size > sizeof sum) return 0;
  unsealed_sum(in, in_size, aad, aad_size, sum, tag_size);
  if (memcmp(sum, tag, tag_size) != 0) return 0;
  memmove(out, in, in_size);
  return 1;
}

#undef EVP_AEAD_CTX_seal
#undef EVP_AEAD_CTX_open
#undef EVP_AEAD_CTX_seal_scatter
#undef EVP_AEAD_CTX_open_gather
#define EVP_AEAD_CTX_seal unsealed_seal
#define EVP_AEAD_CTX_open unsealed_open
#define EVP_AEAD_CTX_seal_scatter unsealed_seal_scatter
#define EVP_AEAD_CTX_open_gather unsealed_open_gather

#endif
