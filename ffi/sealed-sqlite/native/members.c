/* A set of directories: one act on all of them, and the loss of one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sealed-sqlite.h"

static Set *_Atomic sets[sets_max];

Set *set_find(int number) { return number >= 0 && number < sets_max ? atomic_load(&sets[number]) : NULL; }

Set *set_new(int count) {
  if (count < 1 || count > members_max) return NULL;
  Set *set = calloc(1, sizeof *set);
  if (!set) return NULL;
  set->count = count;
  pthread_mutex_init(&set->loss, NULL);
  for (int i = 0; i < count; i++) {
    set->members[i].directory = -1;
    set->members[i].last = &set->members[i].first;
    pthread_mutex_init(&set->members[i].mutex, NULL);
    pthread_cond_init(&set->members[i].wake, NULL);
  }
  for (int number = 0; number < sets_max; number++) {
    Set *none = NULL;
    set->number = number;
    if (atomic_compare_exchange_strong(&sets[number], &none, set)) return set;
  }
  free(set);
  return NULL;
}

static void *work(void *argument) {
  Member *member = argument;
  pthread_mutex_lock(&member->mutex);
  for (;;) {
    while (!member->first && !member->ending) pthread_cond_wait(&member->wake, &member->mutex);
    Job *job = member->first;
    if (!job) break;
    member->first = job->next;
    if (!member->first) member->last = &member->first;
    pthread_mutex_unlock(&member->mutex);
    Op *op = job->op;
    int error = member_act(op, job->member);
    pthread_mutex_lock(&op->mutex);
    op->errors[job->member] = error;
    if (op->is_abandoned && op->kind == op_open && op->results[job->member] >= 0) close(op->results[job->member]);
    if (--op->pending == 0) pthread_cond_signal(&op->done);
    pthread_mutex_unlock(&op->mutex);
    op_release(op);
    free(job);
    pthread_mutex_lock(&member->mutex);
  }
  pthread_mutex_unlock(&member->mutex);
  return NULL;
}

/* Threads are needed only where one member has to be waited for beside another. */
bool set_start(Set *set) {
  uint32_t live = set_live(set);
  if ((live & (live - 1)) == 0) return true;
  for (int i = 0; i < set->count; i++) {
    if (!(live >> i & 1)) continue;
    if (pthread_create(&set->members[i].thread, NULL, work, &set->members[i]) != 0) return false;
    set->members[i].has_thread = true;
  }
  return true;
}

/* A lost member's thread may hang in the kernel: it and what it holds are left behind. */
void set_free(Set *set) {
  atomic_store(&sets[set->number], NULL);
  uint32_t live = set_live(set);
  bool is_whole = true;
  for (int i = 0; i < set->count; i++) {
    Member *member = &set->members[i];
    if (member->has_thread) {
      pthread_mutex_lock(&member->mutex);
      member->ending = true;
      pthread_cond_signal(&member->wake);
      pthread_mutex_unlock(&member->mutex);
      if (live >> i & 1) pthread_join(member->thread, NULL);
      else pthread_detach(member->thread), is_whole = false;
    }
    if (member->directory >= 0) close(member->directory);
    free(member->path);
  }
  free(set->note_path);
  if (is_whole) free(set);
}

Op *op_new(Set *set, OpKind kind, size_t size) {
  Op *op = malloc(sizeof *op + size);
  if (!op) return NULL;
  memset(op, 0, sizeof *op);
  op->set = set, op->kind = kind, op->size = size;
  atomic_store(&op->references, 1);
  pthread_mutex_init(&op->mutex, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&op->done, &attributes);
  pthread_condattr_destroy(&attributes);
  for (int i = 0; i < members_max; i++) op->fds[i] = op->results[i] = -1;
  return op;
}

void op_release(Op *op) {
  if (atomic_fetch_sub(&op->references, 1) != 1) return;
  pthread_mutex_destroy(&op->mutex);
  pthread_cond_destroy(&op->done);
  free(op);
}

