/* Files that JavaScript vouches for are opened for reading, and closed again, by the thread that read the request: for so long as
 * was said, or until it is withdrawn. JavaScript takes such a handle over before it acts on anything else that comes with it;
 * from then on it is a handle like others. What is vouched for is a cache: a node may push another out. */
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

/* Handles from here on are given out here: further up than JavaScript counts, and safe integers. */
#define QUICK_BASE (1ull << 48)
#define NANOSECONDS 1000000000ll

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (int64_t)at.tv_sec * NANOSECONDS + at.tv_nsec;
}
static struct vouched *vouched_at(struct device *device, uint64_t node) {
  return &device->vouched[(node * 0x9e3779b97f4a7c15u) >> 32 & (VOUCHED_MAX - 1)];
}

/* For so long opens of `node` for reading may be answered with its pages kept. */
EXPORT void kiseki_fuse_vouch(struct device *device, uint64_t node, uint32_t milliseconds) {
  pthread_mutex_lock(&device->quick_mutex);
  *vouched_at(device, node) = (struct vouched){.node = node, .until = now() + (int64_t)milliseconds * 1000000};
  pthread_mutex_unlock(&device->quick_mutex);
}

/* When it returns no further open of `node` is answered here. */
EXPORT void kiseki_fuse_withdraw(struct device *device, uint64_t node) {
  pthread_mutex_lock(&device->quick_mutex);
  struct vouched *vouched = vouched_at(device, node);
  if (vouched->node == node) vouched->until = 0;
  pthread_mutex_unlock(&device->quick_mutex);
}

/* The open handle of this number, or NULL; with the mutex held. */
static struct quick *quick_of(struct device *device, uint64_t number) {
  if (number < QUICK_BASE) return NULL;
  struct quick *quick = &device->quick[(number - QUICK_BASE) % QUICK_HANDLES_MAX];
  return quick->number == number ? quick : NULL;
}
static void give_back(struct device *device, struct quick *quick) {
  quick->number = 0;
  device->quick_free[device->quick_free_count++] = (uint32_t)(quick - device->quick);
}

/* Takes over one handle: `out` gets number, node and flags of its open. 0 where there is none of this number. */
EXPORT uint32_t kiseki_fuse_take(struct device *device, uint64_t number, double *out) {
  pthread_mutex_lock(&device->quick_mutex);
  struct quick *quick = quick_of(device, number);
  if (quick) {
    out[0] = (double)number, out[1] = (double)quick->node, out[2] = quick->flags;
    give_back(device, quick);
  }
  pthread_mutex_unlock(&device->quick_mutex);
  return quick != NULL;
}

/* Takes over up to `count` of those that are open, three numbers each; JavaScript is called at the next open. */
EXPORT uint32_t kiseki_fuse_take_all(struct device *device, double *out, uint32_t count) {
  uint32_t taken = 0;
  pthread_mutex_lock(&device->quick_mutex);
  for (uint32_t at = 0; at < device->quick_used && taken < count; at++) {
    struct quick *quick = &device->quick[at];
    if (quick->number == 0) continue;
    double *each = out + 3 * (size_t)taken++;
    each[0] = (double)quick->number, each[1] = (double)quick->node, each[2] = quick->flags;
    give_back(device, quick);
  }
  if (taken < count) device->is_opening = 0;
  pthread_mutex_unlock(&device->quick_mutex);
  return taken;
}

