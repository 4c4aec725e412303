/* Geometry and cipher of a sealed chunk (docs/formats/sealed-chunk.md), and the jobs that know no device: a chunk, sealed
 * already or not, into its fragments, sealed segments back into plaintext. */
#include "datapath.h"

#include "erasure-code.h"

#include <openssl/aead.h>
#include <openssl/mem.h>
#include <stdlib.h>
#include <string.h>

int geometry_of(const struct record *record, struct geometry *geometry) {
  uint32_t size = record->chunk_size, data = record->data, parity = record->parity, copies = record->copies;
  if (size == 0 || size > CHUNK_SIZE_MAX || record->header_room > 1 << 20) return -1;
  int is_copies = data == 0;
  if (is_copies ? copies == 0 || copies > FRAGMENTS_MAX || parity != 0 : !ec_known(data, parity)) return -1;
  uint32_t segments = (size + SEGMENT_SIZE - 1) / SEGMENT_SIZE, sealed = size + segments * SEGMENT_OVERHEAD, fragment;
  if (is_copies) fragment = sealed;
  else if (segments >= data) fragment = (segments + data - 1) / data * SEALED_SEGMENT_SIZE;
  else fragment = (uint32_t)round_up((sealed + data - 1) / data, 64);
  *geometry = (struct geometry){
      .size = size, .segments = segments, .sealed = sealed, .fragment = fragment, .copies = is_copies,
      .data = is_copies ? 1 : data, .parity = parity, .total = is_copies ? copies : data + parity,
      .stride = (uint32_t)round_up(record->header_room + fragment, 64),
  };
  return 0;
}

uint32_t stored_size(const struct geometry *geometry, uint32_t index) {
  if (geometry->copies || index >= geometry->data) return geometry->fragment;
  uint64_t start = (uint64_t)index * geometry->fragment;
  if (start >= geometry->sealed) return 0;
  uint64_t rest = geometry->sealed - start;
  return rest < geometry->fragment ? (uint32_t)rest : geometry->fragment;
}

uint32_t segment_plain_size(const struct geometry *geometry, uint32_t segment) {
  return segment + 1 < geometry->segments ? SEGMENT_SIZE : geometry->size - segment * SEGMENT_SIZE;
}

/* --- cipher --------------------------------------------------------------------------------------------------------------- */
enum { AAD_SIZE = 64 };
struct sealer {
  EVP_AEAD_CTX context;
  uint8_t aad[AAD_SIZE];
};

static void put_little_endian(uint8_t *target, uint64_t n, int size) {
  for (int i = 0; i < size; i++) target[i] = (uint8_t)(n >> 8 * i);
}

struct sealer *sealer_open(struct record *record) {
  struct sealer *sealer = calloc(1, sizeof *sealer);
  int is_ready = sealer && EVP_AEAD_CTX_init(&sealer->context, EVP_aead_aes_256_gcm(), record->dek, sizeof record->dek,
                                             TAG_SIZE, NULL);
  OPENSSL_cleanse(record->dek, sizeof record->dek);
  if (!is_ready) {
    free(sealer);
    return NULL;
  }
  memcpy(sealer->aad, record->chunk_id, 32);
  memcpy(sealer->aad + 32, record->seal_id, 16);
  return sealer;
}

void sealer_close(struct sealer *sealer) {
  if (!sealer) return;
  EVP_AEAD_CTX_cleanup(&sealer->context);
  OPENSSL_cleanse(sealer, sizeof *sealer);
  free(sealer);
}

static void bind(struct sealer *sealer, const struct geometry *geometry, uint32_t segment, uint8_t nonce[NONCE_SIZE]) {
  put_little_endian(sealer->aad + 48, segment, 4);
  put_little_endian(sealer->aad + 52, geometry->segments, 4);
  put_little_endian(sealer->aad + 56, geometry->size, 8);
  memset(nonce, 0, NONCE_SIZE - 4);
  for (int i = 0; i < 4; i++) nonce[NONCE_SIZE - 1 - i] = (uint8_t)(segment >> 8 * i); /* big-endian, as counters are */
}

