// The loader of `bun run bench s3`: one blocking thread with one keep-alive connection per client, the same for every server.
//
//   loader --port N --access-key K --secret-key S --bucket B --op put|get|head|delete|list --prefix P
//          --size BYTES --connections C --seconds S --objects N [--seed N] [--depth LEVELS --fan DIRECTORIES] [--first N] [--leaf OBJECTS]
//
// Signature V4 by header. All payload hashes and signatures are made before the run; `ready` is printed, a line on
// standard input starts the clock, one JSON object with the figures ends it. Bodies are random and differ per object and
// per 4 MiB, so that nothing can be deduplicated; a GET compares every byte with the body that was put. `put` reads the
// last objects back after the clock has stopped.
#include "loader.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static struct options options;
static uint8_t *base;            // the random bytes that every body starts from
static struct signed_op *signed_ops; // one per object, made before the run
static atomic_ullong next_op, errors;
static atomic_int stop;
static pthread_barrier_t barrier;

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t mix(uint64_t x) { // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Makes `body` that of object `index`: 16 bytes differ in every stretch of 4 MiB, or at the end of a shorter body.
static void stamp(uint8_t *body, uint64_t index) {
  uint64_t mark[2] = {mix(index ^ options.seed), index};
  size_t size = options.size;
  if (size < sizeof mark) {
    memcpy(body, mark, size);
    return;
  }
  for (size_t at = 0; at < size; at += 4u << 20) {
    size_t end = at + (4u << 20) < size ? at + (4u << 20) : size;
    if (end - at >= sizeof mark) memcpy(body + end - sizeof mark, mark, sizeof mark);
  }
}

static const char *method(void) {
  switch (options.op) {
    case OP_PUT: return "PUT";
    case OP_HEAD: return "HEAD";
    case OP_DELETE: return "DELETE";
    default: return "GET";
  }
}

// --- connection ---------------------------------------------------------------------------------------------------

struct connection {
  int fd;
  uint8_t *body; // what is sent, or what an answer must equal
  char *input;
  size_t filled, used;
};

enum { INPUT_SIZE = 256 * 1024 };

static int dial(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct timeval limit = {.tv_sec = 60};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
    close(fd);
    return -1;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static int send_all(int fd, struct iovec *parts, int count) {
  while (count > 0) {
    ssize_t sent = writev(fd, parts, count);
    if (sent <= 0) return -1;
    while (count > 0 && (size_t)sent >= parts->iov_len) {
      sent -= (ssize_t)parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (char *)parts->iov_base + sent;
      parts->iov_len -= (size_t)sent;
    }
  }
  return 0;
}

static int fill(struct connection *connection) {
  if (connection->used == connection->filled) connection->used = connection->filled = 0;
  if (connection->filled == INPUT_SIZE) return -1;
  ssize_t got = recv(connection->fd, connection->input + connection->filled, INPUT_SIZE - connection->filled, 0);
  if (got <= 0) return -1;
  connection->filled += (size_t)got;
  return 0;
}

// Takes a line or block that ends with `mark`; NUL-terminates it in place. NULL when the connection broke.
static char *take_until(struct connection *connection, const char *mark) {
  size_t mark_size = strlen(mark);
  for (;;) {
    char *start = connection->input + connection->used;
    char *end = memmem(start, connection->filled - connection->used, mark, mark_size);
    if (end != NULL) {
      *end = 0;
      connection->used = (size_t)(end - connection->input) + mark_size;
      return start;
    }
    if (connection->used > 0) {
      memmove(connection->input, start, connection->filled - connection->used);
      connection->filled -= connection->used;
      connection->used = 0;
    }
    if (fill(connection) != 0) return NULL;
  }
}

// Takes `size` bytes of body; compares them with `want` unless it is NULL.
static int take_body(struct connection *connection, uint64_t size, const uint8_t *want) {
  uint64_t at = 0;
  while (at < size) {
    if (connection->used == connection->filled && fill(connection) != 0) return -1;
    size_t here = connection->filled - connection->used;
    if (here > size - at) here = (size_t)(size - at);
    if (want != NULL && memcmp(connection->input + connection->used, want + at, here) != 0) return -1;
    connection->used += here;
    at += here;
  }
  return 0;
}

static const char *header(const char *head, const char *name) {
  size_t size = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, size) == 0 && line[size] == ':') return line + size + 1 + strspn(line + size + 1, " ");
  }
  return NULL;
}

