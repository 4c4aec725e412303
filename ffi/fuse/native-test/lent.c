/* Goal: reads out of blocks that are lent have the right bytes or are left to JavaScript, and none comes out of what was taken back.
 * Method: blocks in files, requests as the kernel makes them; rules, harm and nonsense by one thread, then several that read while
 * another changes versions, takes blocks back and erases them; built with sanitizers. `lent SEED EVENTS` */
#include "check.h"
#include "fuse.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

uint32_t kiseki_fuse_lent_max(struct device *);
int32_t kiseki_fuse_lend(struct device *, uint32_t, int32_t, uint64_t, uint64_t, uint64_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);
void kiseki_fuse_take_back(struct device *, uint32_t);
void kiseki_fuse_vouch_reads(struct device *, uint64_t, uint64_t, uint32_t);
void kiseki_fuse_withdraw_reads(struct device *, uint64_t);

#define ROOM (128 * 1024)
#define NODES 4
#define WORKERS 3
#define NODE 77
#define MINUTE 60000

static struct device *device;
static long events;
/* What is written from now on the system keeps in memory. */
static int stays_in_memory;

struct kernel {
  int ours, theirs;
  uint64_t unique, random;
  uint8_t *target, *reply;
};
static struct kernel kernel_open(uint64_t seed) {
  int pair[2], size = 2 * ROOM;
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  CHECK(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
  return (struct kernel){pair[0], pair[1], 2, seed * 2654435761u + 88172645463325252u, malloc(ROOM), malloc(ROOM + 16)};
}
static void kernel_close(struct kernel *kernel) {
  close(kernel->ours), close(kernel->theirs);
  free(kernel->target), free(kernel->reply);
}
static uint32_t chance(struct kernel *kernel, uint32_t below) {
  kernel->random ^= kernel->random << 13, kernel->random ^= kernel->random >> 7, kernel->random ^= kernel->random << 17;
  return (uint32_t)(kernel->random >> 20) % below;
}

/* Bytes of the answer, which are in `kernel->reply + 16`; -1: it was left to JavaScript. */
static long ask(struct kernel *kernel, uint64_t node, uint64_t offset, uint32_t size) {
  uint8_t request[sizeof(struct fuse_in_header) + sizeof(struct fuse_read_in)];
  struct fuse_in_header head = {.len = sizeof request, .opcode = FUSE_READ, .unique = kernel->unique += 2, .nodeid = node};
  struct fuse_read_in in = {.offset = offset, .size = size};
  memcpy(request, &head, sizeof head);
  memcpy(request + sizeof head, &in, sizeof in);
  int answered = answered_by_lent(device, kernel->theirs, request, sizeof request, kernel->target, ROOM);
  ssize_t got = recv(kernel->ours, kernel->reply, ROOM + 16, MSG_DONTWAIT);
  CHECK(answered == (got >= 0));
  if (!answered) return -1;
  struct fuse_out_header told;
  CHECK(got >= (ssize_t)sizeof told);
  memcpy(&told, kernel->reply, sizeof told);
  CHECK(told.len == got && told.error == 0 && told.unique == kernel->unique);
  return got - (long)sizeof told;
}

static uint8_t byte_of(uint64_t node, uint64_t version, uint64_t offset) {
  return (uint8_t)(offset * 7 + (offset >> 12) * 31 + node * 101 + version * 59);
}
static int is_right(const struct kernel *kernel, uint64_t node, uint64_t version, uint64_t offset, long size) {
  for (long i = 0; i < size; i++)
    if (kernel->reply[16 + i] != byte_of(node, version, offset + (uint64_t)i)) return 0;
  return 1;
}
/* Bit by bit, apart from what is tested. */
static uint32_t crc_slowly(uint32_t initial, const uint8_t *source, size_t size) {
  uint32_t crc = ~initial;
  for (; size > 0; size--) {
    crc ^= *source++;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}
static void put_sums(uint32_t seed, const uint8_t *bytes, size_t size, uint8_t *sums) {
  for (uint32_t i = 0; i * (size_t)LENT_SEGMENT < size; i++) {
    uint8_t number[4] = {(uint8_t)i, (uint8_t)(i >> 8), 0, 0};
    size_t part = size - i * (size_t)LENT_SEGMENT < LENT_SEGMENT ? size - i * (size_t)LENT_SEGMENT : LENT_SEGMENT;
    uint32_t sum = crc_slowly(crc_slowly(seed, number, 4), bytes + i * (size_t)LENT_SEGMENT, part);
    for (int at = 0; at < 4; at++) *sums++ = (uint8_t)(sum >> (24 - 8 * at));
  }
}
/* A file with a block: the node's bytes from `start` on, and their sums. */
static int block_file(uint64_t node, uint64_t version, uint64_t start, uint32_t size, uint32_t seed) {
  size_t trailer = 4 * (((size_t)size + LENT_SEGMENT - 1) / LENT_SEGMENT);
  uint8_t *bytes = malloc(size + trailer);
  for (uint32_t i = 0; i < size; i++) bytes[i] = byte_of(node, version, start + i);
  put_sums(seed, bytes, size, bytes + size);
  char name[] = "/tmp/kiseki-lent-XXXXXX"; /* memory that is no disk's cannot say what it has at once */
  int fd = mkstemp(name);
  CHECK(fd >= 0 && unlink(name) == 0 && write(fd, bytes, size + trailer) == (ssize_t)(size + trailer));
  free(bytes);
  if (stays_in_memory) CHECK(mlock(mmap(NULL, size + trailer, PROT_READ, MAP_SHARED, fd, 0), size + trailer) == 0);
  return fd;
}
static int lend(uint32_t slot, int fd, uint64_t version, uint64_t start, uint32_t size, uint32_t seed, int is_end) {
  return kiseki_fuse_lend(device, slot, fd, NODE, version, start, 0, size, size, seed, (uint32_t)is_end);
}
static void pass(long milliseconds) { nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL); }

static void check_sums(struct kernel *kernel) {
  CHECK(crc_slowly(0, (const uint8_t *)"123456789", 9) == 0xe3069283u);
  for (long round = 0; round < 40; round++) {
    size_t size = 1 + chance(kernel, 11 * LENT_SEGMENT), trailer = 4 * ((size + LENT_SEGMENT - 1) / LENT_SEGMENT);
    uint8_t *bytes = malloc(size), *sums = malloc(trailer);
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)chance(kernel, 256);
    struct sums of = {chance(kernel, 1 << 30), 0, sums};
    put_sums(of.seed, bytes, size, sums);
    CHECK(are_right(&of, bytes, size) && are_right_plain(&of, bytes, size));
    uint8_t *harmed = chance(kernel, 8) == 0 ? &sums[chance(kernel, (uint32_t)trailer)] : &bytes[chance(kernel, (uint32_t)size)];
    *harmed ^= (uint8_t)(1 << chance(kernel, 8));
    CHECK(!are_right(&of, bytes, size) && !are_right_plain(&of, bytes, size));
    free(bytes), free(sums);
  }
}

