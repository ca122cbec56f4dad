#include "observed.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"

static int output = -1;

/* Hashes of what was written; 0: empty. Two of the same would lose one of them, once in 2^64 pairs. */
static uint64_t *known;
static size_t room, count;

static uint64_t hash_of(char what, const char *text) {
  uint64_t hash = (0xcbf29ce484222325u ^ (uint8_t)what) * 0x100000001b3u;
  for (; *text != '\0'; text++) hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
  return hash == 0 ? 1 : hash;
}

static bool put(uint64_t *table, size_t size, uint64_t hash) {
  size_t at = (size_t)hash & (size - 1);
  for (; table[at] != 0; at = (at + 1) & (size - 1))
    if (table[at] == hash) return false;
  table[at] = hash;
  return true;
}

static int grow(void) {
  size_t size = room == 0 ? 1024 : room * 2;
  uint64_t *table = calloc(size, sizeof *table);
  if (table == NULL) return -1;
  for (size_t i = 0; i < room; i++)
    if (known[i] != 0) (void)put(table, size, known[i]);
  free(known);
  known = table;
  room = size;
  return 0;
}

void observed_to(int fd) { output = fd; }

int observed(enum observed what, const char *text) {
  if (count * 2 >= room && grow() != 0) return -1;
  if (!put(known, room, hash_of((char)what, text))) return 0;
  count++;
  size_t len = strlen(text) + 2;
  _cleanup_free_ char *record = malloc(len);
  if (record == NULL) return -1;
  record[0] = (char)what;
  memcpy(record + 1, text, len - 1);
  ssize_t written;
  do written = write(output, record, len);
  while (written < 0 && errno == EINTR);
  return written == (ssize_t)len ? 0 : -1;
}
