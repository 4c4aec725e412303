/* Threads that read requests into slots, the ring by which JavaScript learns of them, and answers. JavaScript is called
 * once, then not again before it has drained the ring. */
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

/* Ends a blocked read; nothing else of the process uses it. */
#define WAKE_SIGNAL (SIGRTMAX - 3)
#define PAGE 4096
#define CONTROL_SIZE ((sizeof(struct control) + PAGE - 1) / PAGE * PAGE)

static void on_wake(int number) { (void)number; }

/* With the mutex held, so that no callback outlives kiseki_fuse_stop. */
static void signal_locked(struct device *device) {
  if (device->is_signalled || !device->callback) return;
  device->is_signalled = 1;
  device->callback();
}

void note_opening(struct device *device) {
  pthread_mutex_lock(&device->mutex);
  device->control->is_opening = 1;
  signal_locked(device);
  pthread_mutex_unlock(&device->mutex);
}

/* A free slot, waited for; -1 when the device stops. */
static int64_t take_slot(struct device *device) {
  pthread_mutex_lock(&device->mutex);
  while (device->free_count == 0 && !device->is_stopping) pthread_cond_wait(&device->freed, &device->mutex);
  int64_t slot = device->is_stopping ? -1 : (int64_t)device->free[--device->free_count];
  pthread_mutex_unlock(&device->mutex);
  return slot;
}

static void put_request(struct device *device, uint32_t slot, uint32_t size, uint32_t reader) {
  pthread_mutex_lock(&device->mutex);
  device->control->size[slot] = size;
  device->control->reader[slot] = reader;
  device->control->ring[device->tail++ % SLOTS_MAX] = slot;
  signal_locked(device);
  pthread_mutex_unlock(&device->mutex);
}

static uint8_t *slot_at(struct device *device, uint32_t slot) { return device->slots + (size_t)slot * device->slot_size; }

/* The request's size, or 0 when the device stops or has ended; then `end_errno` says why. */
static ssize_t read_request(struct reader *reader, uint8_t *target) {
  struct device *device = reader->device;
  for (;;) {
    reader->turn += 2;
    ssize_t size = read(reader->fd, target, device->slot_size);
    if (size > 0) return size;
    int error = size < 0 ? errno : EIO;
    /* ENOENT: the request was taken back while it was read. */
    if ((error == EINTR || error == EAGAIN || error == ENOENT) && !device->is_stopping) continue;
    pthread_mutex_lock(&device->mutex);
    if (!device->is_stopping && device->end_errno == 0) device->end_errno = error;
    pthread_mutex_unlock(&device->mutex);
    return 0;
  }
}

/* Whether `other` has put what it had read at its turn `seen`. */
static int has_gone_on(struct device *device, struct reader *other, uint32_t seen, int is_woken) {
  pthread_mutex_lock(&device->mutex);
  int has_gone = seen % 2 == 0 || other->turn != seen || other->has_ended || device->is_stopping;
  if (!has_gone && is_woken) pthread_kill(other->thread, WAKE_SIGNAL);
  pthread_mutex_unlock(&device->mutex);
  return has_gone;
}

/* What others have read before this request is in the ring before it. The kernel waits for no answer to a RELEASE, which ends a
 * lock, before it lets the process ask for the next one. */
static void let_others_go_first(struct reader *reader) {
  struct device *device = reader->device;
  reader->turn++; /* two that wait do not wait for each other: neither was answered before the other was asked */
  for (uint32_t i = 0; i < READERS_MAX; i++) {
    struct reader *other = &device->reader[i];
    uint32_t seen = other->turn;
    /* Who waits for the kernel is woken to begin its next turn; again, should it have come just before the read. */
    for (uint32_t round = 0; !has_gone_on(device, other, seen, round % 64 == 0); round++) sched_yield();
  }
  reader->turn++;
}
static int asks_for_lock(const uint8_t *request, size_t size) {
  struct fuse_in_header head;
  if (size < sizeof head) return 0;
  memcpy(&head, request, sizeof head);
  return head.opcode == FUSE_SETLK || head.opcode == FUSE_SETLKW;
}

