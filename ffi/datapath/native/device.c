/* Devices: files or block devices in a table of slots that closes under load, with appends that are durable or failed.
 *
 * A device ends where it ended when it was opened: an append past that writes nothing (no_space).
 * An append of whole pages that has a large part passes the page cache by: who stores gigabytes gains nothing from having
 * them cached, and filling fresh pages costs more than the write. What is small is likely to be read soon.
 * O_DIRECT: an append's offset and total are whole pages, else it is refused; if one of its parts begins or ends inside
 * a page, all are packed into the thread's scratch and written from there. A read of whole pages goes straight to the
 * arena; any other, and all of open, rebuild and verify, reads the surrounding pages into the scratch. */
#include "datapath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LARGE_PART_SIZE = 1 << 20 };

struct device {
  int fd;        /* -1: free */
  int direct_fd; /* of the same file, for large appends; -1: it takes no O_DIRECT */
  uint32_t generation, users;
  int closing, direct, read_only, failed, is_block;
  uint64_t size;
};
struct devices {
  pthread_mutex_t mutex;
  pthread_cond_t unused;
  struct device device[DEVICES_MAX];
};
/* What a job holds of a device: it stays open until device_leave. */
struct grip {
  struct device *device;
  int fd, direct_fd, direct, read_only, failed, is_block;
  uint64_t size;
};

struct devices *devices_open(void) {
  struct devices *devices = calloc(1, sizeof *devices);
  if (!devices) return NULL;
  pthread_mutex_init(&devices->mutex, NULL);
  pthread_cond_init(&devices->unused, NULL);
  for (int i = 0; i < DEVICES_MAX; i++) devices->device[i].fd = -1;
  return devices;
}

void devices_close(struct devices *devices) {
  if (!devices) return;
  for (int i = 0; i < DEVICES_MAX; i++) {
    if (devices->device[i].fd < 0) continue;
    if (devices->device[i].direct_fd >= 0) close(devices->device[i].direct_fd);
    close(devices->device[i].fd);
  }
  pthread_cond_destroy(&devices->unused);
  pthread_mutex_destroy(&devices->mutex);
  free(devices);
}

/* A slot's number holds the generation of its place: a closed one never means the next device in that place. */
static struct device *at_slot(struct devices *devices, uint32_t slot) {
  struct device *device = &devices->device[slot % DEVICES_MAX];
  return device->fd >= 0 && !device->closing && device->generation == slot / DEVICES_MAX ? device : NULL;
}

static int device_enter(struct devices *devices, uint32_t slot, struct grip *grip) {
  pthread_mutex_lock(&devices->mutex);
  struct device *device = at_slot(devices, slot);
  if (device) {
    device->users++;
    *grip = (struct grip){.device = device, .fd = device->fd, .direct_fd = device->direct_fd, .direct = device->direct,
                          .read_only = device->read_only, .failed = device->failed, .is_block = device->is_block,
                          .size = device->size};
  }
  pthread_mutex_unlock(&devices->mutex);
  return device ? 0 : -1;
}

static void device_leave(struct devices *devices, struct grip *grip, int has_failed) {
  pthread_mutex_lock(&devices->mutex);
  if (has_failed) grip->device->failed = 1;
  if (--grip->device->users == 0) pthread_cond_broadcast(&devices->unused);
  pthread_mutex_unlock(&devices->mutex);
}

static int size_of(int fd, uint64_t *size, int *is_block) {
  struct stat stat;
  if (fstat(fd, &stat) != 0) return -1;
  *is_block = S_ISBLK(stat.st_mode);
  if (*is_block) return ioctl(fd, BLKGETSIZE64, size);
  if (!S_ISREG(stat.st_mode)) {
    errno = EINVAL;
    return -1;
  }
  *size = (uint64_t)stat.st_size;
  return 0;
}

/* After a failed sync the kernel may show pages as written that are not on the disk; it shows them to the next process
 * too. Clean pages are dropped, so that what is read from here on is what the disk has. */
static void forget_cache(int fd) { (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); }

