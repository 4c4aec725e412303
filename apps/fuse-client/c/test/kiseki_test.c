/* Every function of kiseki.h against a node: variables say where it is. */
#include "kiseki.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

enum { large_size = 9 * 1024 * 1024 + 5, threads_count = 4, rounds_count = 10 };

static void check_arguments(kiseki_client *client) {
  char buffer[8];
  size_t count = 77;
  uint64_t size = 77;
  char path[5000];
  memset(path, 'a', sizeof path);
  path[sizeof path - 1] = '\0';
  CHECK(kiseki_read(NULL, "/a", 0, buffer, 8, &count) == KISEKI_INVALID_ARG);
  CHECK(kiseki_read(client, NULL, 0, buffer, 8, &count) == KISEKI_INVALID_ARG);
  CHECK(kiseki_read(client, path, 0, buffer, 8, &count) == KISEKI_INVALID_ARG);
  CHECK(kiseki_read(client, "/missing", 0, buffer, 8, &count) == KISEKI_NOT_FOUND);
  CHECK(strcmp(kiseki_last_error(), "ENOENT") == 0);
  CHECK(kiseki_stat(client, "/missing", &size) == KISEKI_NOT_FOUND);
  CHECK(kiseki_read(client, "/", 0, buffer, 8, &count) == KISEKI_INVALID_ARG);
  CHECK(kiseki_write(client, "/missing/file", "x", 1, &count) == KISEKI_NOT_FOUND);
  CHECK(count == 77 && size == 77);
  CHECK(kiseki_open("a/b", &client) == KISEKI_INVALID_ARG);
  CHECK(kiseki_connect("/nowhere", "00", &client) == KISEKI_INVALID_ARG);
  CHECK(kiseki_close(NULL) == KISEKI_OK);
}

static void check_content(kiseki_client *client) {
  char *data = malloc(large_size), *back = malloc(large_size + 10);
  size_t count = 0;
  uint64_t size = 0;
  CHECK(data != NULL && back != NULL);
  for (size_t at = 0; at < large_size; at++) data[at] = (char)(at * 31 + at / 4093);
  CHECK(kiseki_write(client, "/c-large", data, large_size, &count) == KISEKI_OK && count == large_size);
  CHECK(kiseki_stat(client, "/c-large", &size) == KISEKI_OK && size == large_size);
  CHECK(kiseki_read(client, "/c-large", 0, back, large_size + 10, &count) == KISEKI_OK && count == large_size);
  CHECK(memcmp(data, back, large_size) == 0);
  CHECK(kiseki_read(client, "/c-large", 4194300, back, 10, &count) == KISEKI_OK && count == 10);
  CHECK(memcmp(data + 4194300, back, 10) == 0);
  CHECK(kiseki_read(client, "/c-large", large_size, back, 10, &count) == KISEKI_OK && count == 0);
  CHECK(kiseki_write(client, "/c-large", "", 0, &count) == KISEKI_OK && count == 0);
  CHECK(kiseki_stat(client, "/c-large", &size) == KISEKI_OK && size == 0);
  CHECK(strcmp(kiseki_last_error(), "") == 0);
  free(data);
  free(back);
}

static void *read_often(void *argument) {
  char back[6];
  size_t count = 0;
  for (int round = 0; round < rounds_count; round++) {
    CHECK(kiseki_read(argument, "/c-small", 0, back, sizeof back, &count) == KISEKI_OK);
    CHECK(count == 5 && memcmp(back, "small", 5) == 0);
  }
  return NULL;
}
static void check_threads(kiseki_client *client) {
  pthread_t threads[threads_count];
  size_t count = 0;
  CHECK(kiseki_write(client, "/c-small", "small", 5, &count) == KISEKI_OK);
  for (int at = 0; at < threads_count; at++) CHECK(pthread_create(&threads[at], NULL, read_often, client) == 0);
  for (int at = 0; at < threads_count; at++) CHECK(pthread_join(threads[at], NULL) == 0);
}

static void check_staging(kiseki_client *client) {
  int is_staged = 7;
  kiseki_stats stats;
  CHECK(kiseki_stage_status(client, "/c-small", &is_staged) == KISEKI_OK && is_staged == 0);
  CHECK(kiseki_stage(client, "/missing", 0) == KISEKI_NOT_FOUND);
  CHECK(kiseki_stage(client, "/c-small", 20000) == KISEKI_OK);
  const char *names[] = {"/c-small", "/c-small/", "c-small", "//c-small"};
  for (int at = 0; at < 4; at++) {
    is_staged = 7;
    CHECK(kiseki_stage_status(client, names[at], &is_staged) == KISEKI_OK && is_staged == 1);
  }
  CHECK(kiseki_stage_status(client, "/", &is_staged) == KISEKI_OK && is_staged == 0);
  CHECK(kiseki_release(client, "/c-small") == KISEKI_OK);
  CHECK(kiseki_stage_status(client, "/c-small", &is_staged) == KISEKI_OK && is_staged == 0);
  CHECK(kiseki_cache_stats(client, &stats) == KISEKI_OK);
  CHECK(stats.l1_hits > 0 && stats.misses > 0 && stats.meta_hits + stats.meta_misses > 0);
}

int main(void) {
  kiseki_client *client = NULL;
  CHECK(kiseki_open(NULL, &client) == KISEKI_OK);
  check_arguments(client);
  check_content(client);
  check_threads(client);
  check_staging(client);
  CHECK(kiseki_close(client) == KISEKI_OK);
  CHECK(setenv("KISEKI_NAMESPACE", "nowhere", 1) == 0);
  CHECK(kiseki_open(NULL, &client) == KISEKI_NOT_CONNECTED);
  CHECK(setenv("KISEKI_CLIENT", "/nowhere/kiseki-client", 1) == 0);
  CHECK(kiseki_open(NULL, &client) == KISEKI_NOT_CONNECTED);
  return 0;
}
