/* libkiseki-fuse: the device of the kernel's FUSE, and how a mount comes and goes. Every call answers 0 or more, or -errno. */
#ifndef KISEKI_FUSE_H
#define KISEKI_FUSE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define FUSE_ABI 6
#define SLOTS_MAX 256
#define READERS_MAX 8
/* Of the protocol: what a read must have room for at least, and the sizes of heads. */
#define READ_SIZE_MIN 8192
#define REPLY_HEAD_SIZE 16
#define NOTICE_SIZE_MAX 512
#define NOTICES_MAX 65536
/* Handles with nothing to store, by open addressing: a power of two. */
#define QUIET_MAX 65536
/* Nodes that are vouched for, a power of two; handles that were given out for them and not taken over. */
#define VOUCHED_MAX 32768
#define QUICK_HANDLES_MAX 16384
/* Blocks that are lent at once, a power of two; the size of one at most, and of what is checked by itself. */
#define LENT_MAX 16384
#define LENT_BLOCK_MAX (4 << 20)
#define LENT_SEGMENT 4096

/* Seen by JavaScript: at the start of the device's memory, followed by the slots. */
struct control {
  uint32_t ring[SLOTS_MAX];   /* slots with a request, in the order they came; counted by `tail` */
  uint32_t size[SLOTS_MAX];   /* of the request in a slot */
  uint32_t reader[SLOTS_MAX]; /* who read it: its descriptor takes the answer */
  uint32_t is_opening;        /* there may be handles that nobody has taken over; cleared by JavaScript */
  uint32_t lent_reads;        /* answered out of blocks that are lent, ever */
  uint8_t is_used[LENT_MAX];  /* of blocks that are lent; cleared by JavaScript */
};

struct vouched {
  uint64_t node;
  int64_t until; /* nanoseconds of CLOCK_MONOTONIC */
};
struct quick {
  uint64_t number; /* 0: free */
  uint64_t node;
  uint32_t round, flags;
};

/* Checksums of segments from `number` on, four bytes each, big-endian: CRC-32C that goes on from `seed` by the segment's number,
 * little-endian, and its bytes. */
struct sums {
  uint32_t seed, number;
  const uint8_t *bytes;
};

struct notice {
  struct notice *next;
  uint32_t size, reader;
  uint8_t bytes[];
};

struct reader {
  struct device *device;
  pthread_t thread;
  int fd, is_started, has_ended;
  _Atomic uint32_t turn; /* even: it has no request in hand that must come before another's; grows with each read */
};

struct device {
  struct control *control;
  uint8_t *slots;
  size_t memory_size;
  uint32_t slot_count, slot_size, reader_count;
  pthread_mutex_t mutex;
  pthread_cond_t freed;
  uint32_t free[SLOTS_MAX], free_count, tail;
  _Atomic int is_stopping;
  int is_signalled, end_errno;
  void (*callback)(void);
  struct reader reader[READERS_MAX];
  pthread_mutex_t quiet_mutex;
  uint64_t quiet[QUIET_MAX]; /* a handle, 0 for none, QUIET_GONE for one that was taken out */
  uint32_t quiet_count; /* places that are not 0 */
  pthread_mutex_t quick_mutex;
  struct vouched vouched[VOUCHED_MAX];
  struct quick quick[QUICK_HANDLES_MAX];
  uint32_t quick_free[QUICK_HANDLES_MAX], quick_free_count;
  uint32_t quick_used; /* places that were ever taken */
  int is_opening; /* JavaScript knows that there are handles */
  struct lending *lending;
  pthread_mutex_t notice_mutex;
  pthread_cond_t noticed;
  struct notice *first, *last;
  uint32_t notice_count, notices_failed;
  int is_notifying;
  pthread_t notifier;
};

int is_quiet(struct device *device, uint64_t handle);
/* Has JavaScript look at `is_opening`. */
void note_opening(struct device *device);
/* Whether the request was answered here, without JavaScript. */
int answered_at_once(struct device *device, int fd, const uint8_t *request, size_t size);
/* The same for reads; `target` has room for bytes, apart from the request. */
int answered_by_lent(struct device *device, int fd, const uint8_t *request, size_t size, uint8_t *target, size_t room);
struct lending *lending_make(void);
/* When nobody reads any more. */
void lending_end(struct lending *lending);
int are_right(const struct sums *sums, const uint8_t *bytes, size_t size);
int are_right_plain(const struct sums *sums, const uint8_t *bytes, size_t size);
int notifier_start(struct device *device);
void notifier_stop(struct device *device);

#endif