/* The request lies in the first page of `slot`: an answer with bytes is made behind it. */
static int is_answered_here(struct reader *reader, uint8_t *slot, size_t size) {
  struct device *device = reader->device;
  if (answered_at_once(device, reader->fd, slot, size)) return 1;
  return size <= PAGE && answered_by_lent(device, reader->fd, slot, size, slot + PAGE, device->slot_size - PAGE);
}

static void *read_requests(void *argument) {
  struct reader *reader = argument;
  struct device *device = reader->device;
  uint32_t number = (uint32_t)(reader - device->reader);
  for (;;) {
    int64_t slot = take_slot(device);
    if (slot < 0) break;
    uint8_t *request = slot_at(device, (uint32_t)slot);
    ssize_t size;
    reader->turn++;
    do size = read_request(reader, request);
    while (size > 0 && is_answered_here(reader, request, (size_t)size));
    if (size == 0) break;
    if (asks_for_lock(request, (size_t)size)) let_others_go_first(reader);
    put_request(device, (uint32_t)slot, (uint32_t)size, number);
    reader->turn++;
  }
  pthread_mutex_lock(&device->mutex);
  reader->has_ended = 1;
  signal_locked(device);
  pthread_mutex_unlock(&device->mutex);
  return NULL;
}

EXPORT uint32_t kiseki_fuse_abi(void) { return FUSE_ABI; }

/* Another descriptor of the same mount, for one more thread. */
static int clone_device(int fd) {
  int clone = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (clone < 0) return -errno;
  uint32_t source = (uint32_t)fd;
  if (ioctl(clone, FUSE_DEV_IOC_CLONE, &source) == 0) return clone;
  int error = errno;
  close(clone);
  return -error;
}

static int start_readers(struct device *device, int fd, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    int own = i == 0 ? fd : clone_device(fd);
    if (own < 0) return i == 0 ? own : 0; /* one reader serves, too */
    device->reader[i].device = device;
    device->reader[i].fd = own;
    device->reader_count = i + 1;
    if (pthread_create(&device->reader[i].thread, NULL, read_requests, &device->reader[i]) != 0) return -EAGAIN;
    device->reader[i].is_started = 1;
  }
  return 0;
}

/* Takes `fd` over, unless NULL is answered. `slot_size` is whole pages. */
EXPORT struct device *kiseki_fuse_start(int32_t fd, uint32_t slots, uint32_t slot_size, uint32_t readers, void (*callback)(void)) {
  if (slots < readers + 1 || slots > SLOTS_MAX || readers < 1 || readers > READERS_MAX) return NULL;
  if (slot_size < READ_SIZE_MIN || slot_size % PAGE != 0 || slot_size > 64 << 20) return NULL;
  struct device *device = calloc(1, sizeof *device);
  if (!device) return NULL;
  device->lending = lending_make();
  if (!device->lending) {
    free(device);
    return NULL;
  }
  device->memory_size = CONTROL_SIZE + (size_t)slots * slot_size;
  void *memory = mmap(NULL, device->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    lending_end(device->lending);
    free(device);
    return NULL;
  }
  madvise(memory, device->memory_size, MADV_DONTDUMP); /* content of files stays out of core dumps */
  device->control = memory;
  device->slots = (uint8_t *)memory + CONTROL_SIZE;
  device->slot_count = slots;
  device->slot_size = slot_size;
  device->callback = callback;
  for (uint32_t i = 0; i < slots; i++) device->free[i] = slots - 1 - i;
  device->free_count = slots;
  pthread_mutex_init(&device->mutex, NULL);
  pthread_mutex_init(&device->quiet_mutex, NULL);
  pthread_mutex_init(&device->quick_mutex, NULL);
  pthread_cond_init(&device->freed, NULL);
  struct sigaction action = {.sa_handler = on_wake};
  sigaction(WAKE_SIGNAL, &action, NULL);
  if (notifier_start(device) != 0 || start_readers(device, fd, readers) != 0) abort(); /* no thread: nothing can go on */
  return device;
}

