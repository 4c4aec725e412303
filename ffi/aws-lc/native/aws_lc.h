/* Numbers that the TypeScript side repeats in symbols.ts. */
#ifndef KISEKI_AWS_LC_H
#define KISEKI_AWS_LC_H

#include <assert.h>
#include <stdint.h>

#define KISEKI_AWS_LC_ABI 1
#define KISEKI_SHA256_STATE_SIZE 128

#endif