static int is_same_file(int a, int b) {
  struct stat one, other;
  return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

void device_open_job(struct devices *devices, struct record *record) {
  char path[4096];
  memcpy(path, record->headers, sizeof path);
  if (!memchr(path, 0, sizeof path)) return fail(record, STATUS_BAD_ARGUMENT, 0);
  int direct = (record->flags & FLAG_DIRECT) != 0, read_only = (record->flags & FLAG_READ_ONLY) != 0;
  int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0) | O_CLOEXEC | O_NOCTTY);
  uint64_t size = 0;
  int is_block = 0;
  if (fd < 0) return fail(record, STATUS_IO, errno);
  if (size_of(fd, &size, &is_block) != 0) {
    fail(record, STATUS_IO, errno);
    close(fd);
    return;
  }
  forget_cache(fd);
  int direct_fd = direct || read_only ? -1 : open(path, O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOCTTY);
  if (direct_fd >= 0 && !is_same_file(fd, direct_fd)) {
    close(direct_fd);
    direct_fd = -1;
  }
  pthread_mutex_lock(&devices->mutex);
  uint32_t place = 0;
  while (place < DEVICES_MAX && devices->device[place].fd >= 0) place++;
  if (place < DEVICES_MAX) {
    struct device *device = &devices->device[place];
    uint32_t generation = (device->generation + 1) % (UINT32_MAX / DEVICES_MAX);
    *device = (struct device){.fd = fd, .direct_fd = direct_fd, .generation = generation, .direct = direct,
                              .read_only = read_only, .is_block = is_block, .size = size};
    record->device = generation * DEVICES_MAX + place;
    record->device_size = size;
    record->flags = is_block ? FLAG_BLOCK : 0;
  }
  pthread_mutex_unlock(&devices->mutex);
  if (place < DEVICES_MAX) return;
  if (direct_fd >= 0) close(direct_fd);
  close(fd);
  fail(record, STATUS_IO, EMFILE);
}

/* Lets no new job in, waits for those inside, closes. */
void device_close_job(struct devices *devices, struct record *record) {
  pthread_mutex_lock(&devices->mutex);
  struct device *device = at_slot(devices, record->device);
  int fd = -1, direct_fd = -1;
  if (device) {
    device->closing = 1;
    while (device->users > 0) pthread_cond_wait(&devices->unused, &devices->mutex);
    fd = device->fd;
    direct_fd = device->direct_fd;
    device->fd = -1;
    device->closing = 0;
  }
  pthread_mutex_unlock(&devices->mutex);
  if (!device) return fail(record, STATUS_CLOSED, 0);
  if (direct_fd >= 0) close(direct_fd); /* it has nothing that the other one does not hear of */
  if (close(fd) != 0 && errno != EINTR) fail(record, STATUS_IO, errno);
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

/* At least `needed` of `size` bytes; 0, or an errno (EIO at the end of the device). */
static int read_fully(int fd, uint8_t *target, size_t size, size_t needed, uint64_t offset) {
  size_t done = 0;
  while (done < needed) {
    ssize_t n = pread(fd, target + done, size - done, (off_t)(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;
    done += (size_t)n;
  }
  return 0;
}

/* The same out of the page cache alone: EAGAIN when not all of it is there. */
static int read_cached(int fd, uint8_t *target, size_t size, uint64_t offset) {
  struct iovec part = {target, size};
  ssize_t n = preadv2(fd, &part, 1, (off_t)offset, RWF_NOWAIT);
  return n == (ssize_t)size ? 0 : EAGAIN; /* whatever else is wrong, a read that may wait finds out */
}

static int fetch(const struct grip *grip, uint64_t offset, size_t size, uint8_t *room, uint8_t **bytes) {
  if (offset > grip->size || size > grip->size - offset) return EIO;
  size_t before = grip->direct ? offset % PAGE_SIZE : 0;
  size_t whole = grip->direct ? round_up(before + size, PAGE_SIZE) : size;
  *bytes = room + before;
  return read_fully(grip->fd, room, whole, before + size, offset - before);
}

uint8_t *device_fetch(struct devices *devices, uint32_t slot, uint64_t offset, size_t size, uint8_t *room, int only_cached) {
  struct grip grip;
  uint8_t *bytes = room;
  errno = EIO;
  if (device_enter(devices, slot, &grip) != 0) return NULL;
  int error = EAGAIN;
  if (!only_cached) error = fetch(&grip, offset, size, room, &bytes);
  else if (!grip.direct) error = read_cached(grip.fd, room, size, offset);
  device_leave(devices, &grip, 0);
  errno = error;
  return error == 0 ? bytes : NULL;
}

/* O_DIRECT with anything but whole pages goes over `scratch`, in pieces. */
static int read_into(const struct grip *grip, uint64_t offset, uint8_t *target, uint64_t size, uint8_t *scratch) {
  if (offset > grip->size || size > grip->size - offset) return EIO;
  int aligned = offset % PAGE_SIZE == 0 && size % PAGE_SIZE == 0 && (uintptr_t)target % PAGE_SIZE == 0;
  if (!grip->direct || aligned) return read_fully(grip->fd, target, size, size, offset);
  for (uint64_t done = 0; done < size;) {
    uint64_t part = size - done < SCRATCH_SIZE / 2 ? size - done : SCRATCH_SIZE / 2;
    uint8_t *bytes;
    int error = fetch(grip, offset + done, part, scratch, &bytes);
    if (error != 0) return error;
    memcpy(target + done, bytes, part);
    done += part;
  }
  return 0;
}

void read_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch) {
  uint64_t size = record->target_size;
  uint8_t *target = arena_at(arena, record->target_offset, size);
  struct grip grip;
  if (!target || size == 0) return fail(record, STATUS_BAD_ARGUMENT, 0);
  if (device_enter(devices, record->device, &grip) != 0) return fail(record, STATUS_CLOSED, 0);
  int error = read_into(&grip, record->device_offset, target, size, scratch);
  device_leave(devices, &grip, 0);
  if (error != 0) fail(record, STATUS_IO, error);
}

/* --- appending ------------------------------------------------------------------------------------------------------------ */

/* Ranges of the record as addresses; the sum of their sizes, or 0 for a bad one. */
static uint64_t gather(const struct arena *arena, const struct record *record, struct iovec *parts, uint32_t count) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t size = record->ranges[i].size;
    uint8_t *bytes = arena_at(arena, record->ranges[i].offset, size);
    if (!bytes || size == 0) return 0;
    parts[i] = (struct iovec){bytes, size};
    total += size;
  }
  return total;
}