static void check_rules(struct kernel *kernel) {
  uint32_t size = 8 * LENT_SEGMENT, tail = 2 * LENT_SEGMENT + 100;
  uint64_t at = (1 << 20) - 4 * (uint64_t)LENT_SEGMENT; /* lies in two windows */
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) == -1);
  CHECK(lend(3, block_file(NODE, 9, at, size, 5), 9, at, size, 5, 0) == 0);
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) == -1);
  kiseki_fuse_vouch_reads(device, NODE, 9, MINUTE);
  for (uint32_t i = 0; i < 8; i++)
    CHECK(ask(kernel, NODE, at + i * LENT_SEGMENT, LENT_SEGMENT) == LENT_SEGMENT && is_right(kernel, NODE, 9, at + i * LENT_SEGMENT, LENT_SEGMENT));
  CHECK(ask(kernel, NODE, at, size) == (long)size && is_right(kernel, NODE, 9, at, size));
  CHECK(device->control->lent_reads == 9 && device->control->is_used[3] == 1 && device->control->is_used[4] == 0);
  /* Not all of it, parts of segments, another node, more than there is room for. */
  CHECK(ask(kernel, NODE, at, size + LENT_SEGMENT) == -1 && ask(kernel, NODE, at - LENT_SEGMENT, 2 * LENT_SEGMENT) == -1);
  CHECK(ask(kernel, NODE, at + 1, LENT_SEGMENT) == -1 && ask(kernel, NODE, at, 100) == -1 && ask(kernel, NODE, at, 0) == -1);
  CHECK(ask(kernel, NODE + 1, at, LENT_SEGMENT) == -1 && ask(kernel, NODE, UINT64_MAX - 4095, LENT_SEGMENT) == -1);
  CHECK(ask(kernel, NODE, at, ROOM + LENT_SEGMENT) == -1);
  /* The next block, with the file's end. */
  CHECK(lend(4, block_file(NODE, 9, at + size, tail, 6), 9, at + size, tail, 6, 1) == 0);
  CHECK(ask(kernel, NODE, at, ROOM) == (long)(size + tail) && is_right(kernel, NODE, 9, at, size + tail));
  CHECK(ask(kernel, NODE, at + size + 2 * LENT_SEGMENT, LENT_SEGMENT) == 100);
  CHECK(ask(kernel, NODE, at + size + 3 * LENT_SEGMENT, LENT_SEGMENT) == -1);
  /* Withdrawn, another version, over. */
  kiseki_fuse_withdraw_reads(device, NODE + 1);
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) > 0);
  kiseki_fuse_withdraw_reads(device, NODE);
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) == -1);
  kiseki_fuse_vouch_reads(device, NODE, 10, MINUTE);
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) == -1);
  kiseki_fuse_vouch_reads(device, NODE, 9, 20);
  pass(30);
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) == -1);
  kiseki_fuse_vouch_reads(device, NODE, 9, MINUTE);
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) > 0);
  /* Taken back, and replaced. */
  kiseki_fuse_take_back(device, 3);
  kiseki_fuse_take_back(device, 3);
  kiseki_fuse_take_back(device, UINT32_MAX);
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) == -1 && ask(kernel, NODE, at + size, LENT_SEGMENT) > 0);
  CHECK(lend(4, block_file(NODE, 9, at, size, 5), 9, at, size, 5, 0) == 0);
  CHECK(ask(kernel, NODE, at, LENT_SEGMENT) > 0 && ask(kernel, NODE, at + size, LENT_SEGMENT) == -1);
  kiseki_fuse_take_back(device, 4);
}
static void check_refusals(void) {
  int fd = block_file(NODE, 1, 0, 100, 1);
  CHECK(lend(kiseki_fuse_lent_max(device), fd, 1, 0, 100, 1, 0) < 0 && lend(0, -1, 1, 0, 100, 1, 0) < 0);
  CHECK(lend(0, fd, 1, 0, 0, 1, 0) < 0 && lend(0, fd, 1, 0, (1 << 20) + 1, 1, 0) < 0);
  CHECK(kiseki_fuse_lend(device, 0, fd, NODE, 1, 0, 50, 51, 100, 1, 0) < 0);
  CHECK(kiseki_fuse_lend(device, 0, fd, NODE, 1, 0, 101, 1, 100, 1, 0) < 0);
  CHECK(kiseki_fuse_lend(device, 0, fd, NODE, 1, 0, 0, 1, LENT_BLOCK_MAX + 1, 1, 0) < 0);
  CHECK(close(fd) == 0);
}

