/*
 * A file system that passes everything through to a folder and forgets, when told, what was not synced.
 *
 *   lossy-fs FOLDER MOUNTPOINT      FOLDER/files is the content; says {"ready":true} when mounted
 *
 * `cut SEED` on stdin is the power cut: no request is answered any more, FOLDER/files is changed to what a machine may
 * find when the power is back, one line says what was lost, and the program waits for its end. One thread does all, so
 * that a request has either happened or not. Each fsync of a file makes its bytes and size durable, each fsync of a
 * directory its names; renaming or removing a directory, and renaming between two, is durable at once.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "losses.h"

static int root;

static const char *below(const char *path) { return path[1] ? path + 1 : "."; }
static int said(int result) { return result < 0 ? -errno : 0; }

/* Opens the directory that holds `path`; `*name` is the last part. */
static int parent_of(const char *path, const char **name) {
  const char *slash = strrchr(path, '/');
  char folder[4096];
  *name = slash + 1;
  snprintf(folder, sizeof folder, ".%.*s", (int)(slash - path), path);
  return openat(root, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void *fs_init(struct fuse_conn_info *connection, struct fuse_config *config) {
  connection->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
  config->hard_remove = 1;
  config->use_ino = 1;
  config->nullpath_ok = 1;
  return NULL;
}

static int fs_getattr(const char *path, struct stat *at, struct fuse_file_info *open) {
  int result = open ? fstat((int)open->fh, at) : fstatat(root, below(path), at, AT_SYMLINK_NOFOLLOW);
  if (result == 0 && S_ISREG(at->st_mode) && at->st_nlink > 1) at->st_nlink = 1; /* links that losses.c holds */
  return said(result);
}

static int fs_mkdir(const char *path, mode_t mode) {
  const char *name;
  int parent = parent_of(path, &name);
  if (parent < 0) return -errno;
  int result = said(mkdirat(parent, name, mode));
  if (result == 0) losses_note_create(parent, name, true);
  close(parent);
  return result;
}

static int fs_unlink(const char *path) {
  const char *name;
  struct stat at;
  int parent = parent_of(path, &name);
  if (parent < 0) return -errno;
  int result = said(fstatat(parent, name, &at, AT_SYMLINK_NOFOLLOW));
  if (result == 0) {
    losses_note_unlink(parent, name);
    result = said(unlinkat(parent, name, 0));
  }
  close(parent);
  return result;
}

static int fs_rmdir(const char *path) {
  const char *name;
  int folder = openat(root, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    losses_sync_directory(folder);
    close(folder);
  }
  int parent = parent_of(path, &name);
  if (parent < 0) return -errno;
  losses_sync_directory(parent);
  int result = said(unlinkat(parent, name, AT_REMOVEDIR));
  close(parent);
  return result;
}

static int fs_rename(const char *from, const char *to, unsigned flags) {
  const char *from_name, *to_name;
  struct stat at, source, target;
  if (flags) return -EINVAL;
  int from_parent = parent_of(from, &from_name), to_parent = parent_of(to, &to_name), result = -EIO;
  if (from_parent < 0 || to_parent < 0 || fstat(from_parent, &source) || fstat(to_parent, &target)) goto out;
  result = said(fstatat(from_parent, from_name, &at, AT_SYMLINK_NOFOLLOW));
  if (result) goto out;
  bool is_plain = source.st_ino == target.st_ino && !S_ISDIR(at.st_mode);
  if (is_plain) losses_note_rename(from_parent, from_name, to_name);
  result = said(renameat(from_parent, from_name, to_parent, to_name));
  if (!is_plain) {
    losses_sync_directory(from_parent);
    losses_sync_directory(to_parent);
  }
out:
  if (from_parent >= 0) close(from_parent);
  if (to_parent >= 0) close(to_parent);
  return result;
}

static int fs_open(const char *path, struct fuse_file_info *open) {
  /* Always for reading too: what a write covers is read first. */
  int flags = (open->flags & O_ACCMODE) == O_RDONLY ? O_RDONLY : O_RDWR;
  int fd = openat(root, below(path), flags | O_CLOEXEC);
  if (fd < 0) return -errno;
  if (open->flags & O_TRUNC) {
    losses_note_size(fd, 0);
    if (ftruncate(fd, 0) != 0) return -errno;
  }
  open->fh = (uint64_t)fd;
  return 0;
}

static int fs_create(const char *path, mode_t mode, struct fuse_file_info *open) {
  const char *name;
  int parent = parent_of(path, &name);
  if (parent < 0) return -errno;
  int fd = openat(parent, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  int result = fd < 0 ? -errno : 0;
  if (fd >= 0) losses_note_create(parent, name, false);
  close(parent);
  if (result == -EEXIST && !(open->flags & O_EXCL)) return fs_open(path, open);
  open->fh = (uint64_t)fd;
  return result;
}

static int fs_read(const char *path, char *target, size_t size, off_t offset, struct fuse_file_info *open) {
  (void)path;
  ssize_t count = pread((int)open->fh, target, size, offset);
  return count < 0 ? -errno : (int)count;
}

static int fs_write(const char *path, const char *source, size_t size, off_t offset, struct fuse_file_info *open) {
  (void)path;
  losses_note_write((int)open->fh, (uint64_t)offset, size, source);
  ssize_t count = pwrite((int)open->fh, source, size, offset);
  return count < 0 ? -errno : (int)count;
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *open) {
  int fd = open ? (int)open->fh : openat(root, below(path), O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  losses_note_size(fd, (uint64_t)size);
  int result = said(ftruncate(fd, size));
  if (!open) close(fd);
  return result;
}

static int fs_fallocate(const char *path, int mode, off_t offset, off_t length, struct fuse_file_info *open) {
  (void)path;
  struct stat at;
  if (mode != 0) return -EOPNOTSUPP;
  if (fstat((int)open->fh, &at) != 0) return -errno;
  if (at.st_size < offset + length) losses_note_size((int)open->fh, (uint64_t)(offset + length));
  return -posix_fallocate((int)open->fh, offset, length);
}

static int fs_fsync(const char *path, int is_data_only, struct fuse_file_info *open) {
  (void)path, (void)is_data_only;
  losses_sync_file((int)open->fh);
  return 0;
}

static int fs_fsyncdir(const char *path, int is_data_only, struct fuse_file_info *open) {
  (void)path, (void)is_data_only;
  losses_sync_directory((int)open->fh);
  return 0;
}

static int fs_release(const char *path, struct fuse_file_info *open) {
  (void)path;
  close((int)open->fh);
  return 0;
}

static int fs_opendir(const char *path, struct fuse_file_info *open) {
  int fd = openat(root, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  open->fh = (uint64_t)fd;
  return said(fd);
}

static int fs_readdir(const char *path, void *target, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *open,
                      enum fuse_readdir_flags flags) {
  (void)path, (void)offset, (void)flags;
  DIR *folder = fdopendir(openat((int)open->fh, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return -errno;
  for (struct dirent *each; (each = readdir(folder));) fill(target, each->d_name, NULL, 0, 0);
  closedir(folder);
  return 0;
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *open) {
  return said(open ? fchmod((int)open->fh, mode) : fchmodat(root, below(path), mode, 0));
}

static int fs_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *open) {
  return said(open ? fchown((int)open->fh, user, group) : fchownat(root, below(path), user, group, 0));
}

static int fs_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *open) {
  return said(open ? futimens((int)open->fh, times) : utimensat(root, below(path), times, 0));
}

static int fs_statfs(const char *path, struct statvfs *at) {
  (void)path;
  return said(fstatvfs(root, at));
}

static const struct fuse_operations operations = {
    .init = fs_init,
    .getattr = fs_getattr,
    .mkdir = fs_mkdir,
    .unlink = fs_unlink,
    .rmdir = fs_rmdir,
    .rename = fs_rename,
    .open = fs_open,
    .create = fs_create,
    .read = fs_read,
    .write = fs_write,
    .truncate = fs_truncate,
    .fallocate = fs_fallocate,
    .fsync = fs_fsync,
    .fsyncdir = fs_fsyncdir,
    .release = fs_release,
    .opendir = fs_opendir,
    .releasedir = fs_release,
    .readdir = fs_readdir,
    .chmod = fs_chmod,
    .chown = fs_chown,
    .utimens = fs_utimens,
    .statfs = fs_statfs,
};

/* Waits for requests and for the word on stdin. */
static int serve(struct fuse_session *session) {
  struct fuse_buf request = {0};
  struct pollfd ready[2] = {{.fd = fuse_session_fd(session), .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  while (!fuse_session_exited(session)) {
    if (poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents) {
      char line[64];
      unsigned long long seed;
      if (!fgets(line, sizeof line, stdin)) return 0;
      if (sscanf(line, "cut %llu", &seed) != 1) return 1;
      losses_cut(seed);
      while (fgets(line, sizeof line, stdin)) continue;
      _exit(0);
    }
    if (!ready[0].revents) continue;
    int got = fuse_session_receive_buf(session, &request);
    if (got == -EINTR || got == -EAGAIN) continue;
    if (got <= 0) break;
    fuse_session_process_buf(session, &request);
  }
  free(request.mem);
  return 0;
}

static int open_folder(const char *parent, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", parent, name);
  mkdir(path, 0700);
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int main(int count, char **words) {
  if (count != 3) return fputs("usage: lossy-fs FOLDER MOUNTPOINT\n", stderr), 2;
  umask(0);
  root = open_folder(words[1], "files");
  int objects = open_folder(words[1], "objects");
  if (root < 0 || objects < 0) return perror("lossy-fs"), 1;
  losses_open(objects);
  char *options[] = {words[0], "-o", "fsname=lossy-fs", NULL};
  struct fuse_args arguments = FUSE_ARGS_INIT(3, options);
  struct fuse *fuse = fuse_new(&arguments, &operations, sizeof operations, NULL);
  if (!fuse || fuse_mount(fuse, words[2]) != 0) return 1;
  puts("{\"ready\":true}");
  fflush(stdout);
  int code = serve(fuse_get_session(fuse));
  fuse_unmount(fuse);
  fuse_destroy(fuse);
  return code;
}
