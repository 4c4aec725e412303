/* One load of bench/fuse on a folder, by plain system calls: `load CASE FOLDER COUNT` prints operations, or bytes, in a second. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}
static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}
static const char *path(const char *folder, long number) {
  static char text[4096];
  snprintf(text, sizeof text, "%s/file-%ld", folder, number);
  return text;
}
/* Over all files, so that what is known of them counts and not the clock's grain. */
#define PASSES 20
static double rate(double count, double started) { return count / (now() - started); }

static double create_files(const char *folder, long count) {
  double started = now();
  for (long i = 0; i < count; i++) {
    int fd = open(path(folder, i), O_CREAT | O_EXCL | O_WRONLY, 0644);
    check(fd >= 0 && close(fd) == 0, "create");
  }
  return rate((double)count, started);
}
/* The same by processes side by side, each in a folder of its own: the kernel makes one name of a folder at a time. */
#define TOGETHER 8
static double create_together(const char *folder, long count) {
  double started = now();
  for (long process = 0; process < TOGETHER; process++) {
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child > 0) continue;
    char own[4000];
    snprintf(own, sizeof own, "%s/folder-%ld", folder, process);
    check(mkdir(own, 0755) == 0, "mkdir");
    for (long i = process * count / TOGETHER; i < (process + 1) * count / TOGETHER; i++) {
      int fd = open(path(own, i), O_CREAT | O_EXCL | O_WRONLY, 0644);
      check(fd >= 0 && close(fd) == 0, "create");
    }
    _exit(0);
  }
  int status;
  for (long process = 0; process < TOGETHER; process++) check(wait(&status) > 0 && status == 0, "child");
  return rate((double)count, started);
}
/* Of 4 KiB, written and closed one after another. */
static double write_small(const char *folder, long count) {
  char memory[4096];
  double started = now();
  for (long i = 0; i < count; i++) {
    memset(memory, (int)i, sizeof memory);
    int fd = open(path(folder, 1000000 + i), O_CREAT | O_EXCL | O_WRONLY, 0644);
    check(fd >= 0 && write(fd, memory, sizeof memory) == sizeof memory && close(fd) == 0, "write");
  }
  return rate((double)count, started);
}
static double stat_files(const char *folder, long count) {
  struct stat status;
  double started = now();
  for (long i = 0; i < PASSES * count; i++) check(stat(path(folder, i % count), &status) == 0, "stat");
  return rate((double)count * PASSES, started);
}
static double open_files(const char *folder, long count) {
  double started = now();
  for (long i = 0; i < PASSES * count; i++) {
    int fd = open(path(folder, i % count), O_RDONLY);
    check(fd >= 0 && close(fd) == 0, "open");
  }
  return rate((double)count * PASSES, started);
}
static double remove_files(const char *folder, long count) {
  double started = now();
  for (long i = 0; i < count; i++) check(unlink(path(folder, i)) == 0, "unlink");
  return rate((double)count, started);
}

