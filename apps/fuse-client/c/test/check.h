#ifndef KISEKI_CHECK_H
#define KISEKI_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(claim)                                                                       \
  do {                                                                                     \
    if (!(claim)) {                                                                        \
      fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #claim, kiseki_last_error()); \
      exit(1);                                                                             \
    }                                                                                      \
  } while (0)

#endif
