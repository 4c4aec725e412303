/* Goal: opens that are answered without JavaScript keep their promises. Method: requests as the kernel makes them, by one thread
 * for each rule, then by several while another vouches, withdraws and takes over; built with sanitizers. `quick SEED EVENTS` */
#include "check.h"
#include "fuse.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

void kiseki_fuse_vouch(struct device *, uint64_t, uint32_t);
void kiseki_fuse_withdraw(struct device *, uint64_t);
uint32_t kiseki_fuse_take(struct device *, uint64_t, double *);
uint32_t kiseki_fuse_take_all(struct device *, double *, uint32_t);
void kiseki_fuse_quiet(struct device *, uint64_t, uint32_t);

#define NODES 24
#define WORKERS 4

static struct device *device;
static long events;

struct kernel {
  int ours, theirs;
  uint64_t unique, random;
};
static struct kernel kernel_open(uint64_t seed) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  return (struct kernel){.ours = pair[0], .theirs = pair[1], .unique = 2, .random = seed * 2654435761u + 88172645463325252u};
}
static void kernel_close(struct kernel *kernel) {
  close(kernel->ours);
  close(kernel->theirs);
}
static uint32_t chance(struct kernel *kernel, uint32_t below) {
  kernel->random ^= kernel->random << 13, kernel->random ^= kernel->random >> 7, kernel->random ^= kernel->random << 17;
  return (uint32_t)(kernel->random >> 20) % below;
}
static int is_closed(struct kernel *kernel) {
  uint8_t byte;
  return recv(kernel->ours, &byte, 1, MSG_DONTWAIT) < 0;
}

/* Whether it was answered; then `out` has the answer's body of `out_size` bytes. */
static int ask(struct kernel *kernel, uint32_t opcode, uint64_t node, const void *body, size_t size, void *out, size_t out_size) {
  uint8_t request[256], reply[256];
  struct fuse_in_header head = {.len = (uint32_t)(sizeof head + size), .opcode = opcode, .unique = kernel->unique += 2, .nodeid = node};
  memcpy(request, &head, sizeof head);
  memcpy(request + sizeof head, body, size);
  uint8_t *exact = malloc(head.len); /* of this size and no more, for ASan */
  memcpy(exact, request, head.len);
  int answered = answered_at_once(device, kernel->theirs, exact, head.len);
  free(exact);
  if (!answered) {
    CHECK(is_closed(kernel));
    return 0;
  }
  struct fuse_out_header told;
  CHECK(recv(kernel->ours, reply, sizeof reply, 0) == (ssize_t)(sizeof told + out_size));
  memcpy(&told, reply, sizeof told);
  CHECK(told.len == sizeof told + out_size && told.error == 0 && told.unique == kernel->unique);
  if (out_size > 0) memcpy(out, reply + sizeof told, out_size);
  return 1;
}
static uint64_t open_flags(struct kernel *kernel, uint64_t node, uint32_t flags, uint32_t more) {
  struct fuse_open_in in = {.flags = flags, .open_flags = more};
  struct fuse_open_out out;
  if (!ask(kernel, FUSE_OPEN, node, &in, sizeof in, &out, sizeof out)) return 0;
  CHECK(out.open_flags == FOPEN_KEEP_CACHE && out.fh >= 1ull << 48 && out.fh < 1ull << 53);
  return out.fh;
}
static uint64_t open_node(struct kernel *kernel, uint64_t node) { return open_flags(kernel, node, O_RDONLY, 0); }
static int flush(struct kernel *kernel, uint64_t handle) {
  struct fuse_flush_in in = {.fh = handle};
  return ask(kernel, FUSE_FLUSH, 1, &in, sizeof in, NULL, 0);
}
static int release(struct kernel *kernel, uint64_t handle, uint32_t flags) {
  struct fuse_release_in in = {.fh = handle, .release_flags = flags};
  return ask(kernel, FUSE_RELEASE, 1, &in, sizeof in, NULL, 0);
}
static void pass(long milliseconds) { nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL); }

