/* Claims of the programs in native-test/. */
#ifndef KISEKI_NATIVE_CHECK_H
#define KISEKI_NATIVE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the claim that does not hold. */
#define CHECK(claim) \
  do { \
    if (!(claim)) { \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
      exit(1); \
    } \
  } while (0)

#endif
