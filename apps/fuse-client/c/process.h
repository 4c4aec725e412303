/* The client process behind a client of the library. */
#ifndef KISEKI_PROCESS_H
#define KISEKI_PROCESS_H

#include <sys/types.h>

#include "wire.h"

struct process {
  /* 0: none that this client started. */
  pid_t pid;
  /* Its standard input: it ends when this is closed. */
  int input;
  char folder[64];
  char socket_path[80];
  uint8_t token[token_size];
};

/* Starts it and waits until it serves. */
kiseki_status start_process(struct process *process, const char *seed);
/* Waits until it has stored what was written and wiped its cache. */
void end_process(struct process *process);
/* The connected socket, or -1. */
int connect_to(const char *socket_path);

#endif
