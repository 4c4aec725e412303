/* The peer of bench/fuse: a file system by libfuse3's low-level interface that hands everything on to a folder, one thread. As fast
 * as a daemon in C is, with the same timeouts and caches as the mount that it is compared with.
 *   passthrough FOLDER MOUNTPOINT SECONDS [durable]   foreground; SECONDS are the timeouts of names and attributes
 * `durable`: it promises what the mount does, names synced when they are answered and content when it is closed. */
#define FUSE_USE_VERSION 34
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct node {
  int fd; /* O_PATH */
  uint64_t lookups;
  ino_t inode;
  struct node *next;
};
#define BUCKETS 65536
static struct node *buckets[BUCKETS];
static struct node root;
static double timeout;
static int is_durable;

static struct node *node_of(fuse_ino_t number) { return number == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)number; }

/* The node of `fd`, which it takes over, looked up once more. */
static struct node *enter(int fd, const struct stat *status) {
  struct node **bucket = &buckets[status->st_ino % BUCKETS];
  for (struct node *node = *bucket; node; node = node->next) {
    if (node->inode != status->st_ino) continue;
    close(fd);
    node->lookups++;
    return node;
  }
  struct node *node = calloc(1, sizeof *node);
  *node = (struct node){.fd = fd, .lookups = 1, .inode = status->st_ino, .next = *bucket};
  return *bucket = node;
}

static void on_init(void *data, struct fuse_conn_info *connection) {
  (void)data;
  connection->want &= ~FUSE_CAP_AUTO_INVAL_DATA;
  connection->max_background = 64;
}

/* 0, or an errno. */
static int find(fuse_ino_t parent, const char *name, struct fuse_entry_param *entry) {
  *entry = (struct fuse_entry_param){.attr_timeout = timeout, .entry_timeout = timeout};
  int fd = openat(node_of(parent)->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno;
  if (fstatat(fd, "", &entry->attr, AT_EMPTY_PATH) != 0) {
    int error = errno;
    close(fd);
    return error;
  }
  entry->ino = (uintptr_t)enter(fd, &entry->attr);
  return 0;
}
static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
  struct fuse_entry_param entry;
  int error = find(parent, name, &entry);
  if (error) fuse_reply_err(request, error);
  else fuse_reply_entry(request, &entry);
}

static void on_forget(fuse_req_t request, fuse_ino_t number, uint64_t count) {
  struct node *node = node_of(number);
  node->lookups -= count;
  if (node->lookups == 0 && node != &root) {
    struct node **at = &buckets[node->inode % BUCKETS];
    while (*at != node) at = &(*at)->next;
    *at = node->next;
    close(node->fd);
    free(node);
  }
  fuse_reply_none(request);
}

static void on_getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
  (void)file;
  struct stat status;
  if (fstatat(node_of(number)->fd, "", &status, AT_EMPTY_PATH) != 0) fuse_reply_err(request, errno);
  else fuse_reply_attr(request, &status, timeout);
}

static void on_setattr(fuse_req_t request, fuse_ino_t number, struct stat *change, int what, struct fuse_file_info *file) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", node_of(number)->fd);
  int failed = 0;
  if (what & FUSE_SET_ATTR_MODE) failed |= chmod(path, change->st_mode);
  if (what & FUSE_SET_ATTR_SIZE) failed |= file ? ftruncate((int)file->fh, change->st_size) : truncate(path, change->st_size);
  if (failed) fuse_reply_err(request, errno);
  else on_getattr(request, number, file);
}

/* Names of a folder, where that is promised. */
static int sync_names(fuse_ino_t number) {
  if (!is_durable) return 0;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", node_of(number)->fd);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
  if (fd >= 0) close(fd);
  return error;
}

static void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode) {
  if (mkdirat(node_of(parent)->fd, name, mode) != 0 || sync_names(parent) != 0) fuse_reply_err(request, errno);
  else on_lookup(request, parent, name);
}
static void on_unlink(fuse_req_t request, fuse_ino_t parent, const char *name) {
  fuse_reply_err(request, unlinkat(node_of(parent)->fd, name, 0) == 0 ? sync_names(parent) : errno);
}
static void on_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name) {
  fuse_reply_err(request, unlinkat(node_of(parent)->fd, name, AT_REMOVEDIR) == 0 ? sync_names(parent) : errno);
}

static void on_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file) {
  struct fuse_entry_param entry;
  int fd = openat(node_of(parent)->fd, name, (file->flags | O_CREAT | O_CLOEXEC) & ~O_NOFOLLOW, mode);
  int error = fd < 0 ? errno : find(parent, name, &entry);
  if (!error && is_durable) error = fsync(fd) != 0 ? errno : sync_names(parent);
  file->fh = (uint64_t)fd;
  file->keep_cache = 1;
  if (error) fuse_reply_err(request, error);
  else fuse_reply_create(request, &entry, file);
}
static void on_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", node_of(number)->fd);
  int fd = open(path, (file->flags | O_CLOEXEC) & ~O_NOFOLLOW);
  file->fh = (uint64_t)fd;
  file->keep_cache = 1;
  if (fd < 0) fuse_reply_err(request, errno);
  else fuse_reply_open(request, file);
}
static void on_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
  (void)number;
  close((int)file->fh);
  fuse_reply_err(request, 0);
}
static void on_flush(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
  (void)number;
  int has_written = is_durable && (file->flags & O_ACCMODE) != O_RDONLY;
  fuse_reply_err(request, has_written && fsync((int)file->fh) != 0 ? errno : 0);
}
static void on_fsync(fuse_req_t request, fuse_ino_t number, int is_data_only, struct fuse_file_info *file) {
  (void)number;
  fuse_reply_err(request, (is_data_only ? fdatasync((int)file->fh) : fsync((int)file->fh)) == 0 ? 0 : errno);
}

static void on_read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file) {
  (void)number;
  static char memory[1 << 20];
  if (size > sizeof memory) size = sizeof memory;
  ssize_t count = pread((int)file->fh, memory, size, offset);
  if (count < 0) fuse_reply_err(request, errno);
  else fuse_reply_buf(request, memory, (size_t)count);
}
static void on_write(fuse_req_t request, fuse_ino_t number, const char *source, size_t size, off_t offset, struct fuse_file_info *file) {
  (void)number;
  ssize_t count = pwrite((int)file->fh, source, size, offset);
  if (count < 0) fuse_reply_err(request, errno);
  else fuse_reply_write(request, (size_t)count);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init, .lookup = on_lookup, .forget = on_forget, .getattr = on_getattr, .setattr = on_setattr,
    .mkdir = on_mkdir, .unlink = on_unlink, .rmdir = on_rmdir, .create = on_create, .open = on_open, .release = on_release,
    .flush = on_flush, .fsync = on_fsync, .read = on_read, .write = on_write};

int main(int count, char **words) {
  if (count < 4 || count > 5) return 2;
  is_durable = count == 5 && strcmp(words[4], "durable") == 0;
  root.fd = open(words[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
  timeout = atof(words[3]);
  umask(0);
  char *options[] = {words[0], "-odefault_permissions,fsname=passthrough"};
  struct fuse_args arguments = FUSE_ARGS_INIT(2, options);
  struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof operations, NULL);
  if (root.fd < 0 || !session || fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, words[2]) != 0) return 1;
  puts("ready");
  fflush(stdout);
  int result = fuse_session_loop(session);
  fuse_session_unmount(session);
  return result != 0;
}
