/* Handles that have nothing to store and hold no locks: their FLUSH, one at each close(2), is answered by the thread that read it.
 * A set by open addressing; what is taken out leaves a mark, and a set that fills with marks is emptied: then JavaScript answers. */
#include "fuse.h"

#include <string.h>

#define QUIET_GONE UINT64_MAX

/* Where `handle` is, or a free place for it; with the mutex held. There is always one that is 0. */
static uint32_t place_of(struct device *device, uint64_t handle) {
  uint32_t at = (uint32_t)((handle * 0x9e3779b97f4a7c15u) >> 48) % QUIET_MAX;
  while (device->quiet[at] != 0 && device->quiet[at] != handle) at = (at + 1) % QUIET_MAX;
  return at;
}

/* Takes `handle` into the set, or out of it. */
EXPORT void kiseki_fuse_quiet(struct device *device, uint64_t handle, uint32_t is_quiet) {
  if (handle == 0 || handle == QUIET_GONE) return;
  pthread_mutex_lock(&device->quiet_mutex);
  uint32_t at = place_of(device, handle);
  if (is_quiet && device->quiet[at] == 0) {
    if (device->quiet_count >= QUIET_MAX / 2) {
      memset(device->quiet, 0, sizeof device->quiet);
      device->quiet_count = 0;
      at = place_of(device, handle);
    }
    device->quiet[at] = handle;
    device->quiet_count++;
  } else if (!is_quiet && device->quiet[at] == handle) {
    device->quiet[at] = QUIET_GONE;
  }
  pthread_mutex_unlock(&device->quiet_mutex);
}

int is_quiet(struct device *device, uint64_t handle) {
  if (handle == 0 || handle == QUIET_GONE) return 0;
  pthread_mutex_lock(&device->quiet_mutex);
  int found = device->quiet[place_of(device, handle)] == handle;
  pthread_mutex_unlock(&device->quiet_mutex);
  return found;
}
