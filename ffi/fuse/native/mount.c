/* How a mount comes and goes: by mount(2) where the process may, else by fusermount3, which hands the descriptor over. */
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS_MAX 4096
extern char **environ;

/* The descriptor of a new mount on `target`. `options`: comma-separated, those of FUSE alone. */
EXPORT int32_t kiseki_fuse_mount(const char *source, const char *target, const char *options, uint32_t flags) {
  struct stat status;
  if (stat(target, &status) != 0) return -errno;
  int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd < 0) return -errno;
  char data[OPTIONS_MAX];
  int size = snprintf(data, sizeof data, "fd=%d,rootmode=%o,user_id=%u,group_id=%u%s%s", fd, status.st_mode & S_IFMT,
                      geteuid(), getegid(), *options ? "," : "", options);
  int error = size < 0 || size >= (int)sizeof data ? E2BIG : 0;
  if (error == 0 && mount(source, target, "fuse.kiseki", flags, data) != 0) error = errno;
  if (error == 0) return fd;
  close(fd);
  return -error;
}

/* The descriptor that came over `socket`, with a message of one byte. */
static int receive_descriptor(int socket) {
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t size;
  do size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size < 0) return -errno;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  if (size == 0 || !head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) return -EPERM;
  int fd;
  memcpy(&fd, CMSG_DATA(head), sizeof fd);
  return fd;
}

/* Runs fusermount3 with `arguments`; its end of the socket is descriptor `theirs`, or -1. 0, or -errno. */
static int spawn_helper(const char *program, char *const arguments[], int theirs, pid_t *child) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (theirs >= 0) posix_spawn_file_actions_adddup2(&actions, theirs, 3); /* without close-on-exec */
  int error = posix_spawnp(child, program, &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  return -error;
}

static int wait_helper(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return errno == ECHILD ? 0 : -errno; /* somebody else has seen it end */
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/* As kiseki_fuse_mount, by the helper: for who may not mount(2). `options` are those of fusermount3. */
EXPORT int32_t kiseki_fuse_mount_by_helper(const char *helper, const char *target, const char *options) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  /* Descriptor 3 of the child must not be a copy onto itself: then close-on-exec would stay. */
  int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
  close(pair[1]);
  if (theirs < 0) {
    close(pair[0]);
    return -EMFILE;
  }
  setenv("_FUSE_COMMFD", "3", 1);
  char *arguments[] = {(char *)helper, "-o", (char *)options, "--", (char *)target, NULL};
  pid_t child;
  int error = spawn_helper(helper, arguments, theirs, &child);
  unsetenv("_FUSE_COMMFD");
  close(theirs);
  int fd = error == 0 ? receive_descriptor(pair[0]) : error;
  close(pair[0]);
  if (error == 0) wait_helper(child);
  return fd;
}

/* 0, or -errno. `flags`: MNT_DETACH 2. */
EXPORT int32_t kiseki_fuse_unmount(const char *target, uint32_t flags) { return umount2(target, (int)flags) == 0 ? 0 : -errno; }

EXPORT int32_t kiseki_fuse_unmount_by_helper(const char *helper, const char *target, uint32_t is_lazy) {
  char *arguments[] = {(char *)helper, "-u", is_lazy ? "-z" : "-q", "--", (char *)target, NULL};
  pid_t child;
  int error = spawn_helper(helper, arguments, -1, &child);
  return error == 0 ? wait_helper(child) : error;
}
