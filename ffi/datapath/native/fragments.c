#include "fragments.h"

#include "erasure-code.h"

#include <errno.h>
#include <string.h>

static uint8_t *room_at(const struct fragments *fragments, uint32_t number) {
  return fragments->scratch + (size_t)number * fragments->room_size;
}
static uint8_t *header_room(const struct fragments *fragments) { return fragments->scratch + SCRATCH_SIZE - 4 * PAGE_SIZE; }

uint8_t *spare_room(struct fragments *fragments, uint32_t number) {
  return room_at(fragments, (fragments->geometry.copies ? 1 : fragments->geometry.total) + number);
}

static int is_sane(const struct fragments *fragments, const struct fragment *source) {
  const struct geometry *geometry = &fragments->geometry;
  if (source->index >= (geometry->copies ? FRAGMENTS_MAX : geometry->total)) return 0;
  if (source->size != stored_size(geometry, source->index)) return 0;
  return source->header_size <= HEADER_SIZE_MAX && source->offset >= source->header_size && source->offset < (uint64_t)1 << 53;
}

int fragments_open(struct fragments *fragments, struct devices *devices, struct record *record, uint8_t *scratch) {
  *fragments = (struct fragments){.devices = devices, .record = record, .scratch = scratch};
  if (geometry_of(record, &fragments->geometry) != 0 || record->fragment_count > FRAGMENTS_MAX) return -1;
  for (uint32_t i = 0; i < record->fragment_count; i++) {
    if (!is_sane(fragments, &record->fragments[i])) return -1;
    record->fragments[i].fault = FAULT_NONE;
  }
  const struct geometry *geometry = &fragments->geometry;
  uint32_t rooms = geometry->copies ? 1 : geometry->total + geometry->parity;
  fragments->room_size = round_up(HEADER_SIZE_MAX + geometry->fragment, PAGE_SIZE) + 2 * PAGE_SIZE;
  size_t joined = SEALED_SEGMENT_SIZE;
  return rooms * fragments->room_size + joined + 4 * PAGE_SIZE <= SCRATCH_SIZE ? 0 : -1;
}

/* A read that found nothing in the page cache says so of the whole job; its fault counts for nothing then. */
static uint8_t *fetch_for(struct devices *devices, struct record *record, uint32_t slot, uint64_t offset, size_t size,
                          uint8_t *room) {
  uint8_t *bytes = device_fetch(devices, slot, offset, size, room, (record->flags & FLAG_CACHED) != 0);
  if (!bytes && errno == EAGAIN && record->flags & FLAG_CACHED) fail(record, STATUS_BUSY, 0);
  return bytes;
}

enum fault load_entry(struct devices *devices, struct record *record, uint32_t entry, uint32_t start, uint32_t end,
                      uint8_t *room, uint8_t *header_room, uint8_t **at) {
  const struct fragment *source = &record->fragments[entry];
  uint32_t header_size = source->header_size;
  const uint8_t *header = record->headers[entry];
  uint8_t *bytes;
  if (start == 0) { /* in one read with the header */
    bytes = room;
    if (header_size + end > 0) bytes = fetch_for(devices, record, source->device, source->offset - header_size, header_size + end, room);
    if (!bytes) return FAULT_IO;
    if (memcmp(bytes, header, header_size) != 0) return FAULT_HEADER;
    bytes += header_size;
  } else {
    if (header_size > 0) {
      uint8_t *found = fetch_for(devices, record, source->device, source->offset - header_size, header_size, header_room);
      if (!found) return FAULT_IO;
      if (memcmp(found, header, header_size) != 0) return FAULT_HEADER;
    }
    bytes = fetch_for(devices, record, source->device, source->offset + start, end - start, room);
    if (!bytes) return FAULT_IO;
  }
  if (start == 0 && end == source->size && crc32c(bytes, end) != source->crc) return FAULT_CRC;
  *at = bytes;
  return FAULT_NONE;
}

int fragments_load(struct fragments *fragments, uint32_t index, uint32_t start, uint32_t end) {
  struct piece *piece = &fragments->piece[index];
  uint32_t stored = stored_size(&fragments->geometry, index), stop = end < stored ? end : stored;
  uint8_t *room = room_at(fragments, index);
  if (piece->at && piece->start <= start && end <= piece->end) return 0;
  *piece = (struct piece){.entry = NO_ENTRY};
  if (start >= stored) { /* nothing of it is stored: zeros, without a read */
    memset(room, 0, end - start);
    *piece = (struct piece){room, start, end, NO_ENTRY};
    return 0;
  }
  for (uint32_t entry = 0; entry < fragments->record->fragment_count; entry++) {
    struct fragment *source = &fragments->record->fragments[entry];
    if (source->index != index || source->fault != FAULT_NONE) continue;
    uint8_t *at;
    source->fault = load_entry(fragments->devices, fragments->record, entry, start, stop, room, header_room(fragments), &at);
    if (source->fault != FAULT_NONE) continue;
    memset(at + (stop - start), 0, end - stop);
    *piece = (struct piece){at, start, end, entry};
    return 0;
  }
  return -1;
}

uint32_t fragments_load_whole(struct fragments *fragments, uint32_t enough) {
  uint32_t good = 0;
  for (uint32_t i = 0; i < fragments->geometry.total && (uint32_t)__builtin_popcount(good) < enough; i++)
    if (fragments_load(fragments, i, 0, fragments->geometry.fragment) == 0) good |= 1u << i;
  return good;
}

int fragments_make(struct fragments *fragments, uint32_t present, uint32_t wanted, uint32_t start, uint32_t end,
                   struct piece *made) {
  const struct geometry *geometry = &fragments->geometry;
  uint32_t from[FRAGMENTS_MAX], to[FRAGMENTS_MAX], have = 0, count = 0;
  uint8_t *sources[FRAGMENTS_MAX], *targets[FRAGMENTS_MAX];
  for (uint32_t i = 0; i < geometry->total; i++) {
    const struct piece *piece = &fragments->piece[i];
    if (present >> i & 1) {
      from[have] = i;
      sources[have++] = piece->at + (start - piece->start);
    }
    if (wanted >> i & 1) {
      if (count == geometry->parity) return -1;
      targets[count] = spare_room(fragments, count);
      made[i] = (struct piece){targets[count], start, end, NO_ENTRY};
      to[count++] = i;
    }
  }
  if (have != geometry->data) return -1;
  return ec_recover(geometry->data, geometry->parity, end - start, from, sources, to, count, targets);
}
