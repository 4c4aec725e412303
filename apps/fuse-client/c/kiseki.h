/*
 * Files of a Kiseki namespace for C, over a client process of its own (docs/sdk.md).
 *
 * A client may be used by many threads; their calls are answered one after another. Paths start at the namespace's root.
 * What a function sets on success it leaves alone otherwise. Behind a client stands `kiseki-client serve`, which ends with it.
 */
#ifndef KISEKI_H
#define KISEKI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KISEKI_API __attribute__((visibility("default")))
#else
#define KISEKI_API
#endif

typedef enum kiseki_status {
  KISEKI_OK = 0,
  KISEKI_NOT_FOUND = 1,
  KISEKI_PERMISSION = 2,
  KISEKI_IO_ERROR = 3,
  KISEKI_INVALID_ARG = 4,
  KISEKI_NOT_CONNECTED = 5,
  KISEKI_TIMED_OUT = 6
} kiseki_status;

typedef struct kiseki_client kiseki_client;

/* Since the client was opened; bytes are those of now. */
typedef struct kiseki_stats {
  uint64_t l1_hits;
  uint64_t l2_hits;
  uint64_t misses;
  uint64_t bypasses;
  uint64_t errors;
  uint64_t l1_bytes;
  uint64_t l2_bytes;
  uint64_t meta_hits;
  uint64_t meta_misses;
  uint64_t wipes;
} kiseki_stats;

/*
 * Starts a client. `seed`: "host:9100,…" of nodes, or "host:9100,…/tenant/namespace". NULL, and what it does not say, is what
 * KISEKI_DATA_ADDR, KISEKI_TENANT, KISEKI_NAMESPACE and the other variables of the client say.
 */
KISEKI_API kiseki_status kiseki_open(const char *seed, kiseki_client **client);

/* Reaches a client process that runs: its socket, and its token in 64 hex digits. Closing leaves the process alone. */
KISEKI_API kiseki_status kiseki_connect(const char *socket_path, const char *token, kiseki_client **client);

/* Stores what was written, wipes the cache and ends the process. The client is gone, whatever is answered. NULL is nothing. */
KISEKI_API kiseki_status kiseki_close(kiseki_client *client);

/* Reads up to `size` bytes from `offset` on; fewer only at the end of the file. */
KISEKI_API kiseki_status kiseki_read(kiseki_client *client, const char *path, uint64_t offset, void *buffer, size_t size,
                                     size_t *count);

/* Makes the file, or replaces all that is in it. Stored when it is answered. */
KISEKI_API kiseki_status kiseki_write(kiseki_client *client, const char *path, const void *data, size_t size,
                                      size_t *count);

/* Bytes of the file. */
KISEKI_API kiseki_status kiseki_stat(kiseki_client *client, const char *path, uint64_t *size);

/* Fetches a file, or all below a folder, and keeps it on the local disk. `timeout_ms` 0: however long it takes. */
KISEKI_API kiseki_status kiseki_stage(kiseki_client *client, const char *path, uint64_t timeout_ms);

/* Whether it is staged: 1 or 0. */
KISEKI_API kiseki_status kiseki_stage_status(kiseki_client *client, const char *path, int *is_staged);

/* Lets go of what was staged. */
KISEKI_API kiseki_status kiseki_release(kiseki_client *client, const char *path);

KISEKI_API kiseki_status kiseki_cache_stats(kiseki_client *client, kiseki_stats *stats);

/* What the last call of this thread came to, in words; "" after one that was done. Good until the next call. */
KISEKI_API const char *kiseki_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
