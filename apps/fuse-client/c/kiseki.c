#include "kiseki.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "wire.h"

enum {
  version = 1,
  flag_write = 2,
  flag_create = 8,
  flag_truncate = 32,
  mode_usual = 0644,
  attributes_size = 64,
  size_at = 24,
  status_size_max = 1024 * 1024,
};

struct kiseki_client {
  pthread_mutex_t turn;
  int socket;
  uint32_t id;
  struct process process;
};

static kiseki_status no_client(void) {
  return fail_with(KISEKI_INVALID_ARG, "There is no client, or nowhere to put the answer");
}
static kiseki_status bad_path(void) {
  return fail_with(KISEKI_INVALID_ARG, "A path has up to 4096 bytes");
}

/* One call, when it is its turn. A connection that broke stays so. */
static kiseki_status call(kiseki_client *client, enum verb verb, const struct fields *fields, const void *data,
                          size_t data_size, struct answer *answer) {
  pthread_mutex_lock(&client->turn);
  client->id += 1;
  kiseki_status status = client->socket < 0
                             ? fail_with(KISEKI_NOT_CONNECTED, "The client process has ended")
                             : exchange(client->socket, client->id, verb, fields, data, data_size, answer);
  if (answer->is_broken) {
    close(client->socket);
    client->socket = -1;
  }
  pthread_mutex_unlock(&client->turn);
  return status;
}
/* A call whose answer has no fields. */
static kiseki_status call_plainly(kiseki_client *client, enum verb verb, const struct fields *fields) {
  uint8_t head[attributes_size];
  struct answer answer = {.head = head, .head_size = sizeof head};
  return call(client, verb, fields, NULL, 0, &answer);
}

static kiseki_status greet(kiseki_client *client, const uint8_t *token) {
  struct fields fields = {.size = 0};
  put_u16(&fields, version);
  put_bytes(&fields, token, token_size);
  kiseki_status status = call_plainly(client, verb_hello, &fields);
  return status == KISEKI_OK ? succeed() : fail_with(KISEKI_NOT_CONNECTED, "The client process does not let us in");
}

static kiseki_status open_at(const char *socket_path, const uint8_t *token, const struct process *process,
                             kiseki_client **opened) {
  kiseki_client *client = calloc(1, sizeof *client);
  if (client == NULL) return fail_with(KISEKI_IO_ERROR, "No memory");
  pthread_mutex_init(&client->turn, NULL);
  client->process = *process;
  client->socket = connect_to(socket_path);
  kiseki_status status =
      client->socket < 0 ? fail_with(KISEKI_NOT_CONNECTED, strerror(errno)) : greet(client, token);
  if (status == KISEKI_OK) {
    *opened = client;
    return status;
  }
  if (client->socket >= 0) close(client->socket);
  pthread_mutex_destroy(&client->turn);
  free(client);
  return status;
}

kiseki_status kiseki_open(const char *seed, kiseki_client **client) {
  if (client == NULL) return no_client();
  struct process process;
  kiseki_status status = start_process(&process, seed);
  if (status != KISEKI_OK) return status;
  status = open_at(process.socket_path, process.token, &process, client);
  if (status != KISEKI_OK) end_process(&process);
  return status;
}

static int digit_of(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}
kiseki_status kiseki_connect(const char *socket_path, const char *token, kiseki_client **client) {
  if (socket_path == NULL || token == NULL || client == NULL) return no_client();
  uint8_t bytes[token_size] = {0};
  if (strlen(token) != token_size * 2) return fail_with(KISEKI_INVALID_ARG, "A token has 64 hex digits");
  for (size_t at = 0; at < token_size * 2; at++) {
    int digit = digit_of(token[at]);
    if (digit < 0) return fail_with(KISEKI_INVALID_ARG, "A token has 64 hex digits");
    bytes[at / 2] = (uint8_t)(bytes[at / 2] << 4 | digit);
  }
  struct process none = {.pid = 0};
  return open_at(socket_path, bytes, &none, client);
}

kiseki_status kiseki_close(kiseki_client *client) {
  if (client == NULL) return succeed();
  kiseki_status status = KISEKI_OK;
  struct fields fields = {.size = 0};
  if (client->process.pid > 0) status = call_plainly(client, verb_close, &fields);
  if (client->socket >= 0) close(client->socket);
  end_process(&client->process);
  pthread_mutex_destroy(&client->turn);
  free(client);
  return status == KISEKI_OK ? succeed() : status;
}

kiseki_status kiseki_read(kiseki_client *client, const char *path, uint64_t offset, void *buffer, size_t size,
                          size_t *count) {
  if (client == NULL || path == NULL || count == NULL || (buffer == NULL && size > 0)) return no_client();
  size_t done = 0;
  do {
    size_t piece = size - done < data_size_max ? size - done : data_size_max;
    struct fields fields = {.size = 0};
    uint8_t head[8];
    put_u64(&fields, offset + done);
    put_u32(&fields, (uint32_t)piece);
    if (!put_path(&fields, path)) return bad_path();
    struct answer answer = {head, sizeof head, (uint8_t *)buffer + done, piece, 0, false};
    kiseki_status status = call(client, verb_read_file, &fields, NULL, 0, &answer);
    if (status != KISEKI_OK) return status;
    size_t came = answer.size - sizeof head;
    done += came;
    if (came < piece) break;
  } while (done < size);
  *count = done;
  return succeed();
}

