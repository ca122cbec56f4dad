/* Bytes in anonymous mappings of their own: given back whole, but for a few short ones, and absent from forked children where asked (traps 2, 15). */
#ifndef BERTH_BUF_H
#define BERTH_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUF_FIRST 4096u /* the least that is mapped: a page, which is often at hand */

struct buf {
  uint8_t *data; /* NULL when empty */
  size_t len, cap;
  size_t lead;   /* bytes of the mapping before `data`: dropped, and not yet worth moving the rest */
  bool secret;   /* MADV_DONTFORK: a child does not see it. Said before the first byte */
};

/* All return 0, or -1 with errno (ENOMEM). */
int buf_reserve(struct buf *, size_t more);
size_t buf_room(const struct buf *);                    /* bytes behind the last that are there already */
int buf_append(struct buf *, const void *data, size_t len);
int buf_u8(struct buf *, uint8_t);
int buf_u32(struct buf *, uint32_t);
int buf_u64(struct buf *, uint64_t);
int buf_str(struct buf *, const char *);                /* u32 length, bytes, NUL */
int buf_bytes(struct buf *, const void *data, size_t len); /* u32 length, data */
void buf_drop(struct buf *, size_t from_front);         /* forgets bytes at the front */
void buf_free(struct buf *);                            /* unmaps; the struct can be used again */

#endif
