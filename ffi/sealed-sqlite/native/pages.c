/*
 * Pages of a main file. A checkpoint writes many and then syncs: they are held back and go out together, so
 * that each member is asked once a batch.
 */
#include <string.h>

#include "sealed-sqlite.h"

int main_flush(Node *node) {
  int count = atomic_load(&node->batched);
  if (count == 0) return SQLITE_OK;
  int code = node_write_pages(node, count);
  atomic_store(&node->batched, 0);
  return code;
}

/* What is held back is written before it is read. */
static int flush_page(Node *node, uint64_t offset) {
  int code = SQLITE_OK;
  pthread_mutex_lock(&node->io);
  for (int i = 0; i < atomic_load(&node->batched) && code == SQLITE_OK; i++)
    if (node->batch[i] == offset) code = main_flush(node);
  pthread_mutex_unlock(&node->io);
  return code;
}

/* Looks at the page of members, until a good one when no bad one came before, and writes it over the bad (KEYS §3). */
static int heal_page(Node *node, const KeySource *keys, uint64_t offset, uint8_t *plain, bool is_scrub) {
  Place place = page_place((uint32_t)(offset / page_size + 1));
  uint8_t sealed[page_size], scratch[page_size];
  uint32_t bad = 0;
  bool is_good = false, is_closed = false;
  pthread_mutex_lock(&node->io);
  uint32_t live = set_live(node->set);
  for (int i = 0; i < node->set->count && !is_closed; i++) {
    if (!(live >> i & 1)) continue;
    if (is_good && !bad && !is_scrub) break;
    size_t got = node_read(node, i, scratch, page_size, offset);
    if (is_good) {
      if (got != page_size || memcmp(scratch, sealed, page_size) != 0) bad |= 1u << i;
      continue;
    }
    int opened = got == page_size ? page_open(keys, &place, scratch, plain) : 0;
    if (opened < 0) is_closed = true;
    else if (opened == 0) bad |= 1u << i;
    else is_good = true, memcpy(sealed, scratch, page_size);
  }
  for (int i = 0; i < node->set->count && is_good; i++) {
    if (!(bad >> i & 1)) continue;
    node_repair(node, i, sealed, page_size, offset);
    atomic_fetch_add(&node->set->healed_pages, 1);
  }
  pthread_mutex_unlock(&node->io);
  if (is_closed || !live) return SQLITE_IOERR_READ;
  if (!is_good) atomic_fetch_add(&node->set->damaged, 1);
  return is_good ? SQLITE_OK : SQLITE_IOERR_DATA;
}

/*
 * SQLite takes a page behind the end for zeros, and with the size out of a WAL it asks for such pages of a file that was
 * cut: an overflow page would be read as zeros. With a WAL each page was written before it is read; while a
 * file is being made under a rollback journal, one may not have been.
 */
static int read_behind_end(Node *node) {
  size_t length = strlen(node->name);
  if (length >= 4 && strcmp(node->name + length - 4, ".new") == 0) return SQLITE_IOERR_SHORT_READ;
  atomic_fetch_add(&node->set->damaged, 1);
  return SQLITE_IOERR_DATA;
}

static int read_page(File *file, uint64_t offset, uint8_t *plain) {
  Node *node = file->node;
  uint32_t live = set_live(node->set);
  if (!live) return SQLITE_IOERR_READ;
  if (offset >= atomic_load(&node->size)) return read_behind_end(node);
  if (atomic_load(&node->batched) > 0) {
    int code = flush_page(node, offset);
    if (code != SQLITE_OK) return code;
  }
  uint8_t sealed[page_size];
  Place place = page_place((uint32_t)(offset / page_size + 1));
  size_t got = node_read(node, __builtin_ctz(live), sealed, page_size, offset);
  int opened = got == page_size ? page_open(&file->keys, &place, sealed, plain) : 0;
  if (opened > 0) return SQLITE_OK;
  return opened < 0 ? SQLITE_IOERR_READ : heal_page(node, &file->keys, offset, plain, false);
}

