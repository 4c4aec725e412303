/*
 * Before the first use of a file in a process: members that hold an older or shorter state are made equal
 * to the best, and a WAL is cut behind its last good frame or found damaged (KEYS §3).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sealed-sqlite.h"

static uint64_t size_of(const Node *node, int member) {
  struct stat status;
  if (node->fds[member] < 0 || fstat(node->fds[member], &status) != 0) return 0;
  return (uint64_t)status.st_size;
}

static int sync_all(Node *node) { return node_sync(node, NULL, 0, 0); }

/* ---- main file */

/* SQLite's change counter out of page 1; -1: page 1 does not open, -2: there is none, -3: slot closed. */
static int64_t change_counter(const Node *node, const KeySource *keys, int member) {
  uint8_t sealed[page_size], plain[page_size];
  Place place = page_place(1);
  if (node_read(node, member, sealed, page_size, 0) != page_size) return -2;
  int opened = page_open(keys, &place, sealed, plain);
  if (opened < 0) return -3;
  return opened ? (int64_t)read_be32(plain + 24) : -1;
}

/* Copies [from, size) page by page, page 1 last: a copy that was cut short has no page 1, and is made again. */
static int copy_range(Node *node, int source, int target, uint64_t from, uint64_t size) {
  uint8_t page[page_size];
  for (uint64_t offset = from ? from : page_size; offset < size; offset += page_size) {
    size_t got = node_read(node, source, page, page_size, offset);
    if (got == 0) break;
    node_repair(node, target, page, got, offset);
  }
  if (from == 0 && node_read(node, source, page, page_size, 0) == page_size) {
    int code = sync_all(node);
    if (code != SQLITE_OK) return code;
    node_repair(node, target, page, page_size, 0);
  }
  return SQLITE_OK;
}

static int replace_member(Node *node, int source, int target) {
  char name[name_max + 8];
  strcpy(name, node->name), strcat(name, "-wal");
  int directory = node->set->members[target].directory;
  if (ftruncate(node->fds[target], 0) != 0 || (unlinkat(directory, name, 0) != 0 && fsync(directory) != 0))
    return SQLITE_IOERR_TRUNCATE;
  atomic_fetch_add(&node->set->healed_files, 1);
  return copy_range(node, source, target, 0, size_of(node, source));
}

static int restore_page_one(Node *node, const KeySource *keys);

int main_recover(Node *node, const KeySource *keys) {
  uint32_t live = set_live(node->set);
  int64_t counters[members_max], best = -4;
  int source = -1;
  for (int i = 0; i < node->set->count; i++) {
    if (!(live >> i & 1)) continue;
    counters[i] = change_counter(node, keys, i);
    if (counters[i] == -3) return SQLITE_IOERR_READ;
    if (counters[i] > best) best = counters[i], source = i;
    else if (counters[i] == best && size_of(node, i) > size_of(node, source)) source = i;
  }
  if (best < 0) return restore_page_one(node, keys);
  bool is_changed = false;
  for (int i = 0; i < node->set->count; i++) {
    if (!(live >> i & 1) || i == source) continue;
    uint64_t own = size_of(node, i), wanted = size_of(node, source);
    int code = SQLITE_OK;
    if (counters[i] < best && counters[i] != -1) code = replace_member(node, source, i);
    else if (own < wanted) code = copy_range(node, source, i, own - own % page_size, wanted);
    else continue;
    if (code != SQLITE_OK) return code;
    is_changed = true;
  }
  return is_changed ? sync_all(node) : SQLITE_OK;
}

/* ---- WAL */

typedef struct {
  uint32_t s0, s1;
} Sums;

/* SQLite's checksum over pairs of words, in the byte order that the WAL header's magic names. */
static Sums checksum(Sums sums, bool is_big_endian, const uint8_t *source, size_t size) {
  for (size_t i = 0; i < size; i += 8) {
    uint32_t a = is_big_endian ? read_be32(source + i) : read_le32(source + i);
    uint32_t b = is_big_endian ? read_be32(source + i + 4) : read_le32(source + i + 4);
    sums.s0 += a + sums.s1;
    sums.s1 += b + sums.s0;
  }
  return sums;
}

typedef struct {
  Node *node;
  const KeySource *keys;
  uint8_t header[wal_header_size];
  bool is_big_endian, is_closed;
  Sums sums; /* of the frames so far */
} Recovery;

static bool header_is_valid(const uint8_t *header) {
  uint32_t magic = read_be32(header);
  if ((magic & ~1u) != 0x377f0682 || read_be32(header + 8) != page_size) return false;
  Sums sums = checksum((Sums){0, 0}, magic & 1, header, 24);
  return sums.s0 == read_be32(header + 24) && sums.s1 == read_be32(header + 28);
}

