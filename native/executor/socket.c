/* FIFOs and UNIX sockets of whoever asked for the container. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/fd.h"
#include "../common/rights.h"
#include "paths.h"

#define READER_STEP_MS 2u
/* What the FIFO of an output holds: with the 64 KiB that the kernel gives it, writer and reader wake each other sixteen times as often. */
#define OUTPUT_SIZE (1 << 20)

int run_open_fifo(struct executor *ex, const struct op_open_fifo *op, struct buf *result) {
  (void)result;
  uint64_t until = now_ms() + op->timeout_ms;
  int opened;
  /* Not blocking, as the open would for ever where no reader comes; the kernel has no event for a reader that does. */
  while ((opened = open(op->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)) < 0) {
    if (errno != ENXIO) return fail_sys(&ex->fail, "open", op->path);
    if (now_ms() >= until) return fail_msg(&ex->fail, ETIMEDOUT, op->path, "nobody reads it after %u ms", op->timeout_ms);
    pause_ms(READER_STEP_MS);
  }
  _cleanup_fd_ int fd = opened;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) return fail_sys(&ex->fail, "fcntl", op->path);
  (void)fcntl(fd, F_SETPIPE_SZ, OUTPUT_SIZE); /* who may not, or no longer, has it as it is */
  return slot_put(ex, op->slot, fd_steal(&fd));
}

int run_connect(struct executor *ex, const struct op_connect *op, struct buf *result) {
  (void)result;
  struct sockaddr_un address;
  _cleanup_fd_ int dir = -1;
  if (unix_address(op->path, &address, &dir) != 0) return fail_sys(&ex->fail, "connect", op->path);
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_sys(&ex->fail, "socket", op->path);
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) return fail_sys(&ex->fail, "connect", op->path);
  return slot_put(ex, op->slot, fd_steal(&fd));
}

int run_send_fd(struct executor *ex, const struct op_send_fd *op, struct buf *result) {
  (void)result;
  int to = slot_fd(ex, op->to), fd = to < 0 ? -1 : slot_fd(ex, op->fd);
  if (fd < 0) return -1;
  _cleanup_buf_ struct buf bytes = {.data = NULL};
  if (template_render(ex, op->data, &bytes) != 0) return -1;
  /* A stream carries a descriptor only with a byte. */
  if (bytes.len == 0 && buf_u8(&bytes, '\0') != 0) return fail_sys(&ex->fail, "mmap", "a descriptor");
  ssize_t sent = rights_send(to, bytes.data, bytes.len, &fd, 1, 0);
  if (sent < 0) return fail_sys(&ex->fail, "sendmsg", "a descriptor");
  /* The rest of what was too much for one message. */
  for (size_t done = (size_t)sent; done < bytes.len; done += (size_t)sent) {
    do sent = send(to, bytes.data + done, bytes.len - done, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) return fail_sys(&ex->fail, "send", "a descriptor");
  }
  return 0;
}