/* One bit, or an end, and not a byte of that segment is served. */
static void check_harm(struct kernel *kernel) {
  uint32_t size = 20 * LENT_SEGMENT, trailer = 4 * 20;
  kiseki_fuse_vouch_reads(device, NODE, 1, MINUTE);
  for (long round = 0; round < 60; round++) {
    int fd = block_file(NODE, 1, 0, size, 3), other = dup(fd);
    CHECK(lend(1, fd, 1, 0, size, round % 10 == 9 ? 4 : 3, 1) == 0);
    uint32_t segment = chance(kernel, 20);
    uint64_t at = round % 3 == 0 ? size + 4 * segment + chance(kernel, 4) : segment * LENT_SEGMENT + chance(kernel, LENT_SEGMENT);
    uint8_t byte;
    CHECK(pread(other, &byte, 1, (off_t)at) == 1);
    byte ^= (uint8_t)(1 << chance(kernel, 8));
    if (round % 3 == 1) CHECK(ftruncate(other, (off_t)(chance(kernel, 2) ? at : size + trailer - 1)) == 0);
    else CHECK(pwrite(other, &byte, 1, (off_t)at) == 1);
    CHECK(ask(kernel, NODE, 0, size) == -1);
    if (round % 3 != 1) CHECK(ask(kernel, NODE, segment * LENT_SEGMENT, LENT_SEGMENT) == -1);
    uint32_t beside = (segment + 1) % 20;
    long count = ask(kernel, NODE, beside * LENT_SEGMENT, LENT_SEGMENT);
    CHECK(count == -1 || is_right(kernel, NODE, 1, beside * LENT_SEGMENT, count));
    close(other);
  }
  kiseki_fuse_take_back(device, 1);
}

