/* Random requests, answers and notices against the library under ASan and UBSan: hostile.c SEED ROUNDS. A socket that keeps
 * messages apart stands in for the kernel's device. */
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/fuse.h>

int32_t kiseki_fuse_mount(const char *source, const char *target, const char *options, uint32_t flags);
int32_t kiseki_fuse_mount_by_helper(const char *helper, const char *target, const char *options);
int32_t kiseki_fuse_unmount(const char *target, uint32_t flags);
int32_t kiseki_fuse_unmount_by_helper(const char *helper, const char *target, uint32_t is_lazy);
struct device *kiseki_fuse_start(int32_t fd, uint32_t slots, uint32_t slot_size, uint32_t readers, void (*callback)(void));
void kiseki_fuse_stop(struct device *device);
void *kiseki_fuse_memory(struct device *device);
uint32_t kiseki_fuse_control_size(void);
uint32_t kiseki_fuse_drain(struct device *device);
int32_t kiseki_fuse_ended(struct device *device);
int32_t kiseki_fuse_release(struct device *device, uint32_t slot);
int32_t kiseki_fuse_reply(struct device *device, uint32_t reader, const uint8_t *head, uint32_t head_size, const uint8_t *data, uint32_t size);
int32_t kiseki_fuse_reply_slot(struct device *device, uint32_t reader, const uint8_t *head, uint32_t head_size, uint32_t slot, uint32_t size);
void kiseki_fuse_trim(struct device *device);
void kiseki_fuse_quiet(struct device *device, uint64_t handle, uint32_t is_quiet);
int32_t kiseki_fuse_notify(struct device *device, uint32_t reader, const uint8_t *bytes, uint32_t size);
uint32_t kiseki_fuse_notices_failed(struct device *device);

#define MUST(holds) \
  do { \
    if (!(holds)) { \
      fprintf(stderr, "line %d: must hold: %s\n", __LINE__, #holds); \
      abort(); \
    } \
  } while (0)

enum { SLOTS = 4, SLOT_SIZE = 16384, MESSAGE_MAX = 32768 };

static sem_t called;
static void callback(void) { sem_post(&called); }

static uint64_t state;
static uint64_t chance(uint64_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state % below;
}
static void fill(uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)chance(256);
}

struct world {
  struct device *device;
  int kernel;
  uint32_t head; /* of the ring, as drained */
};
static struct world open_world(void) {
  int pair[2];
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  struct world world = {.kernel = pair[1]};
  world.device = kiseki_fuse_start(pair[0], SLOTS, SLOT_SIZE, 1, callback);
  MUST(world.device != NULL);
  return world;
}

/* The slot of the next request, waited for. */
static uint32_t next_request(struct world *world, uint32_t *size) {
  struct control *control = kiseki_fuse_memory(world->device);
  while (kiseki_fuse_drain(world->device) == world->head) sem_wait(&called);
  uint32_t slot = control->ring[world->head++ % SLOTS_MAX];
  MUST(slot < SLOTS && control->reader[slot] == 0);
  *size = control->size[slot];
  return slot;
}
static const uint8_t *slot_bytes(struct world *world, uint32_t slot) {
  return (uint8_t *)kiseki_fuse_memory(world->device) + kiseki_fuse_control_size() + (size_t)slot * SLOT_SIZE;
}

