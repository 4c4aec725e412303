/* MD5 and SHA-256 of the same bytes in one interleaved pass, and CRC-64 by folding.
 *
 * MD5 is one long chain of dependent additions in general registers, SHA-NI one of dependent vector operations: alone
 * each leaves most of the core idle, side by side the slower hides the faster. Two SHA-256 over the same bytes (of the
 * stream and of the chunk) share their message schedule. */
#include "lanes.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

static int has_sha, has_crc64;
static uint64_t fold_low, fold_high;

static const uint64_t crc64_polynomial = 0x9a6c9329ac4bc9b5u; /* NVMe: 0xad93d23594c93659 reflected */

/* x^n modulo the polynomial, reflected. */
static uint64_t power(int n) {
  uint64_t value = (uint64_t)1 << 63;
  while (n-- > 0) value = value >> 1 ^ (value & 1 ? crc64_polynomial : 0);
  return value;
}

void lanes_prepare(void) {
  unsigned a, b = 0, c, d;
  __builtin_cpu_init();
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) b = 0;
  has_sha = (b >> 29 & 1) && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
  has_crc64 = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  /* A carry-less product of reflected values stands one bit too low: the powers are one less. */
  fold_low = power(191);
  fold_high = power(127);
}
int lanes_have_sha(void) { return has_sha; }
int lanes_have_crc64(void) { return has_crc64; }

static const uint32_t sha_constant[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const uint32_t md5_constant[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af,
    0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
    0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
    0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97,
    0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
static const uint8_t md5_shift[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
static const uint8_t md5_step[4] = {1, 5, 3, 7}, md5_start[4] = {0, 1, 5, 0};

#define INLINE static inline __attribute__((always_inline))
#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

INLINE uint32_t rotated(uint32_t n, int count) { return n << count | n >> (32 - count); }

/* Step `at` of 64 (RFC 1321 §3.4); all but the state is known when this is compiled. */
INLINE void md5_round(uint32_t v[4], int at, const uint8_t *block) {
  int round = at / 16, place = (md5_start[round] + at % 16 * md5_step[round]) & 15;
  uint32_t *a = &v[(64 - at) & 3], b = v[(65 - at) & 3], c = v[(66 - at) & 3], d = v[(67 - at) & 3], word;
  memcpy(&word, block + 4 * place, 4);
  uint32_t sum = *a + word + md5_constant[at];
  if (round == 0) sum += d ^ (b & (c ^ d));
  else if (round == 1) sum += (c & ~d), sum += b & d; /* disjoint bits: the part without b can begin early */
  else if (round == 2) sum += c ^ d ^ b;
  else sum += c ^ (b | ~d);
  *a = b + rotated(sum, md5_shift[round][at & 3]);
}

struct sha { __m128i abef, cdgh; };

INLINE SHA_TARGET struct sha sha_load(const uint32_t state[8]) {
  __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
  __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
  return (struct sha){_mm_alignr_epi8(low, high, 8), _mm_blend_epi16(high, low, 0xf0)};
}
INLINE SHA_TARGET void sha_store(uint32_t state[8], struct sha sha) {
  __m128i low = _mm_shuffle_epi32(sha.abef, 0x1b), high = _mm_shuffle_epi32(sha.cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xf0));
  _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}
INLINE SHA_TARGET void sha_rounds(struct sha *sha, __m128i words) {
  sha->cdgh = _mm_sha256rnds2_epu32(sha->cdgh, sha->abef, words);
  sha->abef = _mm_sha256rnds2_epu32(sha->abef, sha->cdgh, _mm_shuffle_epi32(words, 0x0e));
}

/* Words 4·at … 4·at+3 of the schedule; `words` keeps the last sixteen. */
INLINE SHA_TARGET __m128i sha_words(__m128i words[4], int at, const uint8_t *block) {
  const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i *next = &words[at & 3];
  if (at < 4) {
    *next = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * at)), order);
  } else {
    __m128i before = words[(at + 3) & 3];
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*next, words[(at + 1) & 3]),
                                _mm_alignr_epi8(before, words[(at + 2) & 3], 4));
    *next = _mm_sha256msg2_epu32(sum, before);
  }
  return _mm_add_epi32(*next, _mm_load_si128((const __m128i *)(sha_constant + 4 * at)));
}

INLINE SHA_TARGET void blocks_of(uint32_t md5[4], uint32_t *first, uint32_t *second, const uint8_t *source, size_t blocks) {
  struct sha one = sha_load(first), two = one;
  if (second) two = sha_load(second);
  uint32_t state[4] = {md5[0], md5[1], md5[2], md5[3]};
  for (; blocks > 0; blocks--, source += 64) {
    struct sha one_before = one, two_before = two;
    uint32_t v[4] = {state[0], state[1], state[2], state[3]};
    __m128i words[4];
#pragma GCC unroll 16
    for (int at = 0; at < 16; at++) {
      __m128i now = sha_words(words, at, source);
      sha_rounds(&one, now);
      if (second) sha_rounds(&two, now);
#pragma GCC unroll 4
      for (int step = 0; step < 4; step++) md5_round(v, 4 * at + step, source);
    }
    one = (struct sha){_mm_add_epi32(one.abef, one_before.abef), _mm_add_epi32(one.cdgh, one_before.cdgh)};
    if (second) two = (struct sha){_mm_add_epi32(two.abef, two_before.abef), _mm_add_epi32(two.cdgh, two_before.cdgh)};
    for (int i = 0; i < 4; i++) state[i] += v[i];
  }
  sha_store(first, one);
  if (second) sha_store(second, two);
  memcpy(md5, state, sizeof state);
}

SHA_TARGET void lanes_blocks(uint32_t md5[4], uint32_t first[8], uint32_t *second, const uint8_t *source, size_t blocks) {
  if (second) blocks_of(md5, first, second, source, blocks);
  else blocks_of(md5, first, NULL, source, blocks);
}

__attribute__((target("pclmul,sse4.1"))) void lanes_crc64(uint64_t crc, const uint8_t *source, size_t size, uint8_t rest[16]) {
  const __m128i fold = _mm_set_epi64x((long long)fold_high, (long long)fold_low);
  __m128i sum = _mm_xor_si128(_mm_loadu_si128((const __m128i *)source), _mm_set_epi64x(0, (long long)crc));
  for (size_t at = 16; at < size; at += 16) {
    __m128i low = _mm_clmulepi64_si128(sum, fold, 0x00), high = _mm_clmulepi64_si128(sum, fold, 0x11);
    sum = _mm_xor_si128(_mm_xor_si128(low, high), _mm_loadu_si128((const __m128i *)(source + at)));
  }
  _mm_storeu_si128((__m128i *)rest, sum);
}

#else
void lanes_prepare(void) {}
int lanes_have_sha(void) { return 0; }
int lanes_have_crc64(void) { return 0; }
void lanes_blocks(uint32_t md5[4], uint32_t first[8], uint32_t *second, const uint8_t *source, size_t blocks) {
  (void)md5, (void)first, (void)second, (void)source, (void)blocks;
}
void lanes_crc64(uint64_t crc, const uint8_t *source, size_t size, uint8_t rest[16]) {
  (void)crc, (void)source, (void)size, (void)rest;
}
#endif