static int take_chunked(struct connection *connection) {
  for (;;) {
    char *line = take_until(connection, "\r\n");
    if (line == NULL) return -1;
    uint64_t size = strtoull(line, NULL, 16);
    if (size > 0 && take_body(connection, size, NULL) != 0) return -1;
    if (take_until(connection, "\r\n") == NULL) return -1;
    if (size == 0) return 0;
  }
}

// One answer, checked: 0 is right, 1 is a wrong answer on a connection that goes on, -1 ends the connection.
static int take_answer(struct connection *connection, const uint8_t *want) {
  char *head = take_until(connection, "\r\n\r\n");
  if (head == NULL) return -1;
  int status = atoi(head + 9), expected = options.op == OP_DELETE ? 204 : 200, wrong = status != expected;
  if (wrong && atomic_fetch_add(&errors, 0) < 3) fprintf(stderr, "loader: %.200s\n", head);
  const char *length = header(head, "content-length"), *coding = header(head, "transfer-encoding");
  int closes = header(head, "connection") != NULL && strncasecmp(header(head, "connection"), "close", 5) == 0;
  if (options.op == OP_HEAD) return wrong || closes ? -1 : 0;
  if (coding != NULL && strncasecmp(coding, "chunked", 7) == 0) {
    if (take_chunked(connection) != 0) return -1;
  } else if (length != NULL) {
    uint64_t size = strtoull(length, NULL, 10);
    if (!wrong && want != NULL && size != options.size) return -1;
    if (take_body(connection, size, wrong ? NULL : want) != 0) return -1;
  }
  return closes ? -1 : wrong;
}

// --- one operation ------------------------------------------------------------------------------------------------

static int perform(struct connection *connection, uint64_t object) {
  char head[2048];
  int with_body = options.op == OP_PUT || options.op == OP_GET;
  int size = write_head(head, sizeof head, &options, method(), object, &signed_ops[object]);
  if (with_body) stamp(connection->body, object);
  struct iovec parts[2] = {{head, (size_t)size}, {connection->body, options.size}};
  if (send_all(connection->fd, parts, options.op == OP_PUT ? 2 : 1) != 0) return -1;
  return take_answer(connection, options.op == OP_GET ? connection->body : NULL);
}

static uint64_t *latencies;
static atomic_ullong done;

static void *client(void *argument) {
  uint64_t random = (uint64_t)(uintptr_t)argument;
  struct connection connection = {.fd = dial(), .input = malloc(INPUT_SIZE)};
  if (options.op == OP_PUT || options.op == OP_GET) {
    connection.body = malloc(options.size + 1);
    memcpy(connection.body, base, options.size);
  }
  int sequential = options.op == OP_PUT || options.op == OP_DELETE;
  pthread_barrier_wait(&barrier); // ready
  pthread_barrier_wait(&barrier); // go
  while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
    uint64_t object = sequential ? atomic_fetch_add(&next_op, 1) : (random = mix(random)) % options.objects;
    if (object >= options.objects) break;
    uint64_t started = now_ns();
    int outcome = connection.fd < 0 ? -1 : perform(&connection, object);
    if (outcome == 0) {
      uint64_t place = atomic_fetch_add(&done, 1);
      if (place < LATENCIES_MAX) latencies[place] = now_ns() - started;
      continue;
    }
    if (atomic_fetch_add(&errors, 1) > 1000) break;
    if (outcome < 0) {
      if (connection.fd >= 0) close(connection.fd);
      connection.fd = dial();
      connection.filled = connection.used = 0;
    }
  }
  if (connection.fd >= 0) close(connection.fd);
  free(connection.body);
  free(connection.input);
  return NULL;
}

