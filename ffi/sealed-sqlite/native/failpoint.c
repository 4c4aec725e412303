/* KISEKI_FAILPOINT=name:count kills the process at the count-th passing of a named point. Read once. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sealed-sqlite.h"

static char wanted[64];
static _Atomic long remaining;

__attribute__((constructor)) static void read_environment(void) {
  const char *text = getenv("KISEKI_FAILPOINT");
  if (!text || strlen(text) >= sizeof wanted) return;
  strcpy(wanted, text);
  char *colon = strchr(wanted, ':');
  long count = colon ? strtol(colon + 1, NULL, 10) : 1;
  if (colon) *colon = 0;
  atomic_store(&remaining, count > 0 ? count : 1);
}

void failpoint(const char *name) {
  if (!wanted[0] || strcmp(wanted, name) != 0) return;
  if (atomic_fetch_sub(&remaining, 1) == 1) kill(getpid(), SIGKILL);
}
