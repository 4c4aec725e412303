/* Running digests of streams, fed by jobs, and CRC-32C of fragments. */
#include "datapath.h"

#include "lanes.h"

#include <isa-l/crc.h>
#include <openssl/md5.h>
#include <openssl/mem.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 16384 }; /* all algorithms pass over a block while it is in the first cache */

struct hash_state {
  uint32_t algorithms; /* 0: free */
  uint32_t crc32, crc32c;
  uint64_t crc64, fed;
  MD5_CTX md5;
  SHA256_CTX sha256;
  SHA_CTX sha1;
  uint32_t next_free;
};
struct hash_states {
  pthread_mutex_t mutex;
  uint32_t first_free, used; /* places from `used` on were never taken */
  struct hash_state state[HASH_STATES_MAX];
};

/* --- CRC-64/NVME (NVM Express base specification: reflected 0xad93d23594c93659), eight bytes a step ---------------------- */
static uint64_t crc64_table[8][256];
static pthread_once_t crc64_once = PTHREAD_ONCE_INIT;

static void crc64_prepare(void) {
  lanes_prepare();
  for (uint32_t i = 0; i < 256; i++) {
    uint64_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x9a6c9329ac4bc9b5u : 0);
    crc64_table[0][i] = crc;
  }
  for (int row = 1; row < 8; row++)
    for (uint32_t i = 0; i < 256; i++)
      crc64_table[row][i] = crc64_table[row - 1][i] >> 8 ^ crc64_table[0][crc64_table[row - 1][i] & 255];
}

static uint64_t crc64_update(uint64_t crc, const uint8_t *source, size_t size) {
  if (size >= 64 && lanes_have_crc64()) {
    uint8_t rest[16];
    size_t folded = size & ~(size_t)15;
    lanes_crc64(crc, source, folded, rest);
    crc = crc64_update(0, rest, sizeof rest);
    source += folded, size -= folded;
  }
  for (; size >= 8; source += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, source, 8);
    word ^= crc;
    crc = 0;
    for (int i = 0; i < 8; i++) crc ^= crc64_table[7 - i][word >> 8 * i & 255];
  }
  while (size--) crc = crc >> 8 ^ crc64_table[0][(crc ^ *source++) & 255];
  return crc;
}

uint32_t crc32c(const uint8_t *source, size_t size) { return ~crc32_iscsi((unsigned char *)source, (int)size, ~0u); }

/* --- states --------------------------------------------------------------------------------------------------------------- */
struct hash_states *hash_states_open(void) {
  struct hash_states *states = calloc(1, sizeof *states);
  if (!states) return NULL;
  pthread_once(&crc64_once, crc64_prepare);
  pthread_mutex_init(&states->mutex, NULL);
  states->first_free = HASH_STATES_MAX;
  return states;
}

void hash_states_close(struct hash_states *states) {
  if (!states) return;
  pthread_mutex_destroy(&states->mutex);
  free(states);
}

int32_t hash_state_take(struct hash_states *states, uint32_t algorithms) {
  if (algorithms == 0 || algorithms > HASH_ALL) return -1;
  pthread_mutex_lock(&states->mutex);
  uint32_t place = states->first_free;
  if (place < HASH_STATES_MAX) states->first_free = states->state[place].next_free;
  else if (states->used < HASH_STATES_MAX) place = states->used++;
  if (place < HASH_STATES_MAX) {
    struct hash_state *state = &states->state[place];
    *state = (struct hash_state){.algorithms = algorithms, .crc32c = ~0u, .crc64 = ~(uint64_t)0};
    MD5_Init(&state->md5);
    SHA256_Init(&state->sha256);
    SHA1_Init(&state->sha1);
  }
  pthread_mutex_unlock(&states->mutex);
  return place < HASH_STATES_MAX ? (int32_t)place : -1;
}

static struct hash_state *find(struct hash_states *states, uint32_t place) {
  if (place >= HASH_STATES_MAX || states->state[place].algorithms == 0) return NULL;
  return &states->state[place];
}

int hash_state_free(struct hash_states *states, uint32_t place) {
  pthread_mutex_lock(&states->mutex);
  struct hash_state *state = find(states, place);
  if (state) {
    OPENSSL_cleanse(state, sizeof *state);
    state->next_free = states->first_free;
    states->first_free = place;
  }
  pthread_mutex_unlock(&states->mutex);
  return state ? 0 : -1;
}