static void check_rules(struct kernel *kernel) {
  double out[3];
  CHECK(open_node(kernel, 5) == 0);
  kiseki_fuse_vouch(device, 5, 60000);
  CHECK(open_node(kernel, 6) == 0);
  CHECK(device->control->is_opening == 0);
  uint64_t handle = open_node(kernel, 5);
  CHECK(handle != 0 && device->control->is_opening == 1);
  CHECK(open_flags(kernel, 5, O_WRONLY, 0) == 0 && open_flags(kernel, 5, O_RDWR, 0) == 0);
  CHECK(open_flags(kernel, 5, O_RDONLY | O_TRUNC, 0) == 0 && open_flags(kernel, 5, O_RDONLY, 1) == 0);
  CHECK(flush(kernel, handle) && !flush(kernel, handle + 1) && !release(kernel, handle + QUICK_HANDLES_MAX, 0));
  CHECK(!release(kernel, handle, FUSE_RELEASE_FLOCK_UNLOCK) && release(kernel, handle, 0) && !release(kernel, handle, 0));
  CHECK(!flush(kernel, handle) && !kiseki_fuse_take(device, handle, out));
  /* What was taken over is JavaScript's, and quiet where it says so. */
  handle = open_flags(kernel, 5, O_RDONLY | O_NOATIME, 0);
  CHECK(kiseki_fuse_take(device, handle, out) && out[0] == (double)handle && out[1] == 5 && out[2] == (O_RDONLY | O_NOATIME));
  CHECK(!kiseki_fuse_take(device, handle, out) && !flush(kernel, handle));
  kiseki_fuse_quiet(device, handle, 1);
  CHECK(flush(kernel, handle) && !release(kernel, handle, 0));
  kiseki_fuse_quiet(device, handle, 0);
  /* Withdrawn, and over. */
  kiseki_fuse_withdraw(device, 6);
  CHECK(release(kernel, open_node(kernel, 5), 0));
  kiseki_fuse_withdraw(device, 5);
  CHECK(open_node(kernel, 5) == 0);
  kiseki_fuse_vouch(device, 5, 20);
  pass(30);
  CHECK(open_node(kernel, 5) == 0);
}

static void check_room(struct kernel *kernel) {
  static double out[3 * 1000];
  kiseki_fuse_vouch(device, 7, 60000);
  for (int round = 0; round < 2; round++) {
    for (long i = 0; i < QUICK_HANDLES_MAX; i++) CHECK(open_node(kernel, 7) != 0);
    CHECK(open_node(kernel, 7) == 0);
    long taken = 0;
    uint32_t count;
    do taken += count = kiseki_fuse_take_all(device, out, 1000);
    while (count == 1000);
    CHECK(taken == QUICK_HANDLES_MAX && device->is_opening == 0);
  }
  kiseki_fuse_withdraw(device, 7);
}

static void check_hostile(struct kernel *kernel) {
  uint8_t bytes[200];
  kiseki_fuse_vouch(device, 8, 60000);
  for (long i = 0; i < events; i++) {
    size_t size = chance(kernel, sizeof bytes);
    for (size_t at = 0; at < size; at++) bytes[at] = (uint8_t)chance(kernel, 256);
    uint32_t opcodes[] = {FUSE_OPEN, FUSE_FLUSH, FUSE_RELEASE, chance(kernel, 60)};
    if (size >= 8) memcpy(bytes + 4, &opcodes[chance(kernel, 4)], 4);
    uint8_t *exact = malloc(size + 1);
    memcpy(exact, bytes, size);
    CHECK(!answered_at_once(device, kernel->theirs, exact, size) && is_closed(kernel));
    free(exact);
  }
  kiseki_fuse_withdraw(device, 8);
}

/* Even: may be vouched for; odd: withdrawn, and not vouched for since. */
static atomic_ulong state[NODES];
static atomic_int running;
/* What the other thread has done, and taken over. */
static atomic_long acts, takes;
static uint64_t *opened[WORKERS], *unanswered[WORKERS];
static long opened_count[WORKERS], unanswered_count[WORKERS], released_count[WORKERS];