/* 0 or an errno; `*written` tells whether any byte was taken. */
static int write_parts(int fd, struct iovec *parts, uint32_t count, uint64_t offset, int *written) {
  while (count > 0) {
    ssize_t n = pwritev(fd, parts, (int)count, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    *written = 1;
    offset += (uint64_t)n;
    for (size_t left = (size_t)n; left > 0;) {
      size_t step = left < parts->iov_len ? left : parts->iov_len;
      parts->iov_base = (uint8_t *)parts->iov_base + step;
      parts->iov_len -= step;
      left -= step;
      if (parts->iov_len == 0) parts++, count--;
    }
  }
  return 0;
}

/* O_DIRECT with parts that are not whole pages: they are packed into `scratch` first. */
static int write_packed(int fd, struct iovec *parts, uint32_t count, uint64_t offset, uint8_t *scratch, int *written) {
  for (uint32_t at = 0; at < count;) {
    size_t filled = 0;
    while (at < count && filled < SCRATCH_SIZE) {
      size_t step = SCRATCH_SIZE - filled < parts[at].iov_len ? SCRATCH_SIZE - filled : parts[at].iov_len;
      memcpy(scratch + filled, parts[at].iov_base, step);
      parts[at].iov_base = (uint8_t *)parts[at].iov_base + step;
      parts[at].iov_len -= step;
      filled += step;
      if (parts[at].iov_len == 0) at++;
    }
    struct iovec whole = {scratch, filled};
    int error = write_parts(fd, &whole, 1, offset, written);
    if (error != 0) return error;
    offset += filled;
  }
  return 0;
}

/* Kills this process at the n-th passing, if KISEKI_FAILPOINT was "<name>:<n>" when it started. Only for crash tests. */
static void failpoint(const char *name) {
  static _Atomic uint64_t passed[2];
  static const char *chosen = NULL;
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  if (!chosen) chosen = getenv("KISEKI_FAILPOINT") ? getenv("KISEKI_FAILPOINT") : "";
  pthread_mutex_unlock(&mutex);
  size_t length = strlen(name);
  if (strncmp(chosen, name, length) != 0 || chosen[length] != ':') return;
  if (++passed[name[sizeof "datapath_" - 1] == 'a'] == strtoull(chosen + length + 1, NULL, 10)) kill(getpid(), SIGKILL);
}

static int sync_device(int fd) {
  failpoint("datapath_before_sync");
  int error = fdatasync(fd) == 0 ? 0 : errno;
  if (error == 0) failpoint("datapath_after_sync");
  return error;
}

static int is_whole_pages(const struct iovec *parts, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if ((uintptr_t)parts[i].iov_base % PAGE_SIZE || parts[i].iov_len % PAGE_SIZE) return 0;
  return 1;
}

static int has_large(const struct iovec *parts, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (parts[i].iov_len >= LARGE_PART_SIZE) return 1;
  return 0;
}

static int write_direct(int fd, struct iovec *parts, uint32_t count, uint64_t offset, uint8_t *scratch, int *written) {
  return is_whole_pages(parts, count) ? write_parts(fd, parts, count, offset, written)
                                      : write_packed(fd, parts, count, offset, scratch, written);
}

/* 0 or an errno. The parts are used up. */
static int write_gripped(const struct grip *grip, struct iovec *parts, uint32_t count, uint64_t offset, uint64_t total,
                         uint8_t *scratch, int *written) {
  if (grip->direct) return write_direct(grip->fd, parts, count, offset, scratch, written);
  if (grip->direct_fd >= 0 && offset % PAGE_SIZE == 0 && total % PAGE_SIZE == 0 && has_large(parts, count)) {
    struct iovec tried[RANGES_MAX];
    memcpy(tried, parts, count * sizeof *parts);
    int error = write_direct(grip->direct_fd, tried, count, offset, scratch, written);
    if (error != EINVAL || *written) return error; /* else the medium wants larger blocks than pages */
  }
  return write_parts(grip->fd, parts, count, offset, written);
}

static void append_gripped(struct grip *grip, struct record *record, struct iovec *parts, uint32_t count, uint64_t total,
                           uint8_t *scratch, int *has_failed) {
  uint64_t offset = record->device_offset;
  if (grip->failed || grip->read_only) return fail(record, STATUS_IO, grip->failed ? EIO : EROFS);
  if (offset > grip->size || total > grip->size - offset) return fail(record, STATUS_NO_SPACE, ENOSPC);
  int written = 0;
  if (grip->direct && (offset % PAGE_SIZE || total % PAGE_SIZE)) return fail(record, STATUS_BAD_ARGUMENT, EINVAL);
  uint64_t start = monotonic_ns();
  int error = write_gripped(grip, parts, count, offset, total, scratch, &written);
  record->write_us = micros_since(start);
  if (error != 0) {
    int is_full = (error == ENOSPC || error == EDQUOT) && !written;
    return fail(record, is_full ? STATUS_NO_SPACE : STATUS_IO, error);
  }
  if (record->flags & FLAG_SYNC) {
    start = monotonic_ns();
    error = sync_device(grip->fd);
    record->sync_us = micros_since(start);
    if (error != 0) {
      *has_failed = 1; /* the kernel may have dropped the pages: a second sync would lie */
      fail(record, STATUS_IO, error);
    }
  }
}

void append_job(struct devices *devices, struct arena *arena, struct record *record, uint8_t *scratch) {
  struct iovec parts[RANGES_MAX];
  uint32_t count = record->range_count;
  struct grip grip;
  int has_failed = 0;
  uint64_t total = count <= RANGES_MAX ? gather(arena, record, parts, count) : 0;
  if (total == 0) return fail(record, STATUS_BAD_ARGUMENT, 0);
  if (device_enter(devices, record->device, &grip) != 0) return fail(record, STATUS_CLOSED, 0);
  append_gripped(&grip, record, parts, count, total, scratch, &has_failed);
  device_leave(devices, &grip, has_failed);
}

/* --- discarding ----------------------------------------------------------------------------------------------------------- */

static void discard_gripped(const struct grip *grip, struct record *record) {
  uint64_t range[2] = {record->device_offset, record->device_size};
  if (range[0] > grip->size || range[1] > grip->size - range[0]) return fail(record, STATUS_BAD_ARGUMENT, EINVAL);
  if (range[0] % PAGE_SIZE || range[1] % PAGE_SIZE || !range[1]) return fail(record, STATUS_BAD_ARGUMENT, EINVAL);
  if (!grip->is_block || grip->read_only || grip->failed) return;
  (void)ioctl(grip->fd, BLKDISCARD, range); /* a device that does not take it keeps what it has: nobody needs it */
}

void discard_job(struct devices *devices, struct record *record) {
  struct grip grip;
  if (device_enter(devices, record->device, &grip) != 0) return fail(record, STATUS_CLOSED, 0);
  discard_gripped(&grip, record);
  device_leave(devices, &grip, 0);
}
