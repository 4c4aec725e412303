#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kind_done = 1, kind_progress = 2, text_size_max = 512 };

static _Thread_local char last_error[text_size_max];

const char *kiseki_last_error(void) { return last_error; }

kiseki_status fail_with(kiseki_status status, const char *text) {
  snprintf(last_error, sizeof last_error, "%s", text);
  return status;
}
kiseki_status succeed(void) {
  last_error[0] = '\0';
  return KISEKI_OK;
}

kiseki_status status_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return KISEKI_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
      return KISEKI_PERMISSION;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
      return KISEKI_INVALID_ARG;
    case ENOTCONN:
    case ECONNREFUSED:
    case EPIPE:
      return KISEKI_NOT_CONNECTED;
    case ETIMEDOUT:
      return KISEKI_TIMED_OUT;
    default:
      return KISEKI_IO_ERROR;
  }
}

static void put(struct fields *fields, uint64_t value, size_t size) {
  for (size_t at = 0; at < size; at++) fields->bytes[fields->size++] = (uint8_t)(value >> (8 * at));
}
void put_u16(struct fields *fields, uint16_t value) { put(fields, value, 2); }
void put_u32(struct fields *fields, uint32_t value) { put(fields, value, 4); }
void put_u64(struct fields *fields, uint64_t value) { put(fields, value, 8); }
void put_bytes(struct fields *fields, const void *bytes, size_t size) {
  memcpy(fields->bytes + fields->size, bytes, size);
  fields->size += size;
}
bool put_path(struct fields *fields, const char *path) {
  size_t size = strlen(path);
  if (size > path_size_max) return false;
  put_u16(fields, (uint16_t)size);
  put_bytes(fields, path, size);
  return true;
}

static uint64_t take(const uint8_t *bytes, size_t size) {
  uint64_t value = 0;
  for (size_t at = 0; at < size; at++) value |= (uint64_t)bytes[at] << (8 * at);
  return value;
}
uint16_t take_u16(const uint8_t *bytes) { return (uint16_t)take(bytes, 2); }
uint32_t take_u32(const uint8_t *bytes) { return (uint32_t)take(bytes, 4); }
uint64_t take_u64(const uint8_t *bytes) { return take(bytes, 8); }

static bool send_all(int socket, struct iovec *parts, size_t count) {
  while (count > 0) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    size_t left = (size_t)sent;
    while (count > 0 && left >= parts->iov_len) {
      left -= parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (uint8_t *)parts->iov_base + left;
      parts->iov_len -= left;
    }
  }
  return true;
}
static bool receive_all(int socket, void *target, size_t size) {
  uint8_t *at = target;
  while (size > 0) {
    ssize_t count = recv(socket, at, size, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    size -= (size_t)count;
  }
  return true;
}
static bool skip(int socket, size_t size) {
  uint8_t dust[1024];
  while (size > 0) {
    size_t piece = size < sizeof dust ? size : sizeof dust;
    if (!receive_all(socket, dust, piece)) return false;
    size -= piece;
  }
  return true;
}

static kiseki_status lost(struct answer *answer) {
  answer->is_broken = true;
  return fail_with(KISEKI_NOT_CONNECTED, "The client process has ended");
}

/* The text of a refusal. */
static kiseki_status refused(int socket, int error, size_t size, struct answer *answer) {
  char text[text_size_max] = "";
  uint8_t length[2];
  if (size < sizeof length || !receive_all(socket, length, sizeof length)) return lost(answer);
  size -= sizeof length;
  size_t taken = size < sizeof text - 1 ? size : sizeof text - 1;
  if (!receive_all(socket, text, taken) || !skip(socket, size - taken)) return lost(answer);
  return fail_with(status_of(error), text);
}

static kiseki_status receive_body(int socket, struct answer *answer, size_t size) {
  size_t head = size < answer->head_size ? size : answer->head_size;
  size_t rest = size - head;
  if (rest > answer->rest_size) {
    answer->is_broken = true;
    return fail_with(KISEKI_IO_ERROR, "An answer is too large");
  }
  if (!receive_all(socket, answer->head, head) || !receive_all(socket, answer->rest, rest)) return lost(answer);
  answer->size = size;
  return succeed();
}

kiseki_status exchange(int socket, uint32_t id, enum verb verb, const struct fields *fields, const void *data,
                       size_t data_size, struct answer *answer) {
  struct fields header = {.size = 0};
  put_u32(&header, (uint32_t)(header_size - 4 + fields->size + data_size));
  put_u32(&header, id);
  put_u16(&header, (uint16_t)verb);
  put_u16(&header, 0);
  struct iovec parts[] = {
      {header.bytes, header.size},
      {(void *)fields->bytes, fields->size},
      {(void *)data, data_size},
  };
  if (!send_all(socket, parts, 3)) return lost(answer);
  for (;;) {
    uint8_t came[header_size];
    if (!receive_all(socket, came, sizeof came)) return lost(answer);
    uint32_t whole = take_u32(came);
    if (whole < header_size - 4 || take_u32(came + 4) != id) return lost(answer);
    size_t size = whole - (header_size - 4);
    uint16_t kind = take_u16(came + 8);
    uint16_t error = take_u16(came + 10);
    if (kind == kind_progress) {
      if (!skip(socket, size)) return lost(answer);
      continue;
    }
    return error != 0 ? refused(socket, error, size, answer) : receive_body(socket, answer, size);
  }
}
