#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "reader.h"

#define CUT "\xe2\x80\xa6" /* … */

void fail_copy(char *to, size_t size, const char *from) {
  size_t len = strlen(from);
  if (len < size) {
    memmove(to, from, len + 1);
    return;
  }
  len = size - sizeof CUT;
  while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80) len--; /* not in the middle of a character */
  memmove(to, from, len);
  memcpy(to + len, CUT, sizeof CUT);
}

int fail_sys(struct fail *f, const char *syscall, const char *subject) {
  f->error = errno;
  fail_copy(f->syscall, sizeof f->syscall, syscall);
  fail_copy(f->subject, sizeof f->subject, subject);
  f->detail[0] = '\0';
  return -1;
}

int fail_msg(struct fail *f, int error, const char *subject, const char *format, ...) {
  f->error = error;
  f->syscall[0] = '\0';
  fail_copy(f->subject, sizeof f->subject, subject);
  va_list args;
  va_start(args, format);
  int len = vsnprintf(f->detail, sizeof f->detail, format, args);
  va_end(args);
  if (len < 0) f->detail[0] = '\0';
  return -1;
}

int fail_encode(const struct fail *f, struct buf *out) {
  if (buf_u32(out, f->depth) != 0) return -1;
  for (uint32_t i = 0; i < f->depth; i++)
    if (buf_u32(out, f->index[i]) != 0) return -1;
  if (buf_str(out, f->op) != 0 || buf_str(out, f->syscall) != 0 || buf_str(out, f->subject) != 0) return -1;
  return buf_u32(out, (uint32_t)f->error) != 0 ? -1 : buf_str(out, f->detail);
}

int fail_decode(struct fail *f, struct reader *r) {
  struct fail got = {.depth = 0};
  struct list index = reader_u32s(r);
  for (uint32_t i = 0; i < index.count; i++) {
    uint32_t position = reader_u32(&index.items);
    if (got.depth < FAIL_DEPTH) got.index[got.depth++] = position;
  }
  fail_copy(got.op, sizeof got.op, reader_str(r));
  fail_copy(got.syscall, sizeof got.syscall, reader_str(r));
  fail_copy(got.subject, sizeof got.subject, reader_str(r));
  got.error = (int)reader_u32(r);
  fail_copy(got.detail, sizeof got.detail, reader_str(r));
  if (r->bad) return -1;
  *f = got;
  return 0;
}
