#define _GNU_SOURCE
#include "buf.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define BUF_FIRST 4096u

static void to_front(struct buf *b) {
  if (b->lead == 0) return;
  memmove(b->data - b->lead, b->data, b->len);
  b->data -= b->lead;
  b->lead = 0;
}

int buf_reserve(struct buf *b, size_t more) {
  if (more > SIZE_MAX / 2 - b->len) {
    errno = ENOMEM;
    return -1;
  }
  size_t want = b->len + more;
  if (want <= b->cap - b->lead) return 0;
  to_front(b);
  if (want <= b->cap) return 0;
  size_t cap = b->cap == 0 ? BUF_FIRST : b->cap;
  while (cap < want) cap *= 2;
  void *data = b->cap == 0 ? mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                           : mremap(b->data, b->cap, cap, MREMAP_MAYMOVE);
  if (data == MAP_FAILED) return -1;
  b->data = data;
  b->cap = cap;
  /* mremap keeps the advice, but the advice is also wanted where `secret` was set after the first byte. */
  if (b->secret && madvise(data, cap, MADV_DONTFORK) != 0) return -1;
  return 0;
}

int buf_append(struct buf *b, const void *data, size_t len) {
  if (len == 0) return 0;
  if (buf_reserve(b, len) != 0) return -1;
  memcpy(b->data + b->len, data, len);
  b->len += len;
  return 0;
}

int buf_u8(struct buf *b, uint8_t value) {
  return buf_append(b, &value, 1);
}

int buf_u32(struct buf *b, uint32_t value) {
  uint8_t bytes[4];
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
  return buf_append(b, bytes, sizeof bytes);
}

int buf_u64(struct buf *b, uint64_t value) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> (8 * i));
  return buf_append(b, bytes, sizeof bytes);
}

int buf_str(struct buf *b, const char *str) {
  size_t len = strlen(str);
  if (len > UINT32_MAX) {
    errno = EOVERFLOW;
    return -1;
  }
  return buf_u32(b, (uint32_t)len) != 0 ? -1 : buf_append(b, str, len + 1);
}

int buf_bytes(struct buf *b, const void *data, size_t len) {
  if (len > UINT32_MAX) {
    errno = EOVERFLOW;
    return -1;
  }
  return buf_u32(b, (uint32_t)len) != 0 ? -1 : buf_append(b, data, len);
}

void buf_drop(struct buf *b, size_t from_front) {
  if (from_front > b->len) from_front = b->len;
  if (from_front == 0) return;
  b->data += from_front;
  b->lead += from_front;
  b->len -= from_front;
  /* Each byte is moved once at most for each that was dropped, however small the pieces are. */
  if (b->lead >= b->len) to_front(b);
}

void buf_free(struct buf *b) {
  if (b->cap != 0) (void)munmap(b->data - b->lead, b->cap);
  *b = (struct buf){.secret = b->secret};
}
