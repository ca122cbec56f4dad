/* What the fuzz drivers share: bytes that grow, seeds from files, known answers and chance. */
#ifndef BERTH_FUZZ_SEED_H
#define BERTH_FUZZ_SEED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"

static void put(struct buf *to, const void *data, size_t len) {
  if (buf_append(to, data, len) == 0) return;
  perror("memory");
  exit(1);
}

static inline int read_seed(const char *path, struct buf *seed) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  uint8_t chunk[4096];
  size_t got;
  while ((got = fread(chunk, 1, sizeof chunk, file)) > 0) put(seed, chunk, got);
  int failed = ferror(file);
  return fclose(file) != 0 || failed ? -1 : 0;
}

/* Set once an answer was not the expected one. */
static int wrong;

static inline void expect(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "wrong: %s\n", what);
  wrong = 1;
}

/* xorshift64: the same rounds every time. */
static inline uint32_t next_random(uint32_t below) {
  static uint64_t state = 0x9e3779b97f4a7c15u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 32) % below;
}

#endif
