/* AWS-LC behind flat functions for bun:ffi. Every buffer is borrowed for the call. */
#include "aws_lc.h"

#include <openssl/aead.h>
#include <openssl/aes.h>
#include <openssl/base.h>
#include <openssl/crypto.h>
#include <openssl/digest.h>
#include <openssl/hkdf.h>
#include <openssl/hmac.h>
#include <openssl/md5.h>
#include <openssl/mem.h>
#include <openssl/sha.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define EXPORT __attribute__((visibility("default")))

static_assert(sizeof(SHA256_CTX) <= KISEKI_SHA256_STATE_SIZE, "a running SHA-256 fits its state");

EXPORT uint32_t kiseki_aws_lc_abi(void) { return KISEKI_AWS_LC_ABI; }
EXPORT const char *kiseki_aws_lc_version(void) { return OpenSSL_version(OPENSSL_VERSION); }
EXPORT int32_t kiseki_aws_lc_fips(void) { return FIPS_mode(); }

EXPORT void kiseki_sha256(const uint8_t *source, uint64_t size, uint8_t *digest) {
  SHA256(source, size, digest);
}
EXPORT void kiseki_sha256_start(uint8_t *state) { SHA256_Init((SHA256_CTX *)state); }
EXPORT void kiseki_sha256_update(uint8_t *state, const uint8_t *source, uint64_t size) {
  SHA256_Update((SHA256_CTX *)state, source, size);
}
EXPORT void kiseki_sha256_digest(uint8_t *state, uint8_t *digest) {
  SHA256_Final(digest, (SHA256_CTX *)state);
}

EXPORT int32_t kiseki_hmac_sha256(const uint8_t *key, uint64_t key_size, const uint8_t *source,
                                  uint64_t size, uint8_t *digest) {
  unsigned written = 0;
  return HMAC(EVP_sha256(), key, key_size, source, size, digest, &written) != NULL && written == 32;
}

EXPORT void kiseki_md5(const uint8_t *source, uint64_t size, uint8_t *digest) {
  MD5(source, size, digest);
}

EXPORT int32_t kiseki_hkdf_extract(const uint8_t *salt, uint64_t salt_size, const uint8_t *secret,
                                   uint64_t secret_size, uint8_t *prk) {
  size_t written = 0;
  return HKDF_extract(prk, &written, EVP_sha256(), secret, secret_size, salt, salt_size) &&
         written == 32;
}
EXPORT int32_t kiseki_hkdf_expand(const uint8_t *prk, uint64_t prk_size, const uint8_t *info,
                                  uint64_t info_size, uint8_t *target, uint64_t size) {
  return HKDF_expand(target, size, EVP_sha256(), prk, prk_size, info, info_size);
}

EXPORT int32_t kiseki_aes_block(const uint8_t *key, const uint8_t *block, uint8_t *target) {
  AES_KEY schedule;
  if (AES_set_encrypt_key(key, 256, &schedule) != 0) return 0;
  AES_encrypt(block, target, &schedule);
  OPENSSL_cleanse(&schedule, sizeof schedule);
  return 1;
}

/* target has room for size + 16 bytes. */
EXPORT int32_t kiseki_gcm_seal(const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                               uint64_t aad_size, const uint8_t *source, uint64_t size,
                               uint8_t *target) {
  EVP_AEAD_CTX context;
  if (!EVP_AEAD_CTX_init(&context, EVP_aead_aes_256_gcm(), key, 32, 16, NULL)) return 0;
  size_t written = 0;
  int ok = EVP_AEAD_CTX_seal(&context, target, &written, size + 16, nonce, 12, source, size, aad,
                             aad_size);
  EVP_AEAD_CTX_cleanup(&context);
  return ok && written == size + 16;
}
/* source is ciphertext and tag; target has room for size - 16 bytes. */
EXPORT int32_t kiseki_gcm_open(const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                               uint64_t aad_size, const uint8_t *source, uint64_t size,
                               uint8_t *target) {
  EVP_AEAD_CTX context;
  if (size < 16) return 0;
  if (!EVP_AEAD_CTX_init(&context, EVP_aead_aes_256_gcm(), key, 32, 16, NULL)) return 0;
  size_t written = 0;
  int ok = EVP_AEAD_CTX_open(&context, target, &written, size - 16, nonce, 12, source, size, aad,
                             aad_size);
  EVP_AEAD_CTX_cleanup(&context);
  return ok && written == size - 16;
}

EXPORT int32_t kiseki_equal(const uint8_t *a, const uint8_t *b, uint64_t size) {
  return CRYPTO_memcmp(a, b, size) == 0;
}
EXPORT void kiseki_wipe(uint8_t *secret, uint64_t size) { OPENSSL_cleanse(secret, size); }

/* Whole pages, locked in memory, left out of core dumps; NULL when the system refuses. */
EXPORT uint8_t *kiseki_secret_open(uint64_t size) {
  uint8_t *secret = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (secret == MAP_FAILED) return NULL;
  if (mlock(secret, size) != 0 || madvise(secret, size, MADV_DONTDUMP) != 0) {
    munmap(secret, size);
    return NULL;
  }
  return secret;
}
EXPORT void kiseki_secret_close(uint8_t *secret, uint64_t size) {
  OPENSSL_cleanse(secret, size);
  munmap(secret, size);
}

/* No core file and no core pipe of this process from now on, and no tracing by others of its user. 1 when it holds. */
EXPORT int32_t kiseki_core_dumps_forbid(void) {
  struct rlimit none = {0, 0};
  (void)setrlimit(RLIMIT_CORE, &none); /* may be filtered; the next line is enough by itself */
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}
