// Signature V4 and the heads of requests; the command line.
#include "loader.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char region[] = "us-east-1";

static void hex(const uint8_t *source, size_t size, char *target) {
  static const char digits[] = "0123456789abcdef";
  for (size_t at = 0; at < size; at++) {
    target[2 * at] = digits[source[at] >> 4];
    target[2 * at + 1] = digits[source[at] & 15];
  }
}

static void hmac(const uint8_t *key, size_t key_size, const char *text, uint8_t out[32]) {
  unsigned size = 32;
  HMAC(EVP_sha256(), key, key_size, (const uint8_t *)text, strlen(text), out, &size);
}

static const uint8_t *signing_key(const struct options *options) {
  static uint8_t key[32];
  static int made;
  if (!made) {
    char first[256];
    snprintf(first, sizeof first, "AWS4%s", options->secret_key);
    hmac((const uint8_t *)first, strlen(first), options->day, key);
    hmac(key, 32, region, key);
    hmac(key, 32, "s3", key);
    hmac(key, 32, "aws4_request", key);
    made = 1;
  }
  return key;
}

// Path and canonical query of object `index`; a LIST asks for one page of 1,000 under the prefix.
static void target_of(const struct options *options, uint64_t index, char *path, size_t path_size, const char **query) {
  *query = "";
  if (options->op == OP_LIST) {
    static _Thread_local char text[512];
    int used = snprintf(text, sizeof text, "list-type=2&max-keys=1000&prefix=");
    for (const char *at = options->prefix; *at != 0 && used < 500; at++)
      used += snprintf(text + used, sizeof text - (size_t)used, *at == '/' ? "%%2F" : "%c", *at);
    *query = text;
    snprintf(path, path_size, "/%s", options->bucket);
    return;
  }
  int used = snprintf(path, path_size, "/%s/%s", options->bucket, options->prefix);
  uint64_t number = options->first + index, rest = number;
  if (options->leaf > 0)
    used += snprintf(path + used, path_size - (size_t)used, "%07llu/", (unsigned long long)(number / options->leaf));
  for (int level = 0; level < options->depth && (size_t)used < path_size; level++, rest /= options->fan)
    used += snprintf(path + used, path_size - (size_t)used, "%04llu/", (unsigned long long)(rest % options->fan));
  if ((size_t)used < path_size) snprintf(path + used, path_size - (size_t)used, "%08llu", (unsigned long long)number);
}

void sign_op(const struct options *options, const char *method, uint64_t index, const uint8_t *body, struct signed_op *op) {
  uint8_t digest[32];
  char path[512], canonical[2048], text[512], hashed[65] = {0};
  const char *query;
  SHA256(body == NULL ? (const uint8_t *)"" : body, body == NULL ? 0 : options->size, digest);
  hex(digest, 32, op->payload);
  target_of(options, index, path, sizeof path, &query);
  snprintf(canonical, sizeof canonical,
           "%s\n%s\n%s\nhost:127.0.0.1:%d\nx-amz-content-sha256:%.64s\nx-amz-date:%s\n\nhost;x-amz-content-sha256;x-amz-date\n%.64s",
           method, path, query, options->port, op->payload, options->date, op->payload);
  SHA256((const uint8_t *)canonical, strlen(canonical), digest);
  hex(digest, 32, hashed);
  snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s/%s/s3/aws4_request\n%s", options->date, options->day, region, hashed);
  hmac(signing_key(options), 32, text, digest);
  hex(digest, 32, op->signature);
}

int write_head(char *target, size_t size, const struct options *options, const char *method, uint64_t index, const struct signed_op *op) {
  char path[512];
  const char *query;
  target_of(options, index, path, sizeof path, &query);
  int used = snprintf(target, size,
                      "%s %s%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nx-amz-date: %s\r\nx-amz-content-sha256: %.64s\r\n"
                      "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s/%s/s3/aws4_request, "
                      "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%.64s\r\n",
                      method, path, *query == 0 ? "" : "?", query, options->port, options->date, op->payload,
                      options->access_key, options->day, region, op->signature);
  if (options->op == OP_PUT) used += snprintf(target + used, size - (size_t)used, "Content-Length: %zu\r\n", options->size);
  return used + snprintf(target + used, size - (size_t)used, "\r\n");
}

static int parse_operation(struct options *options, const char *word) {
  static const char *const names[] = {"put", "get", "head", "delete", "list"};
  for (int index = 0; index < 5; index++) {
    if (strcmp(word, names[index]) != 0) continue;
    options->op = (enum operation)index;
    return 0;
  }
  return -1;
}

int parse_options(struct options *options, int count, char **words) {
  *options = (struct options){.connections = 16, .seconds = 5, .objects = 1, .seed = 1, .prefix = "", .fan = 1};
  for (int at = 1; at + 1 < count; at += 2) {
    const char *name = words[at], *value = words[at + 1];
    if (strcmp(name, "--port") == 0) options->port = atoi(value);
    else if (strcmp(name, "--access-key") == 0) options->access_key = value;
    else if (strcmp(name, "--secret-key") == 0) options->secret_key = value;
    else if (strcmp(name, "--bucket") == 0) options->bucket = value;
    else if (strcmp(name, "--prefix") == 0) options->prefix = value;
    else if (strcmp(name, "--size") == 0) options->size = strtoull(value, NULL, 10);
    else if (strcmp(name, "--connections") == 0) options->connections = atoi(value);
    else if (strcmp(name, "--seconds") == 0) options->seconds = atof(value);
    else if (strcmp(name, "--objects") == 0) options->objects = strtoull(value, NULL, 10);
    else if (strcmp(name, "--seed") == 0) options->seed = strtoull(value, NULL, 10);
    else if (strcmp(name, "--depth") == 0) options->depth = atoi(value);
    else if (strcmp(name, "--fan") == 0) options->fan = strtoull(value, NULL, 10);
    else if (strcmp(name, "--first") == 0) options->first = strtoull(value, NULL, 10);
    else if (strcmp(name, "--leaf") == 0) options->leaf = strtoull(value, NULL, 10);
    else if (strcmp(name, "--op") == 0 && parse_operation(options, value) == 0) continue;
    else {
      fprintf(stderr, "loader: no such option or value: %s %s\n", name, value);
      return -1;
    }
  }
  if (options->port <= 0 || options->access_key == NULL || options->secret_key == NULL || options->bucket == NULL ||
      options->connections < 1 || options->connections > CONNECTIONS_MAX || options->objects < 1 || options->depth < 0 || options->depth > 16 || options->fan < 1) {
    fprintf(stderr, "loader: --port, --access-key, --secret-key and --bucket are required; 1 to %d connections, up to 16 levels\n", CONNECTIONS_MAX);
    return -1;
  }
  time_t now = time(NULL);
  struct tm parts;
  gmtime_r(&now, &parts);
  strftime(options->date, sizeof options->date, "%Y%m%dT%H%M%SZ", &parts);
  strftime(options->day, sizeof options->day, "%Y%m%d", &parts);
  return 0;
}
