/* The thread that tells the kernel what nobody asked. It alone may wait there: the kernel takes locks that a request under
 * way can hold, and the thread that answers requests must not wait for itself. */
#include "fuse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The oldest notice, waited for; NULL when the device stops. */
static struct notice *take(struct device *device) {
  pthread_mutex_lock(&device->notice_mutex);
  while (!device->first && device->is_notifying) pthread_cond_wait(&device->noticed, &device->notice_mutex);
  struct notice *notice = device->is_notifying ? device->first : NULL;
  if (notice) {
    device->first = notice->next;
    if (!device->first) device->last = NULL;
    device->notice_count--;
  }
  pthread_mutex_unlock(&device->notice_mutex);
  return notice;
}

static void *notify(void *argument) {
  struct device *device = argument;
  struct notice *notice;
  while ((notice = take(device))) {
    ssize_t written = write(device->reader[notice->reader].fd, notice->bytes, notice->size);
    int error = written < 0 ? errno : 0;
    /* ENOENT and ENOTDIR: the kernel does not know it any more. ENODEV: it is unmounted. */
    if (error != 0 && error != ENOENT && error != ENOTDIR && error != ENODEV && error != ENOTEMPTY) {
      pthread_mutex_lock(&device->notice_mutex);
      device->notices_failed++;
      pthread_mutex_unlock(&device->notice_mutex);
    }
    free(notice);
  }
  return NULL;
}

int notifier_start(struct device *device) {
  pthread_mutex_init(&device->notice_mutex, NULL);
  pthread_cond_init(&device->noticed, NULL);
  device->is_notifying = 1;
  return pthread_create(&device->notifier, NULL, notify, device);
}

void notifier_stop(struct device *device) {
  pthread_mutex_lock(&device->notice_mutex);
  device->is_notifying = 0;
  pthread_cond_signal(&device->noticed);
  pthread_mutex_unlock(&device->notice_mutex);
  pthread_join(device->notifier, NULL);
  for (struct notice *each = device->first, *next; each; each = next) {
    next = each->next;
    free(each);
  }
}

/* Queues a copy, of a notice or of an answer that must not be there before it. -ENOBUFS: too many wait; the caller keeps it
 * and tries again. */
EXPORT int32_t kiseki_fuse_notify(struct device *device, uint32_t reader, const uint8_t *bytes, uint32_t size) {
  if (reader >= device->reader_count || size < REPLY_HEAD_SIZE || size > NOTICE_SIZE_MAX) return -EINVAL;
  struct notice *notice = malloc(sizeof *notice + size);
  if (!notice) return -ENOMEM;
  notice->next = NULL;
  notice->size = size;
  notice->reader = reader;
  memcpy(notice->bytes, bytes, size);
  pthread_mutex_lock(&device->notice_mutex);
  int is_full = device->notice_count >= NOTICES_MAX;
  if (!is_full) {
    if (device->last) device->last->next = notice;
    else device->first = notice;
    device->last = notice;
    device->notice_count++;
    pthread_cond_signal(&device->noticed);
  }
  pthread_mutex_unlock(&device->notice_mutex);
  if (is_full) free(notice);
  return is_full ? -ENOBUFS : 0;
}

/* Notices that the kernel refused, ever. */
EXPORT uint32_t kiseki_fuse_notices_failed(struct device *device) {
  pthread_mutex_lock(&device->notice_mutex);
  uint32_t failed = device->notices_failed;
  pthread_mutex_unlock(&device->notice_mutex);
  return failed;
}