/* A handle of `node`, or 0: it is not vouched for, or there are too many. */
static uint64_t open_quick(struct device *device, uint64_t node, uint32_t flags) {
  uint64_t number = 0;
  pthread_mutex_lock(&device->quick_mutex);
  const struct vouched *vouched = vouched_at(device, node);
  int has_room = device->quick_free_count > 0 || device->quick_used < QUICK_HANDLES_MAX;
  if (vouched->node == node && has_room && now() < vouched->until) {
    uint32_t at = device->quick_free_count > 0 ? device->quick_free[--device->quick_free_count] : device->quick_used++;
    struct quick *quick = &device->quick[at];
    number = QUICK_BASE + (uint64_t)quick->round++ * QUICK_HANDLES_MAX + at; /* never one that was there before */
    quick->number = number, quick->node = node, quick->flags = flags;
  }
  pthread_mutex_unlock(&device->quick_mutex);
  return number;
}
static int close_quick(struct device *device, uint64_t number) {
  pthread_mutex_lock(&device->quick_mutex);
  struct quick *quick = quick_of(device, number);
  if (quick) give_back(device, quick);
  pthread_mutex_unlock(&device->quick_mutex);
  return quick != NULL;
}
static int is_open(struct device *device, uint64_t number) {
  pthread_mutex_lock(&device->quick_mutex);
  int found = quick_of(device, number) != NULL;
  pthread_mutex_unlock(&device->quick_mutex);
  return found;
}

/* JavaScript hears, once, that there are handles which it may have to keep a file for. */
static void tell_opening(struct device *device) {
  pthread_mutex_lock(&device->quick_mutex);
  int is_news = !device->is_opening;
  device->is_opening = 1;
  pthread_mutex_unlock(&device->quick_mutex);
  if (is_news) note_opening(device);
}

/* ENOENT: nobody waits any more. Anything else but success: JavaScript answers, and tells of it. */
static int answer(int fd, uint64_t unique, const void *body, size_t size) {
  uint8_t bytes[sizeof(struct fuse_out_header) + sizeof(struct fuse_open_out)];
  struct fuse_out_header head = {.len = (uint32_t)(sizeof head + size), .unique = unique};
  memcpy(bytes, &head, sizeof head);
  if (size > 0) memcpy(bytes + sizeof head, body, size);
  return write(fd, bytes, head.len) == (ssize_t)head.len ? 0 : errno;
}

static int answer_open(struct device *device, int fd, const struct fuse_in_header *head, const uint8_t *body) {
  struct fuse_open_in in;
  memcpy(&in, body, sizeof in);
  if ((in.flags & O_ACCMODE) != O_RDONLY || in.flags & O_TRUNC || in.open_flags) return 0;
  struct fuse_open_out out = {.fh = open_quick(device, head->nodeid, in.flags), .open_flags = FOPEN_KEEP_CACHE};
  if (out.fh == 0) return 0;
  tell_opening(device);
  int error = answer(fd, head->unique, &out, sizeof out);
  if (error != 0) close_quick(device, out.fh);
  return error == 0 || error == ENOENT;
}

static int answer_release(struct device *device, int fd, const struct fuse_in_header *head, const uint8_t *body) {
  struct fuse_release_in in;
  memcpy(&in, body, sizeof in);
  if (in.release_flags & FUSE_RELEASE_FLOCK_UNLOCK || !close_quick(device, in.fh)) return 0;
  answer(fd, head->unique, NULL, 0); /* nobody can act on what becomes of it */
  return 1;
}

static int answer_flush(struct device *device, int fd, const struct fuse_in_header *head, const uint8_t *body) {
  struct fuse_flush_in in;
  memcpy(&in, body, sizeof in);
  if (!is_open(device, in.fh) && !is_quiet(device, in.fh)) return 0;
  int error = answer(fd, head->unique, NULL, 0);
  return error == 0 || error == ENOENT;
}

int answered_at_once(struct device *device, int fd, const uint8_t *request, size_t size) {
  struct fuse_in_header head;
  if (size < sizeof head) return 0;
  memcpy(&head, request, sizeof head);
  const uint8_t *body = request + sizeof head;
  size -= sizeof head;
  if (head.opcode == FUSE_OPEN && size == sizeof(struct fuse_open_in)) return answer_open(device, fd, &head, body);
  if (head.opcode == FUSE_FLUSH && size == sizeof(struct fuse_flush_in)) return answer_flush(device, fd, &head, body);
  if (head.opcode == FUSE_RELEASE && size == sizeof(struct fuse_release_in)) return answer_release(device, fd, &head, body);
  return 0;
}