static kiseki_status write_all(kiseki_client *client, uint64_t handle, const uint8_t *data, size_t size) {
  for (size_t done = 0; done < size;) {
    size_t piece = size - done < data_size_max ? size - done : data_size_max;
    struct fields fields = {.size = 0};
    uint8_t head[4];
    put_u64(&fields, handle);
    put_u64(&fields, done);
    put_u32(&fields, (uint32_t)piece);
    struct answer answer = {.head = head, .head_size = sizeof head};
    kiseki_status status = call(client, verb_write, &fields, data + done, piece, &answer);
    if (status != KISEKI_OK) return status;
    done += take_u32(head);
  }
  return succeed();
}

kiseki_status kiseki_write(kiseki_client *client, const char *path, const void *data, size_t size, size_t *count) {
  if (client == NULL || path == NULL || count == NULL || (data == NULL && size > 0)) return no_client();
  struct fields opening = {.size = 0}, closing = {.size = 0};
  uint8_t head[8 + attributes_size];
  put_u16(&opening, flag_write | flag_create | flag_truncate);
  put_u32(&opening, mode_usual);
  if (!put_path(&opening, path)) return bad_path();
  struct answer answer = {.head = head, .head_size = sizeof head};
  kiseki_status status = call(client, verb_open, &opening, NULL, 0, &answer);
  if (status != KISEKI_OK) return status;
  uint64_t handle = take_u64(head);
  put_u64(&closing, handle);
  status = write_all(client, handle, data, size);
  if (status != KISEKI_OK) {
    char why[256];
    strncpy(why, kiseki_last_error(), sizeof why - 1);
    why[sizeof why - 1] = '\0';
    call_plainly(client, verb_close_handle, &closing);
    return fail_with(status, why);
  }
  status = call_plainly(client, verb_close_handle, &closing);
  if (status == KISEKI_OK) *count = size;
  return status;
}

kiseki_status kiseki_stat(kiseki_client *client, const char *path, uint64_t *size) {
  if (client == NULL || path == NULL || size == NULL) return no_client();
  struct fields fields = {.size = 0};
  uint8_t head[attributes_size];
  put_u16(&fields, 1);
  if (!put_path(&fields, path)) return bad_path();
  struct answer answer = {.head = head, .head_size = sizeof head};
  kiseki_status status = call(client, verb_stat, &fields, NULL, 0, &answer);
  if (status == KISEKI_OK) *size = take_u64(head + size_at);
  return status;
}

kiseki_status kiseki_stage(kiseki_client *client, const char *path, uint64_t timeout_ms) {
  if (client == NULL || path == NULL) return no_client();
  struct fields fields = {.size = 0};
  put_u64(&fields, timeout_ms);
  return put_path(&fields, path) ? call_plainly(client, verb_stage, &fields) : bad_path();
}
kiseki_status kiseki_release(kiseki_client *client, const char *path) {
  if (client == NULL || path == NULL) return no_client();
  struct fields fields = {.size = 0};
  return put_path(&fields, path) ? call_plainly(client, verb_release, &fields) : bad_path();
}

/* Writes `path` with one `/` before each name, as stagings are listed; the bytes of it. */
static size_t normalize(const char *path, char *normal) {
  size_t size = 0;
  for (size_t at = 0; path[at] != '\0'; at++) {
    if (path[at] == '/') continue;
    if (at == 0 || path[at - 1] == '/') normal[size++] = '/';
    normal[size++] = path[at];
  }
  if (size == 0) normal[size++] = '/';
  return size;
}
/* Whether `path` is one of the texts of a list. */
static bool is_listed(const uint8_t *list, size_t size, const char *path) {
  char normal[path_size_max + 2];
  size_t wanted = normalize(path, normal);
  for (size_t at = 4; at + 2 <= size;) {
    size_t length = take_u16(list + at);
    if (at + 2 + length > size) return false;
    if (length == wanted && memcmp(list + at + 2, normal, length) == 0) return true;
    at += 2 + length;
  }
  return false;
}
kiseki_status kiseki_stage_status(kiseki_client *client, const char *path, int *is_staged) {
  if (client == NULL || path == NULL || is_staged == NULL) return no_client();
  if (strlen(path) > path_size_max) return bad_path();
  uint8_t *list = malloc(status_size_max);
  if (list == NULL) return fail_with(KISEKI_IO_ERROR, "No memory");
  struct fields fields = {.size = 0};
  struct answer answer = {.head = list, .head_size = status_size_max};
  kiseki_status status = call(client, verb_stage_status, &fields, NULL, 0, &answer);
  if (status == KISEKI_OK) *is_staged = is_listed(list, answer.size, path);
  free(list);
  return status;
}

kiseki_status kiseki_cache_stats(kiseki_client *client, kiseki_stats *stats) {
  if (client == NULL || stats == NULL) return no_client();
  struct fields fields = {.size = 0};
  uint8_t head[10 * 8];
  struct answer answer = {.head = head, .head_size = sizeof head};
  kiseki_status status = call(client, verb_cache_stats, &fields, NULL, 0, &answer);
  if (status != KISEKI_OK) return status;
  uint64_t *targets[] = {&stats->l1_hits,  &stats->l2_hits,  &stats->misses,    &stats->bypasses,    &stats->errors,
                         &stats->l1_bytes, &stats->l2_bytes, &stats->meta_hits, &stats->meta_misses, &stats->wipes};
  for (size_t at = 0; at < 10; at++) *targets[at] = take_u64(head + at * 8);
  return status;
}