static bool frame_opens(Recovery *at, const uint8_t *raw, uint64_t offset, uint8_t *plain) {
  Place place = frame_place(raw, raw + 8, offset);
  int opened = page_open(at->keys, &place, raw + frame_header_size, plain);
  if (opened < 0) at->is_closed = true;
  return opened > 0;
}

/* Salts, tag and running checksum of the next frame; moves the checksum on. */
static bool frame_is_next(Recovery *at, const uint8_t *raw, uint64_t offset) {
  uint8_t plain[page_size], mask[8], sum_bytes[8];
  if (memcmp(raw + 8, at->header + 16, 8) != 0 || !frame_opens(at, raw, offset, plain)) return false;
  if (!frame_mask(at->keys->slot, raw + 8, offset, read_be32(raw), mask)) {
    at->is_closed = true;
    return false;
  }
  Sums sums = checksum(at->sums, at->is_big_endian, raw, 8);
  sums = checksum(sums, at->is_big_endian, plain, page_size);
  for (int i = 0; i < 8; i++) sum_bytes[i] = raw[16 + i] ^ mask[i];
  if (sums.s0 != read_be32(sum_bytes) || sums.s1 != read_be32(sum_bytes + 4)) return false;
  at->sums = sums;
  return true;
}

static uint64_t longest(const Node *node) {
  uint64_t size = 0;
  for (int i = 0; i < node->set->count; i++) {
    uint64_t own = size_of(node, i);
    if (set_live(node->set) >> i & 1 && own > size) size = own;
  }
  return size;
}

static void start(Recovery *at, const uint8_t *header) {
  memcpy(at->header, header, wal_header_size);
  at->is_big_endian = read_be32(header) & 1;
  at->sums = (Sums){read_be32(header + 24), read_be32(header + 28)};
}

/* Is there, behind `offset`, a frame of these salts that was written after a sync? Then what is bad was synced. */
static bool is_damage(Recovery *at, uint64_t offset, bool any) {
  uint8_t raw[frame_size], plain[page_size];
  for (uint64_t end = longest(at->node); offset + frame_size <= end; offset += frame_size) {
    for (int i = 0; i < at->node->set->count; i++) {
      if (node_read(at->node, i, raw, frame_size, offset) != frame_size) continue;
      if (!any && memcmp(raw + 8, at->header + 16, 8) != 0) continue;
      if (!any && !(page_generation(raw + frame_header_size) & 1)) continue;
      if (frame_opens(at, raw, offset, plain)) return true;
    }
  }
  return false;
}

/* Headers differ after a crash in a restart of the WAL (then the new one has no frames yet), else by an old copy. */
static int choose_header(Recovery *at, uint32_t live) {
  uint8_t header[wal_header_size], raw[frame_size], chosen[wal_header_size];
  int with_frames = 0, without_frames = 0;
  for (int i = 0; i < at->node->set->count; i++) {
    if (!(live >> i & 1) || node_read(at->node, i, header, wal_header_size, 0) != wal_header_size) continue;
    if (!header_is_valid(header)) continue;
    if (with_frames + without_frames > 0 && memcmp(header, chosen, wal_header_size) == 0) continue;
    bool has_frame = false;
    start(at, header);
    for (int j = 0; j < at->node->set->count && !has_frame; j++)
      has_frame = live >> j & 1 && node_read(at->node, j, raw, frame_size, wal_header_size) == frame_size &&
                  frame_is_next(at, raw, wal_header_size);
    if (!has_frame || with_frames + without_frames == 0) memcpy(chosen, header, wal_header_size);
    if (has_frame) with_frames++;
    else without_frames++;
  }
  if (at->is_closed) return SQLITE_IOERR_READ;
  if (with_frames > 1) return SQLITE_IOERR_DATA;
  if (with_frames + without_frames == 0) return SQLITE_NOTFOUND;
  start(at, chosen);
  return SQLITE_OK;
}

/* The frame at `offset` out of the first member that has it, put on those that differ. */
static bool merge_frame(Recovery *at, uint32_t live, uint64_t offset, bool *is_changed) {
  Node *node = at->node;
  uint8_t raw[frame_size], other[frame_size];
  int good = -1;
  for (int i = 0; i < node->set->count && good < 0; i++)
    if (live >> i & 1 && node_read(node, i, raw, frame_size, offset) == frame_size && frame_is_next(at, raw, offset))
      good = i;
  if (good < 0) return false;
  for (int i = 0; i < node->set->count; i++) {
    if (!(live >> i & 1) || i == good) continue;
    if (node_read(node, i, other, frame_size, offset) == frame_size && memcmp(raw, other, frame_size) == 0) continue;
    node_repair(node, i, raw, frame_size, offset);
    atomic_fetch_add(&node->set->healed_frames, 1);
    *is_changed = true;
  }
  return true;
}

