#include "frame.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define HEAD 5 /* u32 length, u8 type; the length counts the type */

int frame_next(const struct buf *in, struct frame *frame, size_t *size) {
  if (in->len < HEAD) return 0;
  struct reader r = reader_of(in->data, in->len);
  uint32_t length = reader_u32(&r);
  if (length < 1 || length > FRAME_MAX) {
    errno = EPROTO;
    return -1;
  }
  if (in->len - 4 < length) return 0;
  frame->type = reader_u8(&r);
  frame->body = reader_of(in->data + HEAD, length - 1);
  *size = 4 + (size_t)length;
  return 1;
}

size_t frame_begin(struct buf *out, uint8_t type) {
  size_t begin = out->len;
  if (buf_u32(out, 0) < 0 || buf_u8(out, type) < 0) {
    out->len = begin;
    return (size_t)-1;
  }
  return begin;
}

int frame_end(struct buf *out, size_t begin) {
  size_t length = out->len - begin - 4;
  if (length > FRAME_MAX) {
    out->len = begin;
    errno = EMSGSIZE;
    return -1;
  }
  uint32_t n = (uint32_t)length;
  for (int i = 0; i < 4; i++) out->data[begin + (size_t)i] = (uint8_t)(n >> (8 * i));
  return 0;
}

ssize_t frame_fill(int fd, struct buf *in, size_t limit) {
  int there = 0; /* where nobody can tell, a page has to do */
  (void)ioctl(fd, FIONREAD, &there);
  size_t most = there > (int)BUF_FIRST ? (size_t)there : BUF_FIRST;
  if (most > limit) most = limit;
  if (buf_reserve(in, most) < 0) return -1;
  ssize_t n;
  do n = recv(fd, in->data + in->len, most, 0);
  while (n < 0 && errno == EINTR);
  if (n > 0) in->len += (size_t)n;
  return n;
}

#define KEPT (64u << 10) /* a larger buffer is given back once all of it is sent */

int frame_flush(int fd, struct buf *out) {
  while (out->len > 0) {
    ssize_t n = send(fd, out->data, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? 0 : -1;
    }
    buf_drop(out, (size_t)n);
  }
  if (out->cap > KEPT) buf_free(out);
  return 0;
}

int frame_send(int fd, const struct buf *out) {
  for (size_t sent = 0; sent < out->len;) {
    ssize_t n = send(fd, out->data + sent, out->len - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    sent += (size_t)n;
  }
  return 0;
}
