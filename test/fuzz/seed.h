/* What the fuzz drivers share: bytes that grow, and seeds from files. */
#ifndef BERTH_FUZZ_SEED_H
#define BERTH_FUZZ_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"

static void put(struct buf *to, const void *data, size_t len) {
  if (buf_append(to, data, len) == 0) return;
  perror("memory");
  exit(1);
}

static int read_seed(const char *path, struct buf *seed) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  uint8_t chunk[4096];
  size_t got;
  while ((got = fread(chunk, 1, sizeof chunk, file)) > 0) put(seed, chunk, got);
  int failed = ferror(file);
  return fclose(file) != 0 || failed ? -1 : 0;
}

#endif