int main_read(File *file, uint8_t *target, int amount, uint64_t offset) {
  uint64_t start = offset - offset % page_size;
  if (amount < 0 || offset + (uint64_t)amount > start + page_size) return SQLITE_IOERR_READ;
  int code;
  if (amount == page_size) {
    code = read_page(file, start, target);
  } else {
    uint8_t plain[page_size];
    code = read_page(file, start, plain);
    if (code == SQLITE_OK) memcpy(target, plain + (offset - start), (size_t)amount);
  }
  if (code != SQLITE_OK) memset(target, 0, (size_t)amount); /* nothing half opened is handed on */
  return code;
}

static int seal_and_hold(File *file, const uint8_t *source, uint64_t offset) {
  Node *node = file->node;
  int count = atomic_load(&node->batched), code = SQLITE_OK;
  if (count == batch_max) code = main_flush(node), count = 0;
  if (code != SQLITE_OK) return code;
  Place place = page_place((uint32_t)(offset / page_size + 1));
  uint8_t *target = node->buffer + (size_t)count * page_size;
  if (!page_seal(&file->keys, node_generation(node), &place, source, target)) return SQLITE_IOERR_WRITE;
  node->batch[count] = offset;
  atomic_store(&node->batched, count + 1);
  if (offset + page_size > atomic_load(&node->size)) atomic_store(&node->size, offset + page_size);
  return SQLITE_OK;
}

/* A gap is filled with sealed zeros: a page that was never written has no tag, and would read as damage. */
static int fill_gap(File *file, uint64_t end) {
  static const uint8_t zeros[page_size];
  int code = SQLITE_OK;
  uint64_t size = atomic_load(&file->node->size);
  for (size -= size % page_size; size < end && code == SQLITE_OK; size += page_size)
    code = seal_and_hold(file, zeros, size);
  return code;
}

int main_write(File *file, const uint8_t *source, int amount, uint64_t offset) {
  static const uint8_t zeros[reserved_size];
  if (amount != page_size || offset % page_size != 0) return SQLITE_IOERR_WRITE;
  /* Without the reserved bytes the seal would overwrite content. */
  if (memcmp(source + content_size, zeros, reserved_size) != 0) return SQLITE_IOERR_WRITE;
  if (offset == 0 && source[20] != reserved_size) return SQLITE_IOERR_WRITE;
  pthread_mutex_lock(&file->node->io);
  int code = fill_gap(file, offset);
  if (code == SQLITE_OK) code = seal_and_hold(file, source, offset);
  pthread_mutex_unlock(&file->node->io);
  return code;
}

int main_truncate(File *file, uint64_t size) {
  pthread_mutex_lock(&file->node->io);
  int code = fill_gap(file, size);
  if (code == SQLITE_OK) code = main_flush(file->node);
  if (code == SQLITE_OK) code = node_truncate(file->node, size);
  pthread_mutex_unlock(&file->node->io);
  return code;
}

int main_sync(Node *node) {
  pthread_mutex_lock(&node->io);
  int code = main_flush(node);
  if (code == SQLITE_OK) code = node_sync(node, NULL, 0, 0);
  pthread_mutex_unlock(&node->io);
  return code;
}

/* The pages `[first, first + count)` of all members, from 1. `found`: pages in the file, damaged, the first damaged. */
int main_scrub(Node *node, const KeySource *keys, uint32_t first, uint32_t count, uint64_t *found) {
  uint8_t plain[page_size];
  found[1] = found[2] = 0;
  pthread_mutex_lock(&node->io);
  int code = main_flush(node);
  pthread_mutex_unlock(&node->io);
  found[0] = atomic_load(&node->size) / page_size;
  for (uint64_t page = first; page < (uint64_t)first + count && page <= found[0] && code == SQLITE_OK; page++) {
    code = heal_page(node, keys, (page - 1) * page_size, plain, true);
    bool is_cut = (page - 1) * page_size >= atomic_load(&node->size); /* by a checkpoint meanwhile */
    if (code != SQLITE_IOERR_DATA) continue;
    code = SQLITE_OK;
    if (!is_cut && found[1]++ == 0) found[2] = page;
  }
  return code;
}
