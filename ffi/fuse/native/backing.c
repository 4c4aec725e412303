/* Files that the kernel reads by itself in place of files of the mount (FUSE passthrough, Linux 6.9). */
#include "fuse.h"

#include <errno.h>
#include <sys/ioctl.h>

/* As in linux/fuse.h of 6.9 and newer. */
struct backing_map {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* A number above 0 for the file behind `fd`, good until it is closed; or -errno: EPERM for who is not root. */
EXPORT int32_t kiseki_fuse_backing_open(struct device *device, int32_t fd) {
  struct backing_map map = {.fd = fd};
  int id = ioctl(device->reader[0].fd, BACKING_OPEN, &map);
  if (id < 0) return -errno;
  return id > 0 ? id : -ENOTTY;
}

EXPORT int32_t kiseki_fuse_backing_close(struct device *device, uint32_t id) {
  return ioctl(device->reader[0].fd, BACKING_CLOSE, &id) == 0 ? 0 : -errno;
}