int seal_segment(struct sealer *sealer, const struct geometry *geometry, uint32_t segment, const uint8_t *plain, uint8_t *target) {
  size_t size = segment_plain_size(geometry, segment), done = 0;
  bind(sealer, geometry, segment, target);
  int is_sealed = EVP_AEAD_CTX_seal(&sealer->context, target + NONCE_SIZE, &done, size + TAG_SIZE, target, NONCE_SIZE, plain,
                                    size, sealer->aad, AAD_SIZE);
  return is_sealed && done == size + TAG_SIZE ? 0 : -1;
}

int open_segment(struct sealer *sealer, const struct geometry *geometry, uint32_t segment, const uint8_t *sealed, uint8_t *plain) {
  size_t size = segment_plain_size(geometry, segment), done = 0;
  uint8_t nonce[NONCE_SIZE];
  bind(sealer, geometry, segment, nonce);
  /* The counter is known, so a stored nonce that differs is damage even before the tag is looked at. */
  int is_open = memcmp(nonce, sealed, NONCE_SIZE) == 0 &&
                EVP_AEAD_CTX_open(&sealer->context, plain, &done, size, nonce, NONCE_SIZE, sealed + NONCE_SIZE,
                                  size + TAG_SIZE, sealer->aad, AAD_SIZE) &&
                done == size;
  if (!is_open) memset(plain, 0, size);
  return is_open ? 0 : -1;
}

/* --- seal ----------------------------------------------------------------------------------------------------------------- */

static int overlap(uint64_t first, uint64_t first_size, uint64_t second, uint64_t second_size) {
  return first < second + second_size && second < first + first_size;
}

/* Where payloads go in the target. 0, or -1 when there is no room for them apart from `source_size` bytes of source. */
static int place_payloads(struct arena *arena, const struct record *record, const struct geometry *geometry,
                          uint64_t source_size, uint8_t **place) {
  uint32_t payloads = geometry->copies ? 1 : geometry->total;
  uint64_t needed = (uint64_t)(payloads - 1) * geometry->stride + record->header_room + geometry->fragment;
  uint8_t *target = arena_at(arena, record->target_offset, record->target_size);
  if (!target || needed > record->target_size) return -1;
  if (overlap(record->source_offset, source_size, record->target_offset, needed)) return -1;
  for (uint32_t i = 0; i < payloads; i++) place[i] = target + (size_t)i * geometry->stride + record->header_room;
  return 0;
}

/* Parity of the data fragments in their places, and what the caller is told of all. */
static void finish_payloads(struct record *record, const struct geometry *geometry, uint8_t **place) {
  uint32_t payloads = geometry->copies ? 1 : geometry->total;
  if (!geometry->copies) {
    uint64_t start = monotonic_ns();
    int error = ec_encode(geometry->data, geometry->parity, geometry->fragment, place, place + geometry->data);
    record->coding_us = micros_since(start);
    if (error != 0) return fail(record, STATUS_BAD_ARGUMENT, 0);
  }
  for (uint32_t i = 0; i < payloads; i++) {
    uint32_t size = stored_size(geometry, i), offset = record->header_room + (uint32_t)(place[i] - place[0]);
    record->made[i] = (struct made){offset, size, crc32c(place[i], size), 0};
  }
}

/* Fragments that are cut between segments take them at once; else all is sealed in `scratch` and scattered. */
static int seal_segments(struct sealer *sealer, const struct geometry *geometry, const uint8_t *plain, uint8_t **place,
                         uint8_t *scratch) {
  int is_between = geometry->copies || geometry->segments >= geometry->data;
  for (uint32_t segment = 0; segment < geometry->segments; segment++) {
    uint32_t at = segment * SEALED_SEGMENT_SIZE;
    uint8_t *target = is_between ? place[at / geometry->fragment] + at % geometry->fragment : scratch + at;
    if (seal_segment(sealer, geometry, segment, plain + (size_t)segment * SEGMENT_SIZE, target) != 0) return -1;
  }
  for (uint32_t i = 0; i < geometry->data; i++) {
    uint32_t stored = stored_size(geometry, i);
    if (!is_between) memcpy(place[i], scratch + (size_t)i * geometry->fragment, stored);
    memset(place[i] + stored, 0, geometry->fragment - stored);
  }
  return 0;
}

