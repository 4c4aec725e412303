/* Goal: a request for a lock comes after what was read before it, whoever read that. Method: two threads read from a socket that
 * stands in for the kernel's device; reads of a RELEASE are held up between the kernel and the ring. Linked with --wrap of
 * read, open and ioctl; built with sanitizers. `order ROUNDS` */
#include "check.h"
#include "fuse.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

struct device *kiseki_fuse_start(int32_t fd, uint32_t slots, uint32_t slot_size, uint32_t readers, void (*callback)(void));
void kiseki_fuse_stop(struct device *device);
void *kiseki_fuse_memory(struct device *device);
uint32_t kiseki_fuse_control_size(void);
uint32_t kiseki_fuse_drain(struct device *device);
int32_t kiseki_fuse_release(struct device *device, uint32_t slot);

enum { SLOTS = 8, SLOT_SIZE = 8192 };

static sem_t called, held, let_go, lock_read;
static void callback(void) { sem_post(&called); }
static void await(sem_t *sem) {
  while (sem_wait(sem) != 0) {}
}

ssize_t __real_read(int fd, void *target, size_t size);
ssize_t __wrap_read(int fd, void *target, size_t size);
ssize_t __wrap_read(int fd, void *target, size_t size) {
  ssize_t got = __real_read(fd, target, size);
  struct fuse_in_header head;
  if (got < (ssize_t)sizeof head) return got;
  memcpy(&head, target, sizeof head);
  if (head.opcode == FUSE_SETLK || head.opcode == FUSE_SETLKW) sem_post(&lock_read);
  if (head.opcode == FUSE_RELEASE) {
    sem_post(&held);
    await(&let_go);
  }
  return got;
}

/* Another descriptor of the same socket, in place of the kernel's clone. */
static int ours;
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
  CHECK(strcmp(path, "/dev/fuse") == 0 && flags == (O_RDWR | O_CLOEXEC));
  return dup(ours);
}
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...) {
  CHECK(fd >= 0 && request == FUSE_DEV_IOC_CLONE);
  return 0;
}

static void ask(int kernel, uint32_t opcode, uint64_t unique) {
  struct fuse_in_header head = {.len = sizeof head, .opcode = opcode, .unique = unique};
  CHECK(send(kernel, &head, sizeof head, 0) == sizeof head);
}

static uint32_t drained; /* of the ring */
static int has_next(struct device *device) { return kiseki_fuse_drain(device) != drained; }
static uint64_t next(struct device *device) {
  while (!has_next(device)) await(&called);
  struct control *control = kiseki_fuse_memory(device);
  uint32_t slot = control->ring[drained++ % SLOTS_MAX];
  struct fuse_in_header head;
  memcpy(&head, (uint8_t *)control + kiseki_fuse_control_size() + (size_t)slot * SLOT_SIZE, sizeof head);
  CHECK(kiseki_fuse_release(device, slot) == 0);
  return head.unique;
}
static void pause_for(long milliseconds) { nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL); }

int main(int count, char **words) {
  long rounds = count > 1 ? strtol(words[1], NULL, 10) : 20;
  sem_init(&called, 0, 0);
  sem_init(&held, 0, 0);
  sem_init(&let_go, 0, 0);
  sem_init(&lock_read, 0, 0);
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  ours = pair[0];
  int kernel = pair[1];
  struct device *device = kiseki_fuse_start(ours, SLOTS, SLOT_SIZE, 2, callback);
  CHECK(device != NULL);
  uint64_t unique = 2;
  for (long round = 0; round < rounds; round++) {
    uint32_t opcode = round % 2 == 0 ? FUSE_SETLK : FUSE_SETLKW;
    ask(kernel, FUSE_RELEASE, unique);
    await(&held);
    ask(kernel, opcode, unique + 2);
    await(&lock_read);
    pause_for(5);
    CHECK(!has_next(device)); /* the lock waits for what was read before it */
    sem_post(&let_go);
    CHECK(next(device) == unique && next(device) == unique + 2);
    unique += 4;
    /* Nobody else has anything in hand: what waits for the kernel holds no lock up. */
    ask(kernel, opcode, unique);
    await(&lock_read);
    CHECK(next(device) == unique);
    unique += 2;
    /* Nor do two that were asked for at once hold each other up. */
    ask(kernel, opcode, unique);
    ask(kernel, opcode, unique + 2);
    await(&lock_read), await(&lock_read);
    CHECK(next(device) + next(device) == 2 * unique + 2);
    unique += 4;
  }
  kiseki_fuse_stop(device);
  close(kernel);
  return 0;
}
