/*
 * Frames of a WAL. SQLite writes a frame's header (24 bytes) and then its body (4096); both are held back
 * and go out in one piece at a sync, at a full buffer, at a read that needs them, and at each commit frame
 * when SQLite does not sync commits itself. The salts a frame is bound to are those of the WAL's header: in
 * a transaction that rewrites frames, SQLite puts zeros into the frames' headers until it commits. Bit 0 of a frame's generation marks the first frame written
 * after a sync: whatever lies before such a frame was on disk once (recover.c).
 */
#include <string.h>

#include "sealed-sqlite.h"

static bool is_frame_start(uint64_t offset) {
  return offset >= wal_header_size && (offset - wal_header_size) % frame_size == 0;
}

static bool mask_header(const File *file, uint8_t *header, uint64_t offset) {
  uint8_t mask[8];
  if (!frame_mask(file->keys.slot, file->node->salts, offset, read_be32(header), mask)) return false;
  for (int i = 0; i < 8; i++) header[16 + i] ^= mask[i];
  return true;
}

/* Readers of what lies before need no lock. */
static void hold_from(Node *node, uint64_t offset) {
  if (offset < atomic_load(&node->held_from)) atomic_store(&node->held_from, offset);
}

/* Under node->io. A header whose body has not come is written alone. */
int wal_flush(Node *node) {
  int code = SQLITE_OK;
  if (node->buffered > 0) code = node_write(node, node->buffer, node->buffered, node->buffer_offset);
  if (code == SQLITE_OK && node->has_pending)
    code = node_write(node, node->pending_header, frame_header_size, node->pending_offset);
  node->buffered = 0, node->has_pending = false;
  atomic_store(&node->held_from, UINT64_MAX);
  return code;
}

static int heal_frame(File *file, uint64_t offset, uint8_t *raw, uint8_t *plain) {
  Node *node = file->node;
  uint8_t scratch[frame_size];
  uint32_t bad = 0;
  int good = -1, opened = 0;
  pthread_mutex_lock(&node->io);
  uint32_t live = set_live(node->set);
  for (int i = 0; i < node->set->count && opened >= 0; i++) {
    if (!(live >> i & 1)) continue;
    size_t got = node_read(node, i, scratch, frame_size, offset);
    bool is_whole = got == frame_size;
    if (good >= 0) {
      if (!is_whole || memcmp(scratch, raw, frame_size) != 0) bad |= 1u << i;
      continue;
    }
    Place place = frame_place(scratch, node->salts, offset);
    opened = is_whole ? page_open(&file->keys, &place, scratch + frame_header_size, plain) : 0;
    if (opened > 0) good = i, memcpy(raw, scratch, frame_size);
    else bad |= 1u << i;
  }
  for (int i = 0; i < node->set->count && good >= 0; i++) {
    if (!(bad >> i & 1)) continue;
    node_repair(node, i, raw, frame_size, offset);
    atomic_fetch_add(&node->set->healed_frames, 1);
  }
  pthread_mutex_unlock(&node->io);
  if (opened < 0 || !live) return SQLITE_IOERR_READ;
  if (good < 0) atomic_fetch_add(&node->set->damaged, 1);
  return good >= 0 ? SQLITE_OK : SQLITE_IOERR_DATA;
}

/* `raw` and `plain` (4096) of the frame at `offset`. */
static int load_frame(File *file, uint64_t offset, uint8_t *raw, uint8_t *plain) {
  Node *node = file->node;
  uint32_t live = set_live(node->set);
  if (!live) return SQLITE_IOERR_READ;
  if (offset + frame_size > atomic_load(&node->size)) return SQLITE_IOERR_SHORT_READ;
  size_t got = node_read(node, __builtin_ctz(live), raw, frame_size, offset);
  Place place = frame_place(raw, node->salts, offset);
  int opened = got == frame_size ? page_open(&file->keys, &place, raw + frame_header_size, plain) : 0;
  if (opened > 0) return SQLITE_OK;
  return opened < 0 ? SQLITE_IOERR_READ : heal_frame(file, offset, raw, plain);
}

