/* Frames to and from the client process (docs/formats/client-process.md), and statuses of what goes wrong. */
#ifndef KISEKI_WIRE_H
#define KISEKI_WIRE_H

#include <stdbool.h>

#include "kiseki.h"

enum {
  header_size = 12,
  token_size = 32,
  path_size_max = 4096,
  data_size_max = 4 * 1024 * 1024,
};

enum verb {
  verb_hello = 1,
  verb_close = 2,
  verb_open = 10,
  verb_close_handle = 11,
  verb_write = 13,
  verb_stat = 20,
  verb_read_file = 30,
  verb_cache_stats = 40,
  verb_stage = 50,
  verb_stage_status = 51,
  verb_release = 52,
};

/* Fields of a request, one after another. */
struct fields {
  uint8_t bytes[256 + path_size_max];
  size_t size;
};
void put_u16(struct fields *fields, uint16_t value);
void put_u32(struct fields *fields, uint32_t value);
void put_u64(struct fields *fields, uint64_t value);
void put_bytes(struct fields *fields, const void *bytes, size_t size);
/* False: the path is too long. */
bool put_path(struct fields *fields, const char *path);

uint16_t take_u16(const uint8_t *bytes);
uint32_t take_u32(const uint8_t *bytes);
uint64_t take_u64(const uint8_t *bytes);

/* An answer's body: the first bytes in `head`, the rest in `rest`, of `rest_size` bytes. */
struct answer {
  uint8_t *head;
  size_t head_size;
  uint8_t *rest;
  size_t rest_size;
  /* What came. */
  size_t size;
  /* The connection is of no use any more. */
  bool is_broken;
};

/* Remembers `text` for this thread and returns `status`. */
kiseki_status fail_with(kiseki_status status, const char *text);
kiseki_status succeed(void);
kiseki_status status_of(int error);

/* Sends a request with `fields` and then `data`, and waits for its answer. */
kiseki_status exchange(int socket, uint32_t id, enum verb verb, const struct fields *fields, const void *data,
                       size_t data_size, struct answer *answer);

#endif