/* Bytes in a second, written and closed. `count` is in MiB, as below. */
static double write_file(const char *folder, long count) {
  static char memory[1 << 20];
  for (size_t i = 0; i < sizeof memory; i += 8) *(uint64_t *)(memory + i) = (uint64_t)i * 0x9e3779b97f4a7c15u;
  double started = now();
  int fd = open(path(folder, 0), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  check(fd >= 0, "open");
  for (long i = 0; i < count; i++) {
    *(long *)memory = i; /* no two pieces are the same */
    check(write(fd, memory, sizeof memory) == sizeof memory, "write");
  }
  check(fsync(fd) == 0 && close(fd) == 0, "close");
  return rate((double)count * (1 << 20), started);
}
static double read_file(const char *folder, long count) {
  static char memory[1 << 20];
  double started = now();
  int fd = open(path(folder, 0), O_RDONLY);
  check(fd >= 0, "open");
  for (long i = 0; i < count; i++) check(read(fd, memory, sizeof memory) == sizeof memory, "read");
  close(fd);
  return rate((double)count * (1 << 20), started);
}
/* Once more, of a file that is open and was read before. */
static double read_again(const char *folder, long count) {
  static char memory[1 << 20];
  int fd = open(path(folder, 0), O_RDONLY);
  check(fd >= 0, "open");
  double started = 0;
  for (long i = 0; i < 5 * count; i++) {
    if (i == count) started = now();
    check(pread(fd, memory, sizeof memory, (off_t)(i % count) << 20) == sizeof memory, "read");
  }
  close(fd);
  return rate((double)count * 4 * (1 << 20), started);
}
/* Reads of 4 KiB at random places of a file of `count` MiB. Reads in a second. */
static double read_places(int fd, long count, long reads) {
  char memory[4096];
  uint64_t chance = 88172645463325252u;
  double started = now();
  for (long i = 0; i < reads; i++) {
    chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
    off_t offset = (off_t)(chance % (uint64_t)(count * 256)) * 4096;
    check(pread(fd, memory, sizeof memory, offset) == sizeof memory, "read");
  }
  return rate((double)reads, started);
}
/* Of a file that was read before. */
static double read_cached(const char *folder, long count) {
  read_file(folder, count);
  int fd = open(path(folder, 0), O_RDONLY);
  check(fd >= 0, "open");
  double found = read_places(fd, count, 500000);
  close(fd);
  return found;
}

/* The kernel keeps no page of `fd` from here on. */
static void forget(int fd) { check(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "posix_fadvise"); }
/* Of a file that the daemon has near, and the kernel has not. */
static double read_forgotten(const char *folder, long count) {
  static char memory[1 << 20];
  int fd = open(path(folder, 0), O_RDONLY);
  check(fd >= 0, "open");
  double seconds = 0;
  for (int pass = 0; pass < 3; pass++) {
    forget(fd);
    double started = now();
    for (long i = 0; i < count; i++)
      check(pread(fd, memory, sizeof memory, (off_t)i << 20) == sizeof memory, "read");
    seconds += now() - started;
  }
  close(fd);
  return (double)count * 3 * (1 << 20) / seconds;
}
/* The same, 4 KiB at random places: each is asked for. */
static double read_forgotten_small(const char *folder, long count) {
  int fd = open(path(folder, 0), O_RDONLY);
  check(fd >= 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) == 0, "open");
  forget(fd);
  double found = read_places(fd, count, 3000);
  close(fd);
  return found;
}
/* One epoch of a training: every file once, in an order of chance, by processes side by side. Files in a second. */
#define READERS 4
static double read_epoch(const char *folder, long count) {
  static char memory[1 << 20];
  long *order = malloc((size_t)count * sizeof *order);
  check(order != NULL, "malloc");
  uint64_t chance = 88172645463325252u ^ (uint64_t)getpid();
  for (long i = 0; i < count; i++) {
    chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
    long at = (long)(chance % (uint64_t)(i + 1));
    order[i] = order[at];
    order[at] = i;
  }
  double started = now();
  for (long reader = 0; reader < READERS; reader++) {
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child > 0) continue;
    for (long i = reader; i < count; i += READERS) {
      int fd = open(path(folder, order[i]), O_RDONLY);
      check(fd >= 0, "open");
      ssize_t size;
      while ((size = read(fd, memory, sizeof memory)) > 0)
        ;
      check(size == 0 && close(fd) == 0, "read");
    }
    _exit(0);
  }
  int status;
  for (long reader = 0; reader < READERS; reader++) check(wait(&status) > 0 && status == 0, "child");
  double files = rate((double)count, started);
  free(order);
  return files;
}

int main(int count, char **words) {
  static const struct {
    const char *name;
    double (*run)(const char *, long);
  } cases[] = {{"create", create_files}, {"create-8", create_together}, {"small", write_small}, {"stat", stat_files},
               {"open", open_files},     {"unlink", remove_files},      {"write", write_file},  {"read", read_file},
               {"read-4k", read_cached}, {"read-1m", read_again},   {"cold-1m", read_forgotten},
               {"cold-4k", read_forgotten_small}, {"epoch", read_epoch}};
  for (size_t i = 0; count == 4 && i < sizeof cases / sizeof *cases; i++)
    if (strcmp(cases[i].name, words[1]) == 0) return printf("%.0f\n", cases[i].run(words[2], atol(words[3]))) < 0;
  return 2;
}
