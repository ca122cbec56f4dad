/* A decoder that trusts nothing: once something does not fit it is `bad`, and everything after reads as zero or empty. */
#ifndef BERTH_READER_H
#define BERTH_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
  const uint8_t *at;
  size_t left;
  bool bad;
};
struct span {
  const uint8_t *data;
  size_t len;
};
/* A list not yet decoded: its items lie in `items`, already checked by reader_strs/reader_u32s. */
struct list {
  uint32_t count;
  struct reader items;
};

struct reader reader_of(const void *data, size_t len);
uint8_t reader_u8(struct reader *);
uint32_t reader_u32(struct reader *);
uint64_t reader_u64(struct reader *);
const char *reader_str(struct reader *); /* points into the input, NUL-terminated; "" when bad */
struct span reader_bytes(struct reader *);
struct list reader_strs(struct reader *);
struct list reader_u32s(struct reader *);
struct list reader_tmpl(struct reader *);

#endif