static void *work(void *argument) {
  long number = (long)(intptr_t)argument;
  struct kernel kernel = kernel_open((uint64_t)number + 17);
  while (opened_count[number] < events && (opened_count[number] < events / 4 || atomic_load(&acts) < 400 || atomic_load(&takes) < 3)) {
    uint32_t node = chance(&kernel, NODES);
    unsigned long before = atomic_load(&state[node]);
    uint64_t handle = open_node(&kernel, 100 + node);
    if (handle == 0) {
      sched_yield();
      continue;
    }
    CHECK(before % 2 == 0 || atomic_load(&state[node]) != before);
    opened[number][opened_count[number]++] = handle;
    int was_flushed = flush(&kernel, handle);
    if (chance(&kernel, 4) == 0) sched_yield();
    if (release(&kernel, handle, 0)) {
      CHECK(was_flushed);
      released_count[number]++;
    } else unanswered[number][unanswered_count[number]++] = handle;
  }
  kernel_close(&kernel);
  atomic_fetch_sub(&running, 1);
  return NULL;
}
static int compare(const void *a, const void *b) {
  uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
  return one < two ? -1 : one > two;
}

static void check_together(struct kernel *kernel) {
  static double out[3 * 64];
  pthread_t threads[WORKERS];
  size_t size = sizeof(uint64_t) * (size_t)events * WORKERS;
  uint64_t *taken = malloc(size), *all = malloc(size);
  long taken_count = 0, all_count = 0, left_count = 0, released = 0;
  atomic_store(&running, WORKERS);
  for (uint32_t i = 0; i < NODES; i++) {
    atomic_store(&state[i], 2);
    kiseki_fuse_vouch(device, 100 + i, 60000);
  }
  for (long i = 0; i < WORKERS; i++) {
    opened[i] = malloc(size), unanswered[i] = malloc(size);
    CHECK(pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i) == 0);
  }
  while (atomic_load(&running) > 0) {
    uint32_t node = chance(kernel, NODES), act = chance(kernel, 8);
    unsigned long known = atomic_load(&state[node]);
    if (act < 4) {
      atomic_store(&state[node], known + 2 - known % 2);
      kiseki_fuse_vouch(device, 100 + node, chance(kernel, 8) ? 60000 : 1 + chance(kernel, 5));
    } else if (act < 7) {
      kiseki_fuse_withdraw(device, 100 + node);
      if (known % 2 == 0) atomic_store(&state[node], known + 1);
    } else {
      uint32_t count = kiseki_fuse_take_all(device, out, 64);
      for (uint32_t i = 0; i < count; i++) taken[taken_count++] = (uint64_t)out[3 * i];
      atomic_store(&takes, taken_count);
    }
    atomic_fetch_add(&acts, 1);
    sched_yield();
  }
  for (long i = 0; i < WORKERS; i++) {
    pthread_join(threads[i], NULL);
    memcpy(all + all_count, opened[i], sizeof *all * (size_t)opened_count[i]);
    all_count += opened_count[i], released += released_count[i];
  }
  /* No number twice; each handle was closed here or is JavaScript's, and never both. */
  qsort(all, (size_t)all_count, sizeof *all, compare);
  for (long i = 1; i < all_count; i++) CHECK(all[i - 1] != all[i]);
  for (long i = 0; i < WORKERS; i++)
    for (long j = 0; j < unanswered_count[i]; j++) all[left_count++] = unanswered[i][j];
  CHECK(left_count == taken_count && released + taken_count == all_count);
  qsort(all, (size_t)left_count, sizeof *all, compare);
  qsort(taken, (size_t)taken_count, sizeof *taken, compare);
  CHECK(memcmp(all, taken, sizeof *all * (size_t)left_count) == 0);
  printf("opened %ld taken %ld\n", all_count, taken_count);
  for (long i = 0; i < WORKERS; i++) free(opened[i]), free(unanswered[i]);
  free(taken), free(all);
}

int main(int count, char **words) {
  if (count != 3) return 2;
  events = atol(words[2]);
  device = calloc(1, sizeof *device);
  device->control = calloc(1, sizeof *device->control);
  pthread_mutex_init(&device->mutex, NULL);
  pthread_mutex_init(&device->quiet_mutex, NULL);
  pthread_mutex_init(&device->quick_mutex, NULL);
  struct kernel kernel = kernel_open((uint64_t)atol(words[1]));
  check_rules(&kernel);
  check_room(&kernel);
  check_hostile(&kernel);
  check_together(&kernel);
  kernel_close(&kernel);
  free(device->control);
  free(device);
  return 0;
}
