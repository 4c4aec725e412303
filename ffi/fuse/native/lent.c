/* Blocks of files of this machine that JavaScript lends: reads that lie in them, of nodes that it vouches for, are answered by the
 * thread that read the request. Each segment is checked against its checksum; what is not right, or not in the system's cache,
 * JavaScript looks at. Once a block is taken back, or a node withdrawn, nothing more is answered by it. */
#include "fuse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

/* By which a range is found: it is no longer than this, so that it lies in its first window and the next. */
#define WINDOW_BITS 20
#define BUCKETS LENT_MAX
/* Nodes that are vouched for, by direct mapping: a node may push another out. */
#define READABLE_MAX 4096
/* Read and checked at once, while it is near the processor. */
#define PART_SIZE (64 * 1024)
#define NOBODY (-1)

struct lent {
  uint64_t node, version;
  uint64_t start, length; /* of the node's file; no length: free */
  uint64_t position;      /* of the block, where `start` is */
  uint32_t block_size, seed;
  int fd, is_end; /* the node's file ends with it */
  int32_t next;   /* in its bucket */
};
struct readable {
  uint64_t node, version;
  int64_t until; /* nanoseconds of CLOCK_MONOTONIC */
};
struct lending {
  pthread_rwlock_t lock; /* held while an answer is made and sent */
  uint32_t max;
  int32_t bucket[BUCKETS];
  struct lent lent[LENT_MAX];
  struct readable readable[READABLE_MAX];
};

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (int64_t)at.tv_sec * 1000000000ll + at.tv_nsec;
}
static uint64_t mixed(uint64_t value) { return value * 0x9e3779b97f4a7c15u >> 32; }
static int32_t *bucket_of(struct lending *lending, uint64_t node, uint64_t window) {
  return &lending->bucket[mixed(node + mixed(window + 1)) % BUCKETS];
}
static struct readable *readable_at(struct lending *lending, uint64_t node) {
  return &lending->readable[mixed(node) % READABLE_MAX];
}

struct lending *lending_make(void) {
  struct lending *lending = calloc(1, sizeof *lending);
  if (!lending) return NULL;
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&lending->lock, &attributes);
  pthread_rwlockattr_destroy(&attributes);
  struct rlimit files;
  uint64_t room = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur / 4 : 0;
  lending->max = room < LENT_MAX ? (uint32_t)room : LENT_MAX;
  for (uint32_t i = 0; i < BUCKETS; i++) lending->bucket[i] = NOBODY;
  return lending;
}

/* With the lock held for writing. */
static void take_back(struct lending *lending, uint32_t slot) {
  struct lent *lent = &lending->lent[slot];
  if (lent->length == 0) return;
  int32_t *at = bucket_of(lending, lent->node, lent->start >> WINDOW_BITS);
  while (*at != (int32_t)slot) at = &lending->lent[*at].next;
  *at = lent->next;
  close(lent->fd);
  *lent = (struct lent){0};
}

void lending_end(struct lending *lending) {
  for (uint32_t slot = 0; slot < LENT_MAX; slot++) take_back(lending, slot);
  pthread_rwlock_destroy(&lending->lock);
  free(lending);
}

/* Blocks that may be lent at once. */
EXPORT uint32_t kiseki_fuse_lent_max(struct device *device) { return device->lending->max; }

/* Takes `fd` over, unless it answers an error: bytes `[position, position + length)` of its block are those of the node's file from
 * `start` on, while its content is of this version. What the slot had before is taken back. */
EXPORT int32_t kiseki_fuse_lend(struct device *device, uint32_t slot, int32_t fd, uint64_t node, uint64_t version, uint64_t start,
                                uint32_t position, uint32_t length, uint32_t block_size, uint32_t seed, uint32_t is_end) {
  struct lending *lending = device->lending;
  if (slot >= lending->max || fd < 0 || length == 0 || length > 1u << WINDOW_BITS) return -EINVAL;
  if (position > block_size || length > block_size - position || block_size > LENT_BLOCK_MAX) return -EINVAL;
  pthread_rwlock_wrlock(&lending->lock);
  take_back(lending, slot);
  int32_t *bucket = bucket_of(lending, node, start >> WINDOW_BITS);
  lending->lent[slot] = (struct lent){node, version, start, length, position, block_size, seed, fd, (int)is_end, *bucket};
  *bucket = (int32_t)slot;
  pthread_rwlock_unlock(&lending->lock);
  return 0;
}
EXPORT void kiseki_fuse_take_back(struct device *device, uint32_t slot) {
  if (slot >= LENT_MAX) return;
  pthread_rwlock_wrlock(&device->lending->lock);
  take_back(device->lending, slot);
  pthread_rwlock_unlock(&device->lending->lock);
}
/* For so long the node's file has the content of this version, and all of it is what blocks say. */
EXPORT void kiseki_fuse_vouch_reads(struct device *device, uint64_t node, uint64_t version, uint32_t milliseconds) {
  struct lending *lending = device->lending;
  pthread_rwlock_wrlock(&lending->lock);
  *readable_at(lending, node) = (struct readable){node, version, now() + (int64_t)milliseconds * 1000000};
  pthread_rwlock_unlock(&lending->lock);
}
EXPORT void kiseki_fuse_withdraw_reads(struct device *device, uint64_t node) {
  struct lending *lending = device->lending;
  pthread_rwlock_wrlock(&lending->lock);
  struct readable *readable = readable_at(lending, node);
  if (readable->node == node) readable->until = 0;
  pthread_rwlock_unlock(&lending->lock);
}

