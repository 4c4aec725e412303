/* rebuild and verify: work on sealed bytes alone, without keys. */
#include "fragments.h"

#include "erasure-code.h"

#include <string.h>

static int rebuild_copies(struct fragments *fragments, uint8_t *payload) {
  struct record *record = fragments->record;
  uint32_t size = fragments->geometry.sealed;
  uint8_t *header_room = fragments->scratch + SCRATCH_SIZE - 4 * PAGE_SIZE, *at;
  for (uint32_t entry = 0; entry < record->fragment_count; entry++) {
    enum fault fault = load_entry(fragments->devices, record, entry, 0, size, fragments->scratch, header_room, &at);
    record->fragments[entry].fault = fault;
    if (fault != FAULT_NONE) continue;
    memcpy(payload, at, size);
    return 0;
  }
  return -1;
}

static int rebuild_coded(struct fragments *fragments, uint8_t *target) {
  const struct geometry *geometry = &fragments->geometry;
  uint32_t good = fragments_load_whole(fragments, geometry->data), from[FRAGMENTS_MAX], to[FRAGMENTS_MAX], have = 0, count = 0;
  uint8_t *sources[FRAGMENTS_MAX], *targets[FRAGMENTS_MAX];
  if ((uint32_t)__builtin_popcount(good) < geometry->data) return -1;
  for (uint32_t i = 0; i < geometry->total; i++) {
    if (good >> i & 1) {
      from[have] = i;
      sources[have++] = fragments->piece[i].at;
    }
    if (fragments->record->wanted >> i & 1) {
      to[count] = i;
      targets[count++] = target + (size_t)i * geometry->stride + fragments->record->header_room;
    }
  }
  return ec_recover(geometry->data, geometry->parity, geometry->fragment, from, sources, to, count, targets);
}

void rebuild_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch) {
  struct fragments fragments;
  if (fragments_open(&fragments, devices, record, scratch) != 0) return fail(record, STATUS_BAD_ARGUMENT, 0);
  const struct geometry *geometry = &fragments.geometry;
  uint32_t wanted = record->wanted, highest = wanted == 0 ? 0 : 31 - (uint32_t)__builtin_clz(wanted);
  uint32_t place = geometry->copies ? 0 : highest;
  uint64_t needed = (uint64_t)place * geometry->stride + record->header_room + geometry->fragment;
  uint8_t *target = needed <= record->target_size ? arena_at(arena, record->target_offset, record->target_size) : NULL;
  if (wanted == 0 || highest >= geometry->total || !target) return fail(record, STATUS_BAD_ARGUMENT, 0);
  int error = geometry->copies ? rebuild_copies(&fragments, target + record->header_room) : rebuild_coded(&fragments, target);
  if (error != 0) {
    record->outcome = OUTCOME_LOST;
    return;
  }
  for (uint32_t i = 0; i < geometry->total; i++) {
    if (!(wanted >> i & 1)) continue;
    uint32_t size = stored_size(geometry, i), at = (geometry->copies ? 0 : i) * geometry->stride + record->header_room;
    record->made[i] = (struct made){at, size, crc32c(target + at, size), 0};
  }
}

void verify_job(struct devices *devices, struct record *record, uint8_t *scratch) {
  struct fragment *source = &record->fragments[0];
  uint8_t *at;
  if (source->size > SEALED_SIZE_MAX || source->header_size > HEADER_SIZE_MAX || source->offset < source->header_size ||
      source->offset >= (uint64_t)1 << 53)
    return fail(record, STATUS_BAD_ARGUMENT, 0);
  source->fault = load_entry(devices, record, 0, 0, source->size, scratch, scratch + SCRATCH_SIZE - 4 * PAGE_SIZE, &at);
}
