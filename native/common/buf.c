#define _GNU_SOURCE
#include "buf.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Mappings of BUF_FIRST bytes that were given back, for who wants one next: most buffers stay that short, and to map one, touch and unmap it
 * takes the kernel some microseconds, a hundred times in a container's life. The secret ones are apart, and a child has none of its parent's. */
#define SPARES_MAX 4u
static struct {
  void *at[SPARES_MAX];
  size_t count;
} spares[2];
/* Zero in a child (Linux 4.14): what is secret is not mapped there. NULL: nobody can tell, and none is kept. */
static bool *ours;

static void *take_spare(bool secret) {
  if (spares[secret].count == 0 || (secret && !*ours)) return NULL;
  return spares[secret].at[--spares[secret].count];
}

static bool tell_children_apart(void) {
  if (!ours) {
    void *page = mmap(NULL, BUF_FIRST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return false;
    if (madvise(page, BUF_FIRST, MADV_WIPEONFORK) == 0) ours = page;
    else (void)munmap(page, BUF_FIRST);
  }
  if (!ours) return false;
  if (!*ours) spares[true].count = 0;
  *ours = true;
  return true;
}

/* False where there are enough. */
static bool put_spare(bool secret, void *at) {
  if ((secret && !tell_children_apart()) || spares[secret].count == SPARES_MAX) return false;
  explicit_bzero(at, BUF_FIRST);
  spares[secret].at[spares[secret].count++] = at;
  return true;
}

/* Like mmap. */
static void *map(size_t size, bool secret) {
  void *at = size == BUF_FIRST ? take_spare(secret) : NULL;
  if (at) return at;
  at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED || !secret || madvise(at, size, MADV_DONTFORK) == 0) return at;
  (void)munmap(at, size);
  return MAP_FAILED;
}

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
  /* mremap keeps the advice not to fork it. */
  void *data = b->cap == 0 ? map(cap, b->secret) : mremap(b->data, b->cap, cap, MREMAP_MAYMOVE);
  if (data == MAP_FAILED) return -1;
  b->data = data;
  b->cap = cap;
  return 0;
}

size_t buf_room(const struct buf *b) { return b->cap - b->lead - b->len; }

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
  if (b->cap != 0 && (b->cap != BUF_FIRST || !put_spare(b->secret, b->data - b->lead))) (void)munmap(b->data - b->lead, b->cap);
  *b = (struct buf){.secret = b->secret};
}