void seal_job(struct arena *arena, struct record *record, uint8_t *scratch) {
  struct sealer *sealer = sealer_open(record);
  struct geometry geometry;
  if (!sealer || geometry_of(record, &geometry) != 0 || geometry.size != record->source_size) {
    sealer_close(sealer);
    return fail(record, STATUS_BAD_ARGUMENT, 0);
  }
  const uint8_t *plain = arena_at(arena, record->source_offset, geometry.size);
  uint8_t *place[FRAGMENTS_MAX];
  int is_placed = plain && place_payloads(arena, record, &geometry, geometry.size, place) == 0;
  int error = is_placed ? seal_segments(sealer, &geometry, plain, place, scratch) : -1;
  sealer_close(sealer);
  if (error != 0) return fail(record, STATUS_BAD_ARGUMENT, 0);
  finish_payloads(record, &geometry, place);
}

/* --- code: what a client has sealed --------------------------------------------------------------------------------------- */

void code_job(struct arena *arena, struct record *record) {
  struct geometry geometry;
  if (geometry_of(record, &geometry) != 0 || geometry.sealed != record->source_size) return fail(record, STATUS_BAD_ARGUMENT, 0);
  const uint8_t *sealed = arena_at(arena, record->source_offset, geometry.sealed);
  uint8_t *place[FRAGMENTS_MAX];
  if (!sealed || place_payloads(arena, record, &geometry, geometry.sealed, place) != 0)
    return fail(record, STATUS_BAD_ARGUMENT, 0);
  put_little_endian(record->digest, crc32c(sealed, geometry.sealed), 4);
  for (uint32_t i = 0; i < geometry.data; i++) {
    uint32_t stored = stored_size(&geometry, i);
    memcpy(place[i], sealed + (size_t)i * geometry.fragment, stored);
    memset(place[i] + stored, 0, geometry.fragment - stored);
  }
  finish_payloads(record, &geometry, place);
}

/* --- unseal: what came over a wire ---------------------------------------------------------------------------------------- */

static enum outcome unseal_segments(struct sealer *sealer, const struct geometry *geometry, uint32_t first, uint32_t end,
                                    const uint8_t *sealed, uint8_t *target) {
  for (uint32_t segment = first; segment < end; segment++) {
    size_t number = segment - first;
    if (open_segment(sealer, geometry, segment, sealed + number * SEALED_SEGMENT_SIZE, target + number * SEGMENT_SIZE) == 0) continue;
    return OUTCOME_TAMPERED;
  }
  return OUTCOME_DONE;
}

/* Where a target of FLAG_OUTSIDE is, its offset is an address: memory of the caller's, who keeps it until the job has ended. */
static uint8_t *unseal_target(struct arena *arena, struct record *record, uint64_t sealed_size, uint64_t size) {
  if (record->flags & FLAG_OUTSIDE) return (uint8_t *)(uintptr_t)record->target_offset;
  if (overlap(record->source_offset, sealed_size, record->target_offset, size)) return NULL;
  return arena_at(arena, record->target_offset, record->target_size);
}

void unseal_job(struct arena *arena, struct record *record) {
  struct sealer *sealer = sealer_open(record);
  struct geometry geometry;
  uint32_t first = record->segment_first, end = record->segment_end;
  const uint8_t *sealed = NULL;
  uint8_t *target = NULL;
  uint64_t size = 0;
  if (sealer && geometry_of(record, &geometry) == 0 && geometry.copies && first < end && end <= geometry.segments) {
    size = (uint64_t)(end - 1 - first) * SEGMENT_SIZE + segment_plain_size(&geometry, end - 1);
    uint64_t sealed_size = size + (uint64_t)(end - first) * SEGMENT_OVERHEAD;
    if (record->source_size == sealed_size && size <= record->target_size) {
      sealed = arena_at(arena, record->source_offset, sealed_size);
      target = unseal_target(arena, record, sealed_size, size);
    }
  }
  if (sealed && target) record->outcome = unseal_segments(sealer, &geometry, first, end, sealed, target);
  else fail(record, STATUS_BAD_ARGUMENT, 0);
  if (record->outcome == OUTCOME_TAMPERED) OPENSSL_cleanse(target, size); /* all tags hold, or nothing is shown */
  sealer_close(sealer);
}
