// What the two files of the loader share.
#ifndef KISEKI_BENCH_LOADER_H
#define KISEKI_BENCH_LOADER_H

#include <stddef.h>
#include <stdint.h>

enum { CONNECTIONS_MAX = 256, LATENCIES_MAX = 4 << 20 };
enum operation { OP_PUT, OP_GET, OP_HEAD, OP_DELETE, OP_LIST };

struct options {
  int port, connections;
  double seconds;
  enum operation op;
  uint64_t objects; // PUT, DELETE: at most so many; GET, HEAD: that many were put under `prefix`
  size_t size;
  uint64_t seed;
  const char *access_key, *secret_key, *bucket, *prefix;
  int depth;    // directories above each object
  uint64_t fan; // directories of each level: object `index` lies where the digits of `index` in this base say
  uint64_t first; // number of object 0
  uint64_t leaf;  // 0, or how many objects with numbers behind each other lie in a directory of their own
  char date[17], day[9]; // of the signatures: that of the start
};

// What differs between the heads of two requests, in hexadecimal without NUL.
struct signed_op {
  char payload[64], signature[64];
};

// Fills `options` from the command line; says what is wrong on standard error. 0 when it is complete.
int parse_options(struct options *options, int count, char **words);
// Hashes `body` (NULL: the empty body) and signs the request of object `index`.
void sign_op(const struct options *options, const char *method, uint64_t index, const uint8_t *body, struct signed_op *op);
// Writes the head of that request; returns its size.
int write_head(char *target, size_t size, const struct options *options, const char *method, uint64_t index, const struct signed_op *op);

#endif
