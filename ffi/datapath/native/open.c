/* open: read what the wanted segments need, check, decode where fragments lack, decrypt. fetch: the same without keys.
 *
 * Three attempts, each reading more: the data fragments alone; the same columns of other fragments for those that are
 * bad; everything whole, by every set of k fragments, when a tag is wrong. Plaintext goes to the target only after its
 * tag held, never over ciphertext that another attempt may need.
 *
 * Without a key no tag is seen, so there is no third attempt: FLAG_VERIFY asks for whole fragments, whose CRCs tell. */
#include "fragments.h"

#include <string.h>

struct opening {
  struct fragments fragments;
  struct sealer *sealer; /* NULL: sealed segments are wanted as they are */
  uint8_t *target;
  uint32_t first, end;               /* segments */
  int is_whole;                      /* fragments are read from end to end */
  struct piece view[FRAGMENTS_MAX];  /* where the data fragments' bytes lie for this attempt */
};
struct columns { uint32_t start, end; };

static struct columns wanted_of(const struct opening *opening, uint32_t index) {
  const struct geometry *geometry = &opening->fragments.geometry;
  uint64_t start = (uint64_t)opening->first * SEALED_SEGMENT_SIZE, end = (uint64_t)opening->end * SEALED_SEGMENT_SIZE;
  uint64_t from = (uint64_t)index * geometry->fragment, to = from + stored_size(geometry, index);
  if (start < from) start = from;
  if (end > to) end = to;
  if (start >= end) return (struct columns){0, 0};
  if (opening->is_whole) return (struct columns){0, geometry->copies ? geometry->sealed : geometry->fragment};
  return (struct columns){(uint32_t)(start - from), (uint32_t)(end - from)};
}

/* Bytes of one sealed segment, joined in a spare room when it lies in several fragments. */
static const uint8_t *segment_bytes(struct opening *opening, uint32_t segment) {
  struct geometry *geometry = &opening->fragments.geometry;
  uint32_t at = segment * SEALED_SEGMENT_SIZE, left = segment_plain_size(geometry, segment) + SEGMENT_OVERHEAD;
  const struct piece *piece = &opening->view[at / geometry->fragment];
  if (at % geometry->fragment + left <= geometry->fragment) return piece->at + (at % geometry->fragment - piece->start);
  uint8_t *joined = spare_room(&opening->fragments, geometry->parity), *next = joined;
  while (left > 0) {
    uint32_t offset = at % geometry->fragment, part = geometry->fragment - offset;
    if (part > left) part = left;
    piece = &opening->view[at / geometry->fragment];
    memcpy(next, piece->at + (offset - piece->start), part);
    next += part;
    at += part;
    left -= part;
  }
  return joined;
}

static int copy_segments(struct opening *opening) {
  for (uint32_t segment = opening->first; segment < opening->end; segment++) {
    uint8_t *target = opening->target + (size_t)(segment - opening->first) * SEALED_SEGMENT_SIZE;
    memcpy(target, segment_bytes(opening, segment), segment_plain_size(&opening->fragments.geometry, segment) + SEGMENT_OVERHEAD);
  }
  return 0;
}

static int open_segments(struct opening *opening) {
  if (!opening->sealer) return copy_segments(opening);
  for (uint32_t segment = opening->first; segment < opening->end; segment++) {
    uint8_t *plain = opening->target + (size_t)(segment - opening->first) * SEGMENT_SIZE;
    if (open_segment(opening->sealer, &opening->fragments.geometry, segment, segment_bytes(opening, segment), plain) != 0)
      return -1;
  }
  return 0;
}

/* --- copies --------------------------------------------------------------------------------------------------------------- */

static int open_from_copy(struct opening *opening, uint32_t entry, uint32_t start, uint32_t end) {
  struct fragments *fragments = &opening->fragments;
  struct fragment *source = &fragments->record->fragments[entry];
  uint8_t *header_room = fragments->scratch + SCRATCH_SIZE - 4 * PAGE_SIZE, *at;
  source->fault = load_entry(fragments->devices, fragments->record, entry, start, end, fragments->scratch, header_room, &at);
  if (source->fault != FAULT_NONE) return -1;
  opening->view[0] = (struct piece){at, start, end, entry};
  return open_segments(opening);
}

static enum outcome open_copies(struct opening *opening) {
  struct record *record = opening->fragments.record;
  struct columns wanted = wanted_of(opening, 0);
  uint32_t whole = opening->fragments.geometry.sealed;
  int has_wrong_tag = 0;
  for (uint32_t entry = 0; entry < record->fragment_count; entry++) {
    if (open_from_copy(opening, entry, wanted.start, wanted.end) == 0) return OUTCOME_DONE;
    if (record->fragments[entry].fault != FAULT_NONE) continue;
    /* A tag is wrong: only the CRC of the whole tells whether the medium lied. */
    if (open_from_copy(opening, entry, 0, whole) == 0) return OUTCOME_DONE;
    if (record->fragments[entry].fault != FAULT_NONE) continue;
    record->fragments[entry].fault = FAULT_TAG;
    has_wrong_tag = 1;
  }
  return has_wrong_tag ? OUTCOME_TAMPERED : OUTCOME_LOST;
}

/* --- erasure-coded -------------------------------------------------------------------------------------------------------- */

