/* Files of this machine, for as long as nobody has to wait for a disk. */
#include "fuse.h"

#include <sys/uio.h>

/* 1: `target` has `size` bytes from `offset` on; 0: not all of them are in the system's cache, or are there at all. */
EXPORT int32_t kiseki_fuse_read_cached(int32_t fd, uint8_t *target, uint64_t size, uint64_t offset) {
  struct iovec part = {target, size};
  return preadv2(fd, &part, 1, (off_t)offset, RWF_NOWAIT) == (ssize_t)size;
}