static void count_fed(uint32_t *low, uint32_t *high, size_t size) {
  uint64_t bits = ((uint64_t)*high << 32 | *low) + 8 * (uint64_t)size;
  *low = (uint32_t)bits, *high = (uint32_t)(bits >> 32);
}

/* MD5 of the stream and SHA-256 of stream, source or both in one pass over whole blocks; how many bytes it took. */
static size_t feed_lanes(struct hash_state *state, SHA256_CTX *own, const uint8_t *source, size_t size) {
  int wants_sha = (state->algorithms & HASH_SHA256) != 0;
  SHA256_CTX *first = wants_sha ? &state->sha256 : own, *second = wants_sha ? own : NULL;
  if (!lanes_have_sha() || !(state->algorithms & HASH_MD5) || !first || state->md5.num != 0 || first->num != 0) return 0;
  if (second && second->num != 0) return 0;
  size_t taken = size & ~(size_t)63;
  lanes_blocks(state->md5.h, first->h, second ? second->h : NULL, source, taken / 64);
  count_fed(&state->md5.Nl, &state->md5.Nh, taken);
  count_fed(&first->Nl, &first->Nh, taken);
  if (second) count_fed(&second->Nl, &second->Nh, taken);
  return taken;
}

/* `own`: of the source alone, or NULL. */
static void feed_block(struct hash_state *state, SHA256_CTX *own, const uint8_t *source, size_t size) {
  uint32_t wanted = state->algorithms;
  if (wanted & HASH_SHA1) SHA1_Update(&state->sha1, source, size);
  if (wanted & HASH_CRC32) state->crc32 = crc32_gzip_refl(state->crc32, source, size);
  if (wanted & HASH_CRC32C) state->crc32c = crc32_iscsi((unsigned char *)source, (int)size, state->crc32c);
  if (wanted & HASH_CRC64NVME) state->crc64 = crc64_update(state->crc64, source, size);
  size_t taken = feed_lanes(state, own, source, size);
  if (taken == size) return;
  source += taken, size -= taken;
  if (wanted & HASH_MD5) MD5_Update(&state->md5, source, size);
  if (wanted & HASH_SHA256) SHA256_Update(&state->sha256, source, size);
  if (own) SHA256_Update(own, source, size);
}

void hash_job(struct hash_states *states, struct arena *arena, struct record *record) {
  uint64_t size = record->source_size;
  const uint8_t *source = arena_at(arena, record->source_offset, size);
  struct hash_state *state = record->flags & FLAG_STATE ? find(states, record->state) : NULL;
  if (!source || (record->flags & FLAG_STATE && !state)) return fail(record, STATUS_BAD_ARGUMENT, 0);
  int wants_own = (record->flags & FLAG_OWN) != 0;
  /* A fresh SHA-256 of the stream is, after this job, also that of the source alone. */
  int is_shared = wants_own && state && state->fed == 0 && state->algorithms & HASH_SHA256;
  SHA256_CTX own;
  SHA256_Init(&own);
  for (uint64_t at = 0; at < size; at += BLOCK_SIZE) {
    size_t part = size - at < BLOCK_SIZE ? size - at : BLOCK_SIZE;
    if (state) feed_block(state, wants_own && !is_shared ? &own : NULL, source + at, part);
    else if (wants_own) SHA256_Update(&own, source + at, part);
  }
  if (is_shared) own = state->sha256;
  if (state) state->fed += size;
  if (wants_own) SHA256_Final(record->digest, &own);
}

static uint8_t *put_big_endian(uint8_t *target, uint64_t n, int size) {
  for (int i = 0; i < size; i++) target[i] = (uint8_t)(n >> 8 * (size - 1 - i));
  return target + size;
}

void hash_digest(struct hash_states *states, struct record *record) {
  const struct hash_state *state = find(states, record->state);
  if (!state) return fail(record, STATUS_BAD_ARGUMENT, 0);
  MD5_CTX md5 = state->md5;
  SHA256_CTX sha256 = state->sha256;
  SHA_CTX sha1 = state->sha1;
  uint8_t *at = record->digest;
  MD5_Final(at, &md5);
  SHA256_Final(at + 16, &sha256);
  SHA1_Final(at + 48, &sha1);
  at = put_big_endian(at + 68, state->crc32, 4);
  at = put_big_endian(at, ~state->crc32c, 4);
  put_big_endian(at, ~state->crc64, 8);
}
