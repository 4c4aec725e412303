/*
 * SQLite's locks and WAL index in memory of this process: no other process has the file (the directories
 * are locked when the set is opened), and a WAL index in a member's file would be lost with the member.
 */
#include <stdlib.h>
#include <string.h>

#include "sealed-sqlite.h"

int locks_lock(File *file, int level) {
  Node *node = file->node;
  int code = SQLITE_OK;
  if (file->level >= level) return SQLITE_OK;
  pthread_mutex_lock(&node->lock);
  if (level == SQLITE_LOCK_SHARED) {
    if (node->pending || node->exclusive) code = SQLITE_BUSY;
    else node->shared++;
  } else if (node->reserved && node->reserved != file) {
    code = SQLITE_BUSY;
  } else if (level == SQLITE_LOCK_RESERVED) {
    node->reserved = file;
  } else {
    if (node->pending && node->pending != file) code = SQLITE_BUSY;
    else node->pending = file;
    if (code == SQLITE_OK && node->shared > 1) {
      if (file->level < SQLITE_LOCK_PENDING) file->level = SQLITE_LOCK_PENDING;
      code = SQLITE_BUSY;
    }
    if (code == SQLITE_OK) node->exclusive = file, node->reserved = file;
  }
  if (code == SQLITE_OK) file->level = level;
  pthread_mutex_unlock(&node->lock);
  return code;
}

int locks_unlock(File *file, int level) {
  Node *node = file->node;
  if (file->level <= level) return SQLITE_OK;
  pthread_mutex_lock(&node->lock);
  if (node->exclusive == file) node->exclusive = NULL;
  if (node->pending == file) node->pending = NULL;
  if (node->reserved == file) node->reserved = NULL;
  if (level == SQLITE_LOCK_NONE) node->shared--;
  file->level = level;
  pthread_mutex_unlock(&node->lock);
  return SQLITE_OK;
}

int locks_is_reserved(File *file, int *result) {
  pthread_mutex_lock(&file->node->lock);
  *result = file->node->reserved != NULL;
  pthread_mutex_unlock(&file->node->lock);
  return SQLITE_OK;
}

/* Under node->lock. */
static int grow(Node *node, int count) {
  uint8_t **regions = realloc(node->regions, (size_t)count * sizeof *regions);
  if (!regions) return SQLITE_IOERR_NOMEM;
  node->regions = regions;
  while (node->region_count < count) {
    uint8_t *region = calloc(1, shm_region_size);
    if (!region) return SQLITE_IOERR_NOMEM;
    regions[node->region_count++] = region;
  }
  return SQLITE_OK;
}

int shm_map(File *file, int region, int size, int extend, void volatile **result) {
  Node *node = file->node;
  *result = NULL;
  if (size != shm_region_size || region < 0 || region >= shm_regions_max) return SQLITE_IOERR_SHMMAP;
  pthread_mutex_lock(&node->lock);
  if (!file->has_shm) file->has_shm = true, node->shm_users++;
  int code = region >= node->region_count && extend ? grow(node, region + 1) : SQLITE_OK;
  if (code == SQLITE_OK && region < node->region_count) *result = node->regions[region];
  pthread_mutex_unlock(&node->lock);
  return code;
}

static bool is_free(const Node *node, const File *file, int lock, bool is_exclusive) {
  bool own_exclusive = file->shm_exclusive >> lock & 1, own_shared = file->shm_shared >> lock & 1;
  if (node->lock_exclusive[lock] && !own_exclusive) return false;
  return !is_exclusive || node->lock_shared[lock] == (own_shared ? 1 : 0);
}

static void shm_release(File *file, int lock) {
  Node *node = file->node;
  if (file->shm_exclusive >> lock & 1) node->lock_exclusive[lock] = false;
  if (file->shm_shared >> lock & 1) node->lock_shared[lock]--;
  file->shm_exclusive &= (uint16_t)~(1u << lock);
  file->shm_shared &= (uint16_t)~(1u << lock);
}

int shm_lock(File *file, int offset, int count, int flags) {
  Node *node = file->node;
  bool is_exclusive = flags & SQLITE_SHM_EXCLUSIVE;
  int code = SQLITE_OK;
  if (offset < 0 || count < 1 || offset + count > locks_count) return SQLITE_IOERR_SHMLOCK;
  pthread_mutex_lock(&node->lock);
  for (int i = offset; i < offset + count && flags & SQLITE_SHM_UNLOCK; i++) shm_release(file, i);
  if (flags & SQLITE_SHM_LOCK) {
    for (int i = offset; i < offset + count; i++)
      if (!is_free(node, file, i, is_exclusive)) code = SQLITE_BUSY;
    for (int i = offset; i < offset + count && code == SQLITE_OK; i++) {
      uint16_t bit = (uint16_t)(1u << i);
      if (is_exclusive) {
        node->lock_exclusive[i] = true, file->shm_exclusive |= bit;
      } else if (!(file->shm_shared & bit)) {
        node->lock_shared[i]++, file->shm_shared |= bit;
      }
    }
  }
  pthread_mutex_unlock(&node->lock);
  return code;
}

/* The last one to leave takes the index with it: the next opening recovers the WAL. */
void shm_unmap(File *file) {
  Node *node = file->node;
  pthread_mutex_lock(&node->lock);
  for (int i = 0; i < locks_count; i++) shm_release(file, i);
  if (file->has_shm && --node->shm_users == 0) {
    for (int i = 0; i < node->region_count; i++) free(node->regions[i]);
    free(node->regions);
    node->regions = NULL, node->region_count = 0;
  }
  file->has_shm = false;
  pthread_mutex_unlock(&node->lock);
}
