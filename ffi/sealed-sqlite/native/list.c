/* The member list and its note (docs/formats/member-list.md). */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "sealed-sqlite.h"

EXPORTED uint32_t kiseki_list_crc32c(uint32_t initial, const uint8_t *source, uint64_t size) {
  return ~crc32c_plain(~initial, source, size);
}

/* Everything but the last four bytes; `self` (16 bytes at 40) is zero, as in the note. */
size_t list_encode(const Set *set, uint32_t live, uint64_t version, uint8_t *target) {
  memset(target, 0, list_size_max);
  memcpy(target, "KSKIMEMB", 8);
  target[8] = 1;
  write_le64(target + 16, version);
  memcpy(target + 24, set->id, id_size);
  uint8_t *p = target + 56;
  uint8_t count = 0;
  for (int i = 0; i < set->count; i++) {
    if (!(live >> i & 1)) continue;
    memcpy(p, set->members[i].id, id_size);
    p += id_size;
    count++;
  }
  target[10] = count;
  return (size_t)(p - target);
}

static int write_whole(int fd, const uint8_t *source, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, source, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    source += n, size -= (size_t)n;
  }
  return 0;
}

static int replace_file(int directory, const char *name, const char *temporary, const uint8_t *list, size_t size,
                        const uint8_t *self) {
  uint8_t bytes[list_size_max + 4];
  if (size > list_size_max) return EINVAL;
  memcpy(bytes, list, size);
  if (self) memcpy(bytes + 40, self, id_size);
  write_le32(bytes + size, kiseki_list_crc32c(0, bytes, size));
  int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return errno;
  int error = write_whole(fd, bytes, size + 4);
  if (!error && fsync(fd) != 0) error = errno;
  if (close(fd) != 0 && !error) error = errno;
  failpoint("list-rename");
  if (!error && renameat(directory, temporary, directory, name) != 0) error = errno;
  if (!error && fsync(directory) != 0) error = errno;
  return error;
}

int list_write(int directory, const uint8_t *list, size_t size, const uint8_t *self) {
  return replace_file(directory, "members", "members.new", list, size, self);
}

int note_write(const char *path, const uint8_t *list, size_t size) {
  char parent[4096], name[256], temporary[264];
  const char *slash = strrchr(path, '/');
  if (!slash || strlen(path) >= sizeof parent || strlen(slash + 1) >= sizeof name) return EINVAL;
  memcpy(parent, path, (size_t)(slash - path)), parent[slash - path] = 0;
  strcpy(name, slash + 1);
  snprintf(temporary, sizeof temporary, "%s.new", name);
  int directory = open(parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return errno;
  int error = replace_file(directory, name, temporary, list, size, NULL);
  close(directory);
  return error;
}