static void requests(struct world *world, int rounds) {
  static uint8_t sent[MESSAGE_MAX], got[MESSAGE_MAX], answer[MESSAGE_MAX];
  for (int round = 0; round < rounds; round++) {
    size_t size = 1 + chance(chance(4) == 0 ? MESSAGE_MAX : 300);
    fill(sent, size);
    /* Never one that a thread of the library answers by itself. */
    if (size >= 8) sent[4] |= 0x80;
    MUST(send(world->kernel, sent, size, 0) == (ssize_t)size);
    uint32_t found, slot = next_request(world, &found);
    MUST(found == (size < SLOT_SIZE ? size : SLOT_SIZE));
    MUST(memcmp(slot_bytes(world, slot), sent, found) == 0);
    size_t head_size = REPLY_HEAD_SIZE + chance(100), data_size = chance(SLOT_SIZE);
    fill(answer, head_size + data_size);
    uint32_t wrong = (uint32_t)(1 + chance(UINT32_MAX));
    MUST(kiseki_fuse_reply(world->device, wrong, answer, head_size, answer, data_size) == -EINVAL);
    MUST(kiseki_fuse_reply(world->device, 0, answer, (uint32_t)chance(REPLY_HEAD_SIZE), NULL, 0) == -EINVAL);
    MUST(kiseki_fuse_reply_slot(world->device, 0, answer, head_size, SLOTS + wrong % 1000, 1) == -EINVAL);
    MUST(kiseki_fuse_reply_slot(world->device, 0, answer, head_size, slot, SLOT_SIZE + 1) == -EINVAL);
    int by_slot = chance(2) == 0;
    int32_t result = by_slot ? kiseki_fuse_reply_slot(world->device, 0, answer, head_size, slot, data_size)
                             : kiseki_fuse_reply(world->device, 0, answer, head_size, answer + head_size, data_size);
    MUST(result == 0);
    MUST(recv(world->kernel, got, sizeof got, 0) == (ssize_t)(head_size + data_size));
    MUST(memcmp(got, answer, head_size) == 0);
    MUST(memcmp(got + head_size, by_slot ? slot_bytes(world, slot) : answer + head_size, data_size) == 0);
    MUST(kiseki_fuse_release(world->device, slot) == 0);
    MUST(kiseki_fuse_release(world->device, SLOTS + wrong % 1000) == -EINVAL);
    if (chance(10) == 0) kiseki_fuse_trim(world->device);
  }
}

/* Whether a FLUSH of the handle is answered without anybody asking for it here. */
static int is_answered(struct world *world, uint64_t handle) {
  struct {
    struct fuse_in_header head;
    struct fuse_flush_in flush;
  } request = {.head = {.len = sizeof request, .opcode = FUSE_FLUSH, .unique = handle}, .flush = {.fh = handle}};
  MUST(send(world->kernel, &request, sizeof request, 0) == sizeof request);
  struct control *control = kiseki_fuse_memory(world->device);
  for (;;) {
    struct pollfd waiting = {.fd = world->kernel, .events = POLLIN};
    if (poll(&waiting, 1, 1) == 1) {
      struct fuse_out_header answer;
      MUST(recv(world->kernel, &answer, sizeof answer, 0) == sizeof answer);
      MUST(answer.len == sizeof answer && answer.error == 0 && answer.unique == handle);
      return 1;
    }
    if (kiseki_fuse_drain(world->device) == world->head) continue;
    MUST(kiseki_fuse_release(world->device, control->ring[world->head++ % SLOTS_MAX]) == 0);
    return 0;
  }
}
static void quiet_handles(struct world *world) {
  for (uint64_t handle = 1; handle <= 3 * QUIET_MAX; handle++) kiseki_fuse_quiet(world->device, handle, 1);
  MUST(is_answered(world, 3 * QUIET_MAX));
  kiseki_fuse_quiet(world->device, 3 * QUIET_MAX, 0);
  MUST(!is_answered(world, 3 * QUIET_MAX));
  for (uint64_t handle = 0; handle < 4; handle++) kiseki_fuse_quiet(world->device, handle - 2, 1);
  MUST(!is_answered(world, 0) && !is_answered(world, UINT64_MAX) && is_answered(world, 1));
  for (int i = 0; i < 3 * QUIET_MAX; i++) kiseki_fuse_quiet(world->device, chance(100000), (uint32_t)chance(2));
}