static int write_at(int fd, const uint8_t *source, size_t size, uint64_t offset) {
  while (size > 0) {
    ssize_t n = pwrite(fd, source, size, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    source += n, size -= (size_t)n, offset += (uint64_t)n;
  }
  return 0;
}

/* Neighbours in file and batch go in one piece. */
static int act_pages(const Op *op, int fd) {
  const uint8_t *pages = op->data + op->offset * sizeof(uint64_t);
  for (uint64_t i = 0, count; i < op->offset; i += count) {
    uint64_t first, next;
    memcpy(&first, op->data + i * sizeof first, sizeof first);
    for (count = 1; i + count < op->offset; count++) {
      memcpy(&next, op->data + (i + count) * sizeof next, sizeof next);
      if (next != first + count * page_size) break;
    }
    int error = write_at(fd, pages + i * page_size, count * page_size, first);
    if (error) return error;
  }
  return 0;
}

/* A file or directory that was removed under us takes writes without a word. */
static int is_removed(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return errno;
  return status.st_nlink == 0 ? ESTALE : 0;
}

static int act_sync(int fd, int directory) {
  if (fdatasync(fd) != 0) return errno;
  int error = is_removed(fd);
  return error ? error : is_removed(directory);
}

static int act_open(Op *op, int member, int directory) {
  int fd = openat(directory, op->name, op->flags | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return errno;
  op->results[member] = fd;
  if (op->flags & O_CREAT && fsync(directory) != 0) return errno;
  return 0;
}

int member_act(Op *op, int member) {
  Member *at = &op->set->members[member];
  switch (op->kind) {
    case op_write: return write_at(op->fds[member], op->data, op->size, op->offset);
    case op_pages: return act_pages(op, op->fds[member]);
    case op_truncate: return ftruncate(op->fds[member], (off_t)op->offset) == 0 ? 0 : errno;
    case op_sync: {
      int error = write_at(op->fds[member], op->data, op->size, op->offset);
      return error ? error : act_sync(op->fds[member], at->directory);
    }
    case op_open: return act_open(op, member, at->directory);
    case op_delete:
      if (unlinkat(at->directory, op->name, 0) != 0 && errno != ENOENT) return errno;
      return fsync(at->directory) == 0 ? is_removed(at->directory) : errno;
    case op_rename:
      if (renameat(at->directory, op->name, at->directory, op->other) != 0) return errno;
      return fsync(at->directory) == 0 ? 0 : errno;
    case op_list: return list_write(at->directory, op->data, op->size, at->id);
  }
  return EINVAL;
}

static bool enqueue(Set *set, Op *op, int member) {
  Job *job = calloc(1, sizeof *job);
  if (!job) return false;
  job->op = op, job->member = member;
  atomic_fetch_add(&op->references, 1);
  Member *at = &set->members[member];
  pthread_mutex_lock(&at->mutex);
  *at->last = job;
  at->last = &job->next;
  pthread_cond_signal(&at->wake);
  pthread_mutex_unlock(&at->mutex);
  return true;
}

static struct timespec after(int64_t milliseconds) {
  struct timespec limit;
  clock_gettime(CLOCK_MONOTONIC, &limit);
  int64_t nanoseconds = limit.tv_nsec + milliseconds % 1000 * 1000000;
  limit.tv_sec += milliseconds / 1000 + nanoseconds / 1000000000;
  limit.tv_nsec = nanoseconds % 1000000000;
  return limit;
}

/* Silence counts only beside one that answers: a machine that stood still has lost no member. */
static void wait_done(Op *op, uint32_t mask, int64_t silent_max) {
  struct timespec limit = after(silent_max);
  while (op->pending > 0) {
    if (pthread_cond_timedwait(&op->done, &op->mutex, &limit) != ETIMEDOUT) continue;
    bool has_answer = false;
    for (int i = 0; i < members_max; i++) has_answer |= mask >> i & 1 && op->errors[i] == 0;
    if (has_answer) return;
    limit = after(silent_max);
  }
}

uint32_t set_dispatch(Set *set, Op *op, uint32_t mask, uint32_t *silent) {
  uint32_t failed = 0;
  *silent = 0;
  int count = __builtin_popcount(mask), first = __builtin_ctz(mask);
  if (count == 1 && !set->members[first].has_thread) {
    op->errors[first] = member_act(op, first);
    return op->errors[first] ? mask : 0;
  }
  op->pending = count;
  for (int i = 0; i < set->count; i++) op->errors[i] = mask >> i & 1 ? -1 : 0;
  for (int i = 0; i < set->count; i++) {
    if (!(mask >> i & 1) || enqueue(set, op, i)) continue;
    pthread_mutex_lock(&op->mutex);
    op->errors[i] = ENOMEM;
    op->pending--;
    pthread_mutex_unlock(&op->mutex);
  }
  pthread_mutex_lock(&op->mutex);
  wait_done(op, mask, set->silent_max);
  op->is_abandoned = op->pending > 0;
  for (int i = 0; i < set->count; i++) {
    if (!(mask >> i & 1) || op->errors[i] == 0) continue;
    failed |= 1u << i;
    if (op->errors[i] == -1) *silent |= 1u << i;
  }
  pthread_mutex_unlock(&op->mutex);
  return failed;
}

/* Writes the list without `failed` on the rest, then takes them out; again while more fail meanwhile. */
int set_lose(Set *set, uint32_t failed, uint32_t silent) {
  pthread_mutex_lock(&set->loss);
  uint32_t before = set_live(set), live = before & ~failed;
  while (live && live != set_live(set)) {
    failpoint("list-write");
    uint64_t version = atomic_load(&set->version) + 1;
    uint8_t list[list_size_max];
    size_t size = list_encode(set, live, version, list);
    Op *op = op_new(set, op_list, size);
    if (!op) live = 0;
    if (!op) break;
    memcpy(op->data, list, size);
    uint32_t silent_now = 0, failed_now = set_dispatch(set, op, live, &silent_now);
    op_release(op);
    atomic_store(&set->version, version);
    silent |= silent_now;
    if (failed_now) {
      live &= ~failed_now;
      continue;
    }
    failpoint("list-note");
    if (note_write(set->note_path, list, size) != 0) live = 0; /* no promise can be kept without it */
    else atomic_store(&set->live, live);
    failpoint("list-done");
  }
  if (!live) atomic_store(&set->live, 0);
  uint32_t lost = before & ~set_live(set);
  int left = __builtin_popcount(set_live(set));
  if (set->on_lost)
    for (int i = 0; i < set->count; i++)
      if (lost >> i & 1) set->on_lost(i, silent >> i & 1, left);
  pthread_mutex_unlock(&set->loss);
  return left ? SQLITE_OK : SQLITE_IOERR;
}

static bool is_full(const Op *op, uint32_t failed) {
  for (int i = 0; i < members_max; i++)
    if (failed >> i & 1 && op->errors[i] != ENOSPC && op->errors[i] != EDQUOT) return false;
  return true;
}

int set_run(Set *set, Op *op) {
  uint32_t live = set_live(set), silent;
  if (!live) return SQLITE_IOERR;
  uint32_t failed = set_dispatch(set, op, live, &silent);
  if (!failed) return set_live(set) ? SQLITE_OK : SQLITE_IOERR;
  if (failed == live && is_full(op, failed)) return SQLITE_FULL; /* the disk is full, nobody is lost */
  return set_lose(set, failed, silent);
}

/* False on an error; `got` is short at the end of the file. */
bool read_fully(int fd, uint8_t *target, size_t size, uint64_t offset, size_t *got) {
  *got = 0;
  while (*got < size) {
    ssize_t n = pread(fd, target + *got, size - *got, (off_t)(offset + *got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return true;
    *got += (size_t)n;
  }
  return true;
}
