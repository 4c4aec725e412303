/* One open file of a set, shared by all connections of the process. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sealed-sqlite.h"

static pthread_mutex_t nodes_mutex = PTHREAD_MUTEX_INITIALIZER;
static Node *nodes;

/* Descriptors of `mask`; members without the file are left in `*missing`, others that fail are lost. */
static int open_members(Node *node, uint32_t mask, int flags, uint32_t *missing) {
  Set *set = node->set;
  Op *op = op_new(set, op_open, 0);
  if (!op) return SQLITE_NOMEM;
  strcpy(op->name, node->name);
  op->flags = flags;
  uint32_t silent, failed = set_dispatch(set, op, mask, &silent);
  *missing = 0;
  for (int i = 0; i < set->count; i++) {
    if (!(mask >> i & 1)) continue;
    if (!(failed >> i & 1)) node->fds[i] = op->results[i];
    else if (op->errors[i] == ENOENT && !(flags & O_CREAT)) *missing |= 1u << i;
  }
  op_release(op);
  failed &= ~*missing;
  return failed ? set_lose(set, failed, silent) : SQLITE_OK;
}

static uint64_t file_size(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static int open_node(Node *node, bool create, const KeySource *keys) {
  uint32_t live = set_live(node->set), missing;
  if (!live) return SQLITE_IOERR;
  int result = open_members(node, live, O_RDWR, &missing);
  if (result != SQLITE_OK) return result;
  live = set_live(node->set);
  missing &= live;
  if (missing == live && !create) return SQLITE_CANTOPEN;
  if (missing) {
    uint32_t none;
    result = open_members(node, missing, O_RDWR | O_CREAT, &none);
    if (result != SQLITE_OK) return result;
  }
  if (missing != live || node->is_wal) {
    result = node->is_wal ? wal_recover(node, keys) : main_recover(node, keys);
    if (result != SQLITE_OK) return result;
  }
  uint64_t size = 0;
  for (int i = 0; i < node->set->count; i++) {
    if (node->fds[i] < 0 || !(set_live(node->set) >> i & 1)) continue;
    uint64_t own = file_size(node->fds[i]);
    if (own > size) size = own;
  }
  atomic_store(&node->size, size);
  node->end = size;
  return SQLITE_OK;
}

static void free_node(Node *node) {
  for (int i = 0; i < node->set->count; i++)
    if (node->fds[i] >= 0 && set_live(node->set) >> i & 1) close(node->fds[i]); /* a lost one may be in use */
  for (int i = 0; i < node->region_count; i++) free(node->regions[i]);
  free(node->regions);
  free(node->buffer);
  pthread_mutex_destroy(&node->io);
  pthread_mutex_destroy(&node->lock);
  atomic_fetch_sub(&node->set->open_nodes, 1);
  free(node);
}

int node_acquire(Set *set, const char *name, bool create, bool is_wal, const KeySource *keys, Node **result) {
  if (strlen(name) >= name_max) return SQLITE_CANTOPEN;
  pthread_mutex_lock(&nodes_mutex);
  Node *node = nodes;
  while (node && (node->set != set || strcmp(node->name, name) != 0)) node = node->next;
  int code = SQLITE_OK;
  if (!node) {
    node = calloc(1, sizeof *node);
    if (node) {
      node->set = set, node->is_wal = is_wal, node->generation = generation_new();
      atomic_fetch_add(&set->open_nodes, 1);
      strcpy(node->name, name);
      pthread_mutex_init(&node->io, NULL);
      pthread_mutex_init(&node->lock, NULL);
      atomic_store(&node->held_from, UINT64_MAX);
      for (int i = 0; i < members_max; i++) node->fds[i] = -1;
      node->buffer = malloc(buffer_max);
      code = node->buffer ? open_node(node, create, keys) : SQLITE_NOMEM;
      if (code != SQLITE_OK) free_node(node), node = NULL;
      else node->next = nodes, nodes = node;
    } else code = SQLITE_NOMEM;
  }
  if (node) node->references++;
  pthread_mutex_unlock(&nodes_mutex);
  *result = node;
  return code;
}

void node_release(Node *node) {
  pthread_mutex_lock(&node->io);
  if (node->is_wal) wal_flush(node);
  else main_flush(node);
  pthread_mutex_unlock(&node->io);
  pthread_mutex_lock(&nodes_mutex);
  if (--node->references == 0) {
    Node **at = &nodes;
    while (*at != node) at = &(*at)->next;
    *at = node->next;
    free_node(node);
  }
  pthread_mutex_unlock(&nodes_mutex);
}

static int run(Node *node, OpKind kind, const uint8_t *source, size_t size, uint64_t offset) {
  Op *op = op_new(node->set, kind, size);
  if (!op) return SQLITE_IOERR_NOMEM;
  if (size > 0) memcpy(op->data, source, size);
  op->offset = offset;
  memcpy(op->fds, node->fds, sizeof op->fds);
  int code = set_run(node->set, op);
  op_release(op);
  return code;
}

int node_write(Node *node, const uint8_t *source, size_t size, uint64_t offset) {
  failpoint("wal-write");
  int code = run(node, op_write, source, size, offset);
  if (code == SQLITE_OK && offset + size > atomic_load(&node->size)) atomic_store(&node->size, offset + size);
  failpoint("wal-written");
  return code == SQLITE_IOERR ? SQLITE_IOERR_WRITE : code;
}

/* The batch: pages of node->buffer at node->batch. */
int node_write_pages(Node *node, int count) {
  size_t offsets = (size_t)count * sizeof *node->batch, pages = (size_t)count * page_size;
  Op *op = op_new(node->set, op_pages, offsets + pages);
  if (!op) return SQLITE_IOERR_NOMEM;
  memcpy(op->data, node->batch, offsets);
  memcpy(op->data + offsets, node->buffer, pages);
  op->offset = (uint64_t)count;
  memcpy(op->fds, node->fds, sizeof op->fds);
  failpoint("main-write");
  int code = set_run(node->set, op);
  failpoint("main-written");
  op_release(op);
  return code == SQLITE_IOERR ? SQLITE_IOERR_WRITE : code;
}

int node_truncate(Node *node, uint64_t size) {
  failpoint(node->is_wal ? "wal-truncate" : "main-truncate");
  int code = run(node, op_truncate, NULL, 0, size);
  if (code == SQLITE_OK) atomic_store(&node->size, size);
  return code == SQLITE_IOERR ? SQLITE_IOERR_TRUNCATE : code;
}

int node_sync(Node *node, const uint8_t *source, size_t size, uint64_t offset) {
  failpoint(node->is_wal ? "wal-sync" : "main-sync");
  int code = run(node, op_sync, source, size, offset);
  failpoint(node->is_wal ? "wal-synced" : "main-synced");
  return code == SQLITE_IOERR ? SQLITE_IOERR_FSYNC : code;
}

/* Under node->io. */
uint32_t node_generation(Node *node) {
  atomic_fetch_add(&node->set->seals, 1);
  if (++node->generation_seals >= GENERATION_SEALS_MAX) {
    node->generation = generation_new();
    node->generation_seals = 0;
  }
  return node->generation;
}

size_t node_read(const Node *node, int member, uint8_t *target, size_t size, uint64_t offset) {
  size_t got;
  if (node->fds[member] < 0 || !read_fully(node->fds[member], target, size, offset, &got)) return 0;
  return got;
}

void node_repair(Node *node, int member, const uint8_t *source, size_t size, uint64_t offset) {
  Op *op = op_new(node->set, op_write, size);
  if (!op) return;
  memcpy(op->data, source, size);
  op->offset = offset;
  memcpy(op->fds, node->fds, sizeof op->fds);
  uint32_t silent, failed = set_dispatch(node->set, op, 1u << member, &silent);
  op_release(op);
  if (failed) set_lose(node->set, failed, silent);
}