static void check_hostile(struct kernel *kernel) {
  uint8_t bytes[100];
  uint64_t node = NODE;
  CHECK(lend(2, block_file(NODE, 1, 0, 3 * LENT_SEGMENT, 1), 1, 0, 3 * LENT_SEGMENT, 1, 1) == 0);
  for (long i = 0; i < events; i++) {
    size_t size = chance(kernel, 2) ? sizeof(struct fuse_in_header) + sizeof(struct fuse_read_in) : chance(kernel, sizeof bytes);
    for (size_t at = 0; at < size; at++) bytes[at] = (uint8_t)chance(kernel, 256);
    uint32_t opcode = chance(kernel, 3) ? FUSE_READ : chance(kernel, 60);
    if (size >= 8) memcpy(bytes + 4, &opcode, 4);
    if (size >= 24) memcpy(bytes + 16, &node, 8);
    uint8_t *exact = malloc(size + 1);
    memcpy(exact, bytes, size);
    int answered = answered_by_lent(device, kernel->theirs, exact, size, kernel->target, ROOM);
    CHECK(answered == (recv(kernel->ours, kernel->reply, ROOM + 16, MSG_DONTWAIT) >= 0));
    free(exact);
  }
  kiseki_fuse_take_back(device, 2);
}

/* The least version that a read which begins now may find. */
static atomic_ulong version[NODES];
static atomic_int running;
static atomic_long acts, hits;

static void *work(void *argument) {
  struct kernel kernel = kernel_open((uint64_t)(intptr_t)argument + 17);
  for (long done = 0; done < events / 4 || atomic_load(&acts) < 200 || atomic_load(&hits) < 20; done++) {
    uint32_t node = chance(&kernel, NODES), segment = chance(&kernel, 4);
    uint64_t offset = segment * (uint64_t)LENT_SEGMENT;
    unsigned long least = atomic_load(&version[node]);
    long count = ask(&kernel, 100 + node, offset, LENT_SEGMENT * (1 + chance(&kernel, 4 - segment)));
    unsigned long most = atomic_load(&version[node]) + 1; /* the next is lent just before it is told */
    if (count < 0) {
      sched_yield();
      continue;
    }
    atomic_fetch_add(&hits, 1);
    int found = 0;
    for (unsigned long each = least; each <= most; each++) found += is_right(&kernel, 100 + node, each, offset, count);
    CHECK(found == 1);
  }
  kernel_close(&kernel);
  atomic_fetch_sub(&running, 1);
  return NULL;
}
static void check_together(struct kernel *kernel) {
  static const uint8_t zeros[4 * LENT_SEGMENT + 16];
  pthread_t threads[WORKERS];
  int open[NODES];
  for (uint32_t i = 0; i < NODES; i++) open[i] = -1;
  atomic_store(&running, WORKERS);
  for (long i = 0; i < WORKERS; i++) CHECK(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i) == 0);
  while (atomic_load(&running) > 0) {
    uint32_t node = chance(kernel, NODES), act = chance(kernel, 8), size = 4 * LENT_SEGMENT;
    unsigned long next = atomic_load(&version[node]) + 1;
    if (act < 4) {
      kiseki_fuse_withdraw_reads(device, 100 + node);
      atomic_store(&version[node], next);
    }
    if (act < 2 && open[node] >= 0) {
      /* Erased, as soon as nothing is read out of it any more. */
      kiseki_fuse_take_back(device, node);
      CHECK(pwrite(open[node], zeros, sizeof zeros, 0) == sizeof zeros);
      close(open[node]);
      open[node] = -1;
    }
    if (act < 4) {
      int fd = block_file(100 + node, next, 0, size, node);
      if (open[node] >= 0) close(open[node]);
      open[node] = dup(fd);
      CHECK(kiseki_fuse_lend(device, node, fd, 100 + node, next, 0, 0, size, size, node, 1) == 0);
      kiseki_fuse_vouch_reads(device, 100 + node, next, chance(kernel, 4) ? MINUTE : 1 + chance(kernel, 5));
    }
    atomic_fetch_add(&acts, 1);
    for (uint32_t i = 0; i < 4; i++) sched_yield();
  }
  for (long i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
  for (uint32_t i = 0; i < NODES; i++)
    if (open[i] >= 0) close(open[i]);
}

int main(int count, char **words) {
  if (count != 3) return 2;
  events = atol(words[2]);
  device = calloc(1, sizeof *device);
  device->control = calloc(1, sizeof *device->control);
  device->lending = lending_make();
  CHECK(device->lending != NULL && kiseki_fuse_lent_max(device) > NODES);
  struct kernel kernel = kernel_open((uint64_t)atol(words[1]));
  check_sums(&kernel);
  stays_in_memory = 1;
  check_rules(&kernel);
  stays_in_memory = 0;
  check_refusals();
  check_harm(&kernel);
  check_hostile(&kernel);
  check_together(&kernel);
  printf("read %u\n", device->control->lent_reads);
  kernel_close(&kernel);
  lending_end(device->lending);
  free(device->control);
  free(device);
  return 0;
}