static int32_t find(struct lending *lending, const struct readable *of, uint64_t offset) {
  uint64_t window = offset >> WINDOW_BITS;
  for (uint64_t back = 0; back <= 1 && back <= window; back++) {
    for (int32_t at = *bucket_of(lending, of->node, window - back); at != NOBODY; at = lending->lent[at].next) {
      const struct lent *lent = &lending->lent[at];
      if (lent->node != of->node || lent->version != of->version) continue;
      if (offset >= lent->start && offset - lent->start < lent->length) return at;
    }
  }
  return NOBODY;
}

static int read_now(int fd, uint8_t *target, size_t size, uint64_t offset) {
  struct iovec part = {target, size};
  return preadv2(fd, &part, 1, (off_t)offset, RWF_NOWAIT) == (ssize_t)size;
}
/* Whole segments of the block from `position` on, each as it was stored. */
static int fill(const struct lent *lent, uint64_t position, size_t size, uint8_t *target) {
  uint8_t sums[LENT_BLOCK_MAX / LENT_SEGMENT * 4];
  size_t count = (size + LENT_SEGMENT - 1) / LENT_SEGMENT;
  uint64_t number = position / LENT_SEGMENT;
  if (!read_now(lent->fd, sums, 4 * count, lent->block_size + 4 * number)) return 0;
  for (size_t at = 0; at < size; at += PART_SIZE) {
    size_t part = size - at < PART_SIZE ? size - at : PART_SIZE;
    size_t before = at / LENT_SEGMENT;
    struct sums of = {lent->seed, (uint32_t)(number + before), sums + 4 * before};
    if (!read_now(lent->fd, target + at, part, position + at) || !are_right(&of, target + at, part)) return 0;
  }
  return 1;
}

/* How many bytes of `target` the file has, or -1: not all of them are here. */
static int64_t read_lent(struct device *device, uint64_t node, uint64_t offset, size_t size, uint8_t *target) {
  struct lending *lending = device->lending;
  const struct readable *readable = readable_at(lending, node);
  if (readable->node != node || readable->until == 0 || now() >= readable->until) return -1;
  size_t done = 0;
  while (done < size) {
    int32_t slot = find(lending, readable, offset + done);
    if (slot == NOBODY) return -1;
    const struct lent *lent = &lending->lent[slot];
    uint64_t passed = offset + done - lent->start, position = lent->position + passed;
    size_t part = size - done < lent->length - passed ? size - done : (size_t)(lent->length - passed);
    int is_whole = part % LENT_SEGMENT == 0 || position + part == lent->block_size;
    if (position % LENT_SEGMENT != 0 || !is_whole || !fill(lent, position, part, target + done)) return -1;
    __atomic_store_n(&device->control->is_used[slot], 1, __ATOMIC_RELAXED);
    done += part;
    if (lent->is_end && passed + part == lent->length) break;
  }
  return (int64_t)done;
}

static int answer(int fd, uint64_t unique, const uint8_t *bytes, size_t size) {
  struct fuse_out_header head = {.len = (uint32_t)(sizeof head + size), .unique = unique};
  struct iovec parts[2] = {{&head, sizeof head}, {(void *)bytes, size}};
  return writev(fd, parts, size > 0 ? 2 : 1) == (ssize_t)head.len ? 0 : errno;
}

int answered_by_lent(struct device *device, int fd, const uint8_t *request, size_t size, uint8_t *target, size_t room) {
  struct fuse_in_header head;
  struct fuse_read_in in;
  if (size != sizeof head + sizeof in) return 0;
  memcpy(&head, request, sizeof head);
  if (head.opcode != FUSE_READ) return 0;
  memcpy(&in, request + sizeof head, sizeof in);
  if (in.size == 0 || in.size > room || in.offset > (uint64_t)INT64_MAX - in.size) return 0;
  pthread_rwlock_rdlock(&device->lending->lock);
  int64_t count = read_lent(device, head.nodeid, in.offset, in.size, target);
  /* ENOENT: nobody waits any more. */
  int error = count < 0 ? 0 : answer(fd, head.unique, target, (size_t)count);
  pthread_rwlock_unlock(&device->lending->lock);
  if (count < 0 || (error != 0 && error != ENOENT)) return 0;
  __atomic_fetch_add(&device->control->lent_reads, 1, __ATOMIC_RELAXED);
  return 1;
}
