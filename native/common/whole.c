#define _GNU_SOURCE
#include "whole.h"

#include <errno.h>
#include <unistd.h>

/* At once: /proc/sys takes as much memory as is asked for, and refuses to at 4 MiB; and of a number it gives what fits, and no rest. */
#define MOST 16384u
#define LEAST 2048u

int read_whole(int fd, size_t max, struct buf *out) {
  size_t from = out->len;
  for (;;) {
    /* Most are short, and end in the first page of the buffer. */
    if (buf_room(out) < LEAST && buf_reserve(out, LEAST) != 0) return -1;
    size_t room = buf_room(out);
    ssize_t got = read(fd, out->data + out->len, room < MOST ? room : MOST);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) return 0;
    out->len += (size_t)got;
    if (out->len - from > max) {
      errno = EFBIG;
      return -1;
    }
  }
}

int write_whole(int fd, const void *data, size_t len) {
  const uint8_t *at = data;
  /* Once even for nothing: files of the kernel's may act on it. */
  do {
    ssize_t put = write(fd, at, len);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return -1;
    at += put;
    len -= (size_t)put;
  } while (len > 0);
  return 0;
}

bool read_byte(int fd) {
  char byte;
  ssize_t got;
  do got = read(fd, &byte, 1);
  while (got < 0 && errno == EINTR);
  return got == 1;
}