/* Loads what each data fragment must give; returns the bit set of those that cannot, and the columns they lack. */
static uint32_t load_wanted(struct opening *opening, struct columns *lacking) {
  uint32_t bad = 0;
  *lacking = (struct columns){UINT32_MAX, 0};
  for (uint32_t i = 0; i < opening->fragments.geometry.data; i++) {
    struct columns wanted = wanted_of(opening, i);
    if (wanted.end == 0 || fragments_load(&opening->fragments, i, wanted.start, wanted.end) == 0) continue;
    bad |= 1u << i;
    if (wanted.start < lacking->start) lacking->start = wanted.start;
    if (wanted.end > lacking->end) lacking->end = wanted.end;
  }
  return bad;
}

/* k fragments, none of `bad`, of which the lacking columns are here too; fewer when there are no more. */
static uint32_t load_columns(struct opening *opening, uint32_t bad, struct columns lacking) {
  uint32_t present = 0;
  const struct geometry *geometry = &opening->fragments.geometry;
  for (uint32_t i = 0; i < geometry->total && (uint32_t)__builtin_popcount(present) < geometry->data; i++) {
    struct columns all = lacking, wanted = i < geometry->data ? wanted_of(opening, i) : (struct columns){0, 0};
    if (bad >> i & 1) continue;
    if (wanted.end > 0 && wanted.start < all.start) all.start = wanted.start;
    if (wanted.end > all.end) all.end = wanted.end;
    if (fragments_load(&opening->fragments, i, all.start, all.end) == 0) present |= 1u << i;
  }
  return present;
}

static void view_fragments(struct opening *opening, uint32_t made) {
  for (uint32_t i = 0; i < opening->fragments.geometry.data; i++)
    if (!(made >> i & 1)) opening->view[i] = opening->fragments.piece[i];
}

/* The first two attempts. 0 opened, 1 a tag is wrong, -1 too few fragments. */
static int open_quickly(struct opening *opening) {
  struct fragments *fragments = &opening->fragments;
  struct columns lacking;
  uint32_t bad = load_wanted(opening, &lacking), last = 0;
  while (bad != last) { /* a fragment may turn out bad when more of it is read */
    uint32_t present = load_columns(opening, bad, lacking);
    if ((uint32_t)__builtin_popcount(present) < fragments->geometry.data) return -1;
    last = bad;
    bad = load_wanted(opening, &lacking);
    if (bad == last && fragments_make(fragments, present, bad, lacking.start, lacking.end, opening->view) != 0) return -1;
  }
  view_fragments(opening, bad);
  return open_segments(opening) == 0 ? 0 : 1;
}

/* After a set of fragments has opened: those with a right CRC that do not fit to it were tampered with. */
static void blame_strangers(struct opening *opening, uint32_t present, uint32_t good) {
  struct fragments *fragments = &opening->fragments;
  uint32_t size = fragments->geometry.fragment;
  for (uint32_t i = 0; i < fragments->geometry.total; i++) {
    struct piece made[FRAGMENTS_MAX];
    const struct piece *piece = &fragments->piece[i];
    if (present >> i & 1 || !(good >> i & 1) || piece->entry == NO_ENTRY) continue;
    if (fragments_make(fragments, present, 1u << i, 0, size, made) == 0 && memcmp(made[i].at, piece->at, size) != 0)
      fragments->record->fragments[piece->entry].fault = FAULT_TAG;
  }
}

static enum outcome open_by_sets(struct opening *opening) {
  struct fragments *fragments = &opening->fragments;
  const struct geometry *geometry = &fragments->geometry;
  uint32_t good = fragments_load_whole(fragments, geometry->total);
  if ((uint32_t)__builtin_popcount(good) < geometry->data) return OUTCOME_LOST;
  for (uint32_t present = good & -good; present <= good; present++) { /* data fragments first */
    if ((present & ~good) != 0 || (uint32_t)__builtin_popcount(present) != geometry->data) continue;
    uint32_t lacking = ~present & ((1u << geometry->data) - 1);
    if (fragments_make(fragments, present, lacking, 0, geometry->fragment, opening->view) != 0) continue;
    view_fragments(opening, lacking);
    if (open_segments(opening) != 0) continue;
    blame_strangers(opening, present, good);
    return OUTCOME_DONE;
  }
  return OUTCOME_TAMPERED;
}

static enum outcome open_coded(struct opening *opening) {
  int result = open_quickly(opening);
  if (result == 0) return OUTCOME_DONE;
  return result < 0 ? OUTCOME_LOST : open_by_sets(opening);
}

/* `overhead`: what each segment has in the target beside its plaintext. */
static void run(struct opening *opening, struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch,
                uint32_t overhead) {
  opening->first = record->segment_first;
  opening->end = record->segment_end;
  if (fragments_open(&opening->fragments, devices, record, scratch) == 0 && opening->first < opening->end &&
      opening->end <= opening->fragments.geometry.segments) {
    uint32_t last = opening->end - 1;
    uint64_t needed = (uint64_t)(last - opening->first) * (SEGMENT_SIZE + overhead) +
                      segment_plain_size(&opening->fragments.geometry, last) + overhead;
    opening->target = needed <= record->target_size ? arena_at(arena, record->target_offset, record->target_size) : NULL;
  }
  if (!opening->target) return fail(record, STATUS_BAD_ARGUMENT, 0);
  record->outcome = opening->fragments.geometry.copies ? open_copies(opening) : open_coded(opening);
}

void open_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch) {
  struct opening opening = {.sealer = sealer_open(record)};
  if (opening.sealer) run(&opening, devices, arena, record, scratch, 0);
  else fail(record, STATUS_BAD_ARGUMENT, 0);
  sealer_close(opening.sealer);
}

void fetch_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch) {
  struct opening opening = {.is_whole = (record->flags & FLAG_VERIFY) != 0};
  run(&opening, devices, arena, record, scratch, SEGMENT_OVERHEAD);
}
