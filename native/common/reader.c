#include "reader.h"

#include <string.h>

/* src/plan/ops.ts, HOLES.literal: the only kind of part that has bytes. */
#define PART_LITERAL 0

struct reader reader_of(const void *data, size_t len) {
  return (struct reader){.at = data, .left = len, .bad = false};
}

/* The next `len` bytes, or NULL (and bad from then on). */
static const uint8_t *take(struct reader *r, size_t len) {
  if (r->bad || len > r->left) {
    r->bad = true;
    return NULL;
  }
  const uint8_t *at = r->at;
  r->at += len;
  r->left -= len;
  return at;
}

uint8_t reader_u8(struct reader *r) {
  const uint8_t *at = take(r, 1);
  return at == NULL ? 0 : *at;
}

uint32_t reader_u32(struct reader *r) {
  const uint8_t *at = take(r, 4);
  if (at == NULL) return 0;
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t reader_u64(struct reader *r) {
  /* Whole or not at all: half a number is no number. */
  const uint8_t *at = take(r, 8);
  if (at == NULL) return 0;
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

const char *reader_str(struct reader *r) {
  uint32_t len = reader_u32(r);
  const uint8_t *at = r->bad ? NULL : take(r, (size_t)len + 1);
  if (at == NULL) return "";
  if (at[len] != 0 || memchr(at, 0, len) != NULL) {
    r->bad = true;
    return "";
  }
  return (const char *)at;
}

struct span reader_bytes(struct reader *r) {
  uint32_t len = reader_u32(r);
  const uint8_t *at = r->bad ? NULL : take(r, len);
  if (at == NULL) return (struct span){NULL, 0};
  return (struct span){at, len};
}

/* Walks over the items once, so that whoever reads them later needs no checks. */
static struct list list_of(struct reader *r, void (*skip)(struct reader *)) {
  struct list list = {.count = reader_u32(r)};
  if (r->bad) return (struct list){.count = 0, .items = reader_of(NULL, 0)};
  struct reader start = *r;
  for (uint32_t i = 0; i < list.count && !r->bad; i++) skip(r);
  if (r->bad) return (struct list){.count = 0, .items = reader_of(NULL, 0)};
  list.items = reader_of(start.at, start.left - r->left);
  return list;
}

static void skip_str(struct reader *r) {
  (void)reader_str(r);
}

static void skip_u32(struct reader *r) {
  (void)reader_u32(r);
}

static void skip_part(struct reader *r) {
  if (reader_u8(r) == PART_LITERAL) (void)reader_bytes(r);
}

struct list reader_strs(struct reader *r) {
  return list_of(r, skip_str);
}

struct list reader_u32s(struct reader *r) {
  return list_of(r, skip_u32);
}

struct list reader_tmpl(struct reader *r) {
  return list_of(r, skip_part);
}