/* More than may wait there, of all sizes; the device is stopped with what is left of them. */
static void notices(struct world *world) {
  static uint8_t bytes[NOTICE_SIZE_MAX + 1];
  MUST(kiseki_fuse_notify(world->device, 0, bytes, NOTICE_SIZE_MAX + 1) == -EINVAL);
  MUST(kiseki_fuse_notify(world->device, 0, bytes, REPLY_HEAD_SIZE - 1) == -EINVAL);
  MUST(kiseki_fuse_notify(world->device, 1, bytes, REPLY_HEAD_SIZE) == -EINVAL);
  int32_t result = 0;
  for (int i = 0; result == 0; i++) {
    MUST(i < 2 * NOTICES_MAX);
    result = kiseki_fuse_notify(world->device, 0, bytes, REPLY_HEAD_SIZE + (uint32_t)chance(NOTICE_SIZE_MAX - REPLY_HEAD_SIZE));
  }
  MUST(result == -ENOBUFS && kiseki_fuse_notices_failed(world->device) == 0);
  close(world->kernel); /* a socket, other than the kernel, lets its writer wait */
}

/* Requests that nobody takes: the reader waits for a slot, and is stopped there. */
static void too_many(struct world *world) {
  uint8_t request[64] = {0};
  for (int i = 0; i < 3 * SLOTS; i++) MUST(send(world->kernel, request, sizeof request, 0) == sizeof request);
  uint32_t size;
  for (int i = 0; i < SLOTS; i++) next_request(world, &size);
}

static void mounts(void) {
  static char options[9000];
  memset(options, 'a', sizeof options - 1);
  MUST(kiseki_fuse_mount("source", "/nowhere at all", "", 0) == -ENOENT);
  int32_t result = kiseki_fuse_mount("source", "/", options, 0);
  MUST(result == -E2BIG || result == -ENOENT || result == -EACCES); /* the last two: this machine has no FUSE */
  MUST(kiseki_fuse_mount_by_helper("/no such helper", "/", "") == -ENOENT);
  MUST(kiseki_fuse_mount_by_helper("/bin/true", "/", options) == -EPERM);
  MUST(kiseki_fuse_mount_by_helper("/bin/false", "/", "") == -EPERM);
  MUST(kiseki_fuse_unmount_by_helper("/bin/false", "/nowhere", 1) == -EPERM);
  MUST(kiseki_fuse_unmount_by_helper("/bin/true", "/nowhere", 0) == 0);
  MUST(kiseki_fuse_unmount("/nowhere at all", 0) < 0);
}

static void refused_sizes(void) {
  uint32_t sizes[][3] = {{1, SLOT_SIZE, 1}, {SLOTS_MAX + 1, SLOT_SIZE, 1}, {SLOTS, 4096, 1}, {SLOTS, SLOT_SIZE + 1, 1},
                         {SLOTS, UINT32_MAX - 4095, 1}, {SLOTS, SLOT_SIZE, 0}, {SLOTS, SLOT_SIZE, READERS_MAX + 1}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    MUST(kiseki_fuse_start(-1, sizes[i][0], sizes[i][1], sizes[i][2], callback) == NULL);
}

int main(int count, char **words) {
  MUST(count == 3);
  state = strtoull(words[1], NULL, 10) * 2 + 1;
  sem_init(&called, 0, 0);
  signal(SIGPIPE, SIG_IGN);
  refused_sizes();
  mounts();
  void (*last[])(struct world *) = {notices, too_many, NULL};
  for (int i = 0; i < 3; i++) {
    struct world world = open_world();
    requests(&world, atoi(words[2]));
    quiet_handles(&world);
    if (last[i]) last[i](&world);
    else {
      close(world.kernel); /* an end of file in place of a request: the device ends */
      while (kiseki_fuse_ended(world.device) == 0) sem_wait(&called);
      MUST(kiseki_fuse_ended(world.device) == EIO);
    }
    kiseki_fuse_stop(world.device);
    if (last[i] == too_many) close(world.kernel);
  }
  return 0;
}