static int read_header(Node *node, uint8_t *target, int amount, uint64_t offset) {
  uint32_t live = set_live(node->set);
  if (!live) return SQLITE_IOERR_READ;
  size_t got = node_read(node, __builtin_ctz(live), target, (size_t)amount, offset);
  return got == (size_t)amount ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int read_frame(File *file, uint8_t *target, int amount, uint64_t offset) {
  uint64_t start = offset - (offset - wal_header_size) % frame_size;
  size_t from = offset - start;
  if (amount < 0 || from + (size_t)amount > frame_size) return SQLITE_IOERR_READ;
  uint8_t raw[frame_size], plain[frame_size];
  int code = load_frame(file, start, raw, plain + frame_header_size);
  if (code != SQLITE_OK) return code;
  if (from < frame_header_size) {
    memcpy(plain, raw, frame_header_size);
    if (!mask_header(file, plain, start)) return SQLITE_IOERR_READ;
  }
  memcpy(target, plain + from, (size_t)amount);
  return SQLITE_OK;
}

int wal_read(File *file, uint8_t *target, int amount, uint64_t offset) {
  Node *node = file->node;
  int code = SQLITE_OK;
  if (offset + (uint64_t)amount > atomic_load(&node->held_from)) {
    pthread_mutex_lock(&node->io);
    code = wal_flush(node);
    pthread_mutex_unlock(&node->io);
  }
  if (code == SQLITE_OK)
    code = offset < wal_header_size ? read_header(node, target, amount, offset) : read_frame(file, target, amount, offset);
  if (code != SQLITE_OK) memset(target, 0, (size_t)amount);
  return code;
}

/* After a rollback SQLite writes over frames of the same salts: they go first, lest they be taken for proof. */
static int cut_rolled_back(Node *node, uint64_t offset) {
  if (offset >= node->end) return SQLITE_OK;
  int code = wal_flush(node);
  if (code == SQLITE_OK) code = node_truncate(node, offset);
  node->end = offset;
  return code;
}

static int append_frame(File *file, const uint8_t *body, uint64_t offset) {
  Node *node = file->node;
  uint8_t header[frame_header_size];
  memcpy(header, node->pending_header, frame_header_size);
  node->has_pending = false;
  int code = cut_rolled_back(node, offset);
  if (code == SQLITE_OK && node->buffered > 0 &&
      (node->buffer_offset + node->buffered != offset || node->buffered + frame_size > buffer_max))
    code = wal_flush(node);
  if (code != SQLITE_OK) return code;
  uint8_t *target = node->buffer + node->buffered;
  memcpy(target, header, frame_header_size);
  uint32_t generation = node_generation(node) | (node->is_after_sync ? 1u : 0u);
  Place place = frame_place(header, node->salts, offset);
  if (!page_seal(&file->keys, generation, &place, body, target + frame_header_size)) return SQLITE_IOERR_WRITE;
  if (node->buffered == 0) {
    node->buffer_offset = offset;
    hold_from(node, offset);
  }
  node->buffered += frame_size;
  node->end = offset + frame_size;
  node->is_after_sync = false;
  if (node->end > atomic_load(&node->size)) atomic_store(&node->size, node->end);
  return !file->is_full && read_be32(header + 4) != 0 ? wal_flush(node) : SQLITE_OK;
}

/* A page that its transaction has already put into the WAL is written again in its place. */
static int rewrite_body(File *file, const uint8_t *body, uint64_t offset) {
  Node *node = file->node;
  uint8_t raw[frame_size], sealed[page_size];
  int code = wal_flush(node);
  if (code != SQLITE_OK) return code;
  uint32_t live = set_live(node->set);
  size_t got = live ? node_read(node, __builtin_ctz(live), raw, frame_size, offset) : 0;
  if (got < frame_header_size) return SQLITE_IOERR_WRITE;
  uint32_t mark = got == frame_size ? page_generation(raw + frame_header_size) & 1u : 0;
  Place place = frame_place(raw, node->salts, offset);
  if (!page_seal(&file->keys, node_generation(node) | mark, &place, body, sealed)) return SQLITE_IOERR_WRITE;
  return node_write(node, sealed, page_size, offset + frame_header_size);
}

static int write_locked(File *file, const uint8_t *source, int amount, uint64_t offset) {
  static const uint8_t zeros[reserved_size];
  Node *node = file->node;
  if (offset == 0 && amount == wal_header_size) {
    int code = wal_flush(node);
    node->is_after_sync = true, node->end = wal_header_size;
    memcpy(node->salts, source + 16, sizeof node->salts);
    return code == SQLITE_OK ? node_write(node, source, wal_header_size, 0) : code;
  }
  if (amount == frame_header_size && is_frame_start(offset)) {
    int code = node->has_pending ? wal_flush(node) : SQLITE_OK;
    if (code != SQLITE_OK) return code;
    memcpy(node->pending_header, source, frame_header_size);
    if (!mask_header(file, node->pending_header, offset)) return SQLITE_IOERR_WRITE;
    node->pending_offset = offset, node->has_pending = true;
    hold_from(node, offset);
    return SQLITE_OK;
  }
  if (amount != page_size || offset < wal_header_size + frame_header_size ||
      !is_frame_start(offset - frame_header_size))
    return SQLITE_IOERR_WRITE;
  if (memcmp(source + content_size, zeros, reserved_size) != 0) return SQLITE_IOERR_WRITE;
  offset -= frame_header_size;
  bool is_append = node->has_pending && node->pending_offset == offset;
  return is_append ? append_frame(file, source, offset) : rewrite_body(file, source, offset);
}

int wal_write(File *file, const uint8_t *source, int amount, uint64_t offset) {
  pthread_mutex_lock(&file->node->io);
  int code = write_locked(file, source, amount, offset);
  pthread_mutex_unlock(&file->node->io);
  return code;
}

int wal_sync(Node *node) {
  pthread_mutex_lock(&node->io);
  int code = node->has_pending ? wal_flush(node) : SQLITE_OK;
  if (code == SQLITE_OK) code = node_sync(node, node->buffer, node->buffered, node->buffer_offset);
  node->buffered = 0;
  atomic_store(&node->held_from, UINT64_MAX);
  if (code == SQLITE_OK) node->is_after_sync = true;
  pthread_mutex_unlock(&node->io);
  return code;
}

int wal_truncate(Node *node, uint64_t size) {
  pthread_mutex_lock(&node->io);
  int code = wal_flush(node);
  if (code == SQLITE_OK) code = node_truncate(node, size);
  if (node->end > size) node->end = size;
  pthread_mutex_unlock(&node->io);
  return code;
}