static int cut(Node *node, uint64_t size) {
  int code = node_truncate(node, size);
  return code == SQLITE_OK ? sync_all(node) : code;
}

int wal_recover(Node *node, const KeySource *keys) {
  uint32_t live = set_live(node->set);
  uint64_t end = longest(node), offset = wal_header_size;
  if (end == 0) return SQLITE_OK;
  Recovery at = {.node = node, .keys = keys};
  int code = choose_header(&at, live);
  if (code == SQLITE_NOTFOUND) code = is_damage(&at, offset, true) ? SQLITE_IOERR_DATA : cut(node, 0);
  if (at.is_closed) return SQLITE_IOERR_READ;
  if (code == SQLITE_IOERR_DATA) atomic_fetch_add(&node->set->damaged, 1);
  if (code != SQLITE_OK || longest(node) == 0) return code;
  memcpy(node->salts, at.header + 16, sizeof node->salts);
  bool is_changed = false;
  for (int i = 0; i < node->set->count; i++) {
    uint8_t header[wal_header_size];
    if (!(live >> i & 1)) continue;
    if (node_read(node, i, header, wal_header_size, 0) == wal_header_size &&
        memcmp(header, at.header, wal_header_size) == 0)
      continue;
    node_repair(node, i, at.header, wal_header_size, 0);
    is_changed = true;
  }
  while (offset + frame_size <= end && merge_frame(&at, live, offset, &is_changed)) offset += frame_size;
  if (at.is_closed) return SQLITE_IOERR_READ;
  if (is_damage(&at, offset + frame_size, false)) {
    atomic_fetch_add(&node->set->damaged, 1);
    return SQLITE_IOERR_DATA;
  }
  if (at.is_closed) return SQLITE_IOERR_READ;
  if (end > offset) return cut(node, offset);
  return is_changed ? sync_all(node) : SQLITE_OK;
}

/* ---- page 1 out of the WAL */

/* The last page 1 that a commit covers, opened; 1 found, 0 none, -1 slot closed. */
static int committed_page_one(Node *wal, const KeySource *keys, uint8_t *plain) {
  uint8_t raw[frame_size];
  uint64_t last = 0, committed = 0, end = longest(wal);
  uint32_t live = set_live(wal->set);
  if (!live) return 0;
  int member = __builtin_ctz(live);
  for (uint64_t offset = wal_header_size; offset + frame_size <= end; offset += frame_size) {
    if (node_read(wal, member, raw, frame_header_size, offset) != frame_header_size) break;
    if (read_be32(raw) == 1) last = offset;
    if (read_be32(raw + 4) != 0) committed = last;
  }
  if (!committed || node_read(wal, member, raw, frame_size, committed) != frame_size) return 0;
  Place place = frame_place(raw, wal->salts, committed);
  return page_open(keys, &place, raw + frame_header_size, plain);
}

/*
 * A power cut in a checkpoint may have torn page 1, which SQLite reads before it looks at the WAL: the WAL
 * still has it. Where it has not, the first read says that page 1 is damaged.
 */
static int restore_page_one(Node *node, const KeySource *keys) {
  Node *wal = calloc(1, sizeof *wal);
  if (!wal) return SQLITE_NOMEM;
  wal->set = node->set, wal->is_wal = true;
  strcpy(wal->name, node->name), strcat(wal->name, "-wal");
  pthread_mutex_init(&wal->io, NULL);
  uint32_t live = set_live(node->set);
  bool is_everywhere = live != 0;
  for (int i = 0; i < members_max; i++) {
    bool is_live = i < node->set->count && live >> i & 1;
    wal->fds[i] = is_live ? openat(node->set->members[i].directory, wal->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (is_live && wal->fds[i] < 0) is_everywhere = false;
  }
  int code = is_everywhere ? wal_recover(wal, keys) : SQLITE_OK;
  uint8_t plain[page_size], sealed[page_size];
  Place place = page_place(1);
  if (is_everywhere && code == SQLITE_OK && committed_page_one(wal, keys, plain) > 0 &&
      page_seal(keys, node_generation(node), &place, plain, sealed)) {
    code = node_write(node, sealed, page_size, 0);
    if (code == SQLITE_OK) code = sync_all(node);
    atomic_fetch_add(&node->set->healed_pages, 1);
  }
  for (int i = 0; i < members_max; i++)
    if (wal->fds[i] >= 0) close(wal->fds[i]);
  pthread_mutex_destroy(&wal->io);
  free(wal);
  return code;
}