// --- the run ------------------------------------------------------------------------------------------------------

static int ascending(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

static void sign_all(void) {
  uint8_t *body = malloc(options.size + 1);
  memcpy(body, base, options.size);
  for (uint64_t index = 0; index < options.objects; index++) {
    if (options.op == OP_PUT) stamp(body, index);
    sign_op(&options, method(), index, options.op == OP_PUT ? body : NULL, &signed_ops[index]);
  }
  free(body);
}

// Reads the last objects back and compares them: what was acknowledged is there.
static uint64_t read_back(uint64_t count) {
  uint64_t wrong = 0, from = count > 8 ? count - 8 : 0;
  struct connection connection = {.fd = dial(), .input = malloc(INPUT_SIZE), .body = malloc(options.size + 1)};
  memcpy(connection.body, base, options.size);
  options.op = OP_GET;
  for (uint64_t index = from; index < count; index++) {
    sign_op(&options, method(), index, NULL, &signed_ops[index]);
    if (perform(&connection, index) != 0) wrong++;
  }
  close(connection.fd);
  free(connection.body);
  free(connection.input);
  return wrong;
}

static void report(double seconds, uint64_t wrong) {
  uint64_t count = atomic_load(&done), kept = count < LATENCIES_MAX ? count : LATENCIES_MAX;
  qsort(latencies, kept, sizeof *latencies, ascending);
  double p50 = kept == 0 ? 0 : (double)latencies[kept / 2] / 1e6, p99 = kept == 0 ? 0 : (double)latencies[kept * 99 / 100] / 1e6;
  printf("{\"operations\":%llu,\"errors\":%llu,\"wrong\":%llu,\"seconds\":%.4f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
         (unsigned long long)count, (unsigned long long)atomic_load(&errors), (unsigned long long)wrong, seconds, p50, p99);
}

int main(int count, char **words) {
  if (parse_options(&options, count, words) != 0) return 2;
  base = malloc(options.size + 8);
  for (size_t at = 0; at < options.size; at += 8) {
    uint64_t word = mix(options.seed * 31 + at);
    memcpy(base + at, &word, options.size - at < 8 ? options.size - at : 8);
  }
  signed_ops = calloc(options.objects, sizeof *signed_ops);
  latencies = calloc(LATENCIES_MAX, sizeof *latencies);
  sign_all();
  pthread_t threads[CONNECTIONS_MAX];
  pthread_barrier_init(&barrier, NULL, (unsigned)options.connections + 1);
  for (int index = 0; index < options.connections; index++)
    pthread_create(&threads[index], NULL, client, (void *)(uintptr_t)mix((uint64_t)index + 1));
  pthread_barrier_wait(&barrier);
  puts("ready");
  fflush(stdout);
  if (getchar() == EOF) return 2;
  uint64_t started = now_ns();
  pthread_barrier_wait(&barrier);
  for (uint64_t until = started + (uint64_t)(options.seconds * 1e9); now_ns() < until && !atomic_load(&stop);) {
    usleep(2000);
    int sequential = options.op == OP_PUT || options.op == OP_DELETE;
    if (sequential && atomic_load(&next_op) >= options.objects) break;
  }
  atomic_store(&stop, 1);
  for (int index = 0; index < options.connections; index++) pthread_join(threads[index], NULL);
  double seconds = (double)(now_ns() - started) / 1e9;
  puts("stopped");
  fflush(stdout);
  uint64_t made = atomic_load(&next_op) < options.objects ? atomic_load(&next_op) : options.objects;
  report(seconds, options.op == OP_PUT && atomic_load(&errors) == 0 ? read_back(made) : 0);
  return 0;
}