EXPORT void *kiseki_fuse_memory(struct device *device) { return device->control; }
EXPORT uint32_t kiseki_fuse_control_size(void) { return CONTROL_SIZE; }

/* Requests up to this count are in the ring; from now on JavaScript is called again. */
EXPORT uint32_t kiseki_fuse_drain(struct device *device) {
  pthread_mutex_lock(&device->mutex);
  device->is_signalled = 0;
  uint32_t tail = device->tail;
  pthread_mutex_unlock(&device->mutex);
  return tail;
}

/* 0 while requests come; else the errno that ended it: ENODEV unmounted, ECONNABORTED aborted. */
EXPORT int32_t kiseki_fuse_ended(struct device *device) {
  pthread_mutex_lock(&device->mutex);
  int32_t error = device->end_errno;
  pthread_mutex_unlock(&device->mutex);
  return error;
}

/* Gives a slot back. Only who was told of it by the ring may. */
EXPORT int32_t kiseki_fuse_release(struct device *device, uint32_t slot) {
  if (slot >= device->slot_count) return -EINVAL;
  pthread_mutex_lock(&device->mutex);
  int is_full = device->free_count >= device->slot_count;
  if (!is_full) device->free[device->free_count++] = slot;
  pthread_cond_signal(&device->freed);
  pthread_mutex_unlock(&device->mutex);
  return is_full ? -EINVAL : 0;
}

static int32_t answer(struct device *device, uint32_t reader, const uint8_t *head, uint32_t head_size, const uint8_t *data, uint32_t size) {
  if (reader >= device->reader_count || head_size < REPLY_HEAD_SIZE) return -EINVAL;
  struct iovec parts[2] = {{(void *)head, head_size}, {(void *)data, size}};
  ssize_t written = writev(device->reader[reader].fd, parts, size > 0 ? 2 : 1);
  if (written < 0) return -errno;
  return (size_t)written == (size_t)head_size + size ? 0 : -EIO;
}

/* An answer by the descriptor that its request was read from; `data` follows the head. */
EXPORT int32_t kiseki_fuse_reply(struct device *device, uint32_t reader, const uint8_t *head, uint32_t head_size, const uint8_t *data, uint32_t size) {
  return answer(device, reader, head, head_size, data, size);
}

/* The same with bytes from the start of a slot. */
EXPORT int32_t kiseki_fuse_reply_slot(struct device *device, uint32_t reader, const uint8_t *head, uint32_t head_size, uint32_t slot, uint32_t size) {
  if (slot >= device->slot_count || size > device->slot_size) return -EINVAL;
  return answer(device, reader, head, head_size, slot_at(device, slot), size);
}

/* Gives the memory of free slots back to the system; they are there again when they are used. */
EXPORT void kiseki_fuse_trim(struct device *device) {
  pthread_mutex_lock(&device->mutex);
  for (uint32_t i = 0; i < device->free_count; i++) madvise(slot_at(device, device->free[i]), device->slot_size, MADV_DONTNEED);
  pthread_mutex_unlock(&device->mutex);
}

static void wait_for_end(struct reader *reader) {
  struct device *device = reader->device;
  for (;;) {
    pthread_mutex_lock(&device->mutex);
    int has_ended = reader->has_ended;
    pthread_mutex_unlock(&device->mutex);
    if (has_ended) break;
    pthread_kill(reader->thread, WAKE_SIGNAL); /* again, should it have come just before the read */
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
  pthread_join(reader->thread, NULL);
}

/* Ends the threads, closes the device, frees everything: requests without an answer fail. */
EXPORT void kiseki_fuse_stop(struct device *device) {
  pthread_mutex_lock(&device->mutex);
  device->is_stopping = 1;
  device->callback = NULL;
  pthread_cond_broadcast(&device->freed);
  pthread_mutex_unlock(&device->mutex);
  for (uint32_t i = 0; i < device->reader_count; i++)
    if (device->reader[i].is_started) wait_for_end(&device->reader[i]);
  notifier_stop(device);
  for (uint32_t i = 0; i < device->reader_count; i++) close(device->reader[i].fd);
  lending_end(device->lending);
  munmap(device->control, device->memory_size);
  free(device);
}
