/* Operations on descriptors: between slots, and between this plan and what lasts longer than it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../common/fd.h"
#include "effects.h"
#include "paths.h"

#define READ_STEP_MS 5u

int run_close(struct executor *ex, const struct op_close *op, struct buf *result) {
  (void)result;
  return slot_put(ex, op->slot, -1); /* an empty one is closed already */
}

int run_pipe(struct executor *ex, const struct op_pipe *op, struct buf *result) {
  (void)result;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_sys(&ex->fail, "pipe2", "");
  if (slot_put(ex, op->reader, ends[0]) == 0) return slot_put(ex, op->writer, ends[1]);
  fd_close(&ends[1]);
  return -1;
}

/* A descriptor for who lasts; the slot keeps its own. */
static int slot_copy(struct executor *ex, uint32_t slot) {
  int fd = slot_fd(ex, slot), copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return fd >= 0 && copy < 0 ? fail_sys(&ex->fail, "fcntl", "a descriptor") : copy;
}

int run_keep(struct executor *ex, const struct op_keep *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->keep != NULL)) return -1;
  int fd = slot_copy(ex, op->slot);
  if (fd < 0) return -1;
  return ex->effects->keep(ex->effects->home, op->name, fd) == 0 ? 0 : fail_sys(&ex->fail, "", op->name);
}

int run_use(struct executor *ex, const struct op_use *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->lookup != NULL)) return -1;
  int held = ex->effects->lookup(ex->effects->home, op->name);
  if (held < 0) return fail_msg(&ex->fail, ENOENT, op->name, "nothing is kept under this name");
  int fd = fcntl(held, F_DUPFD_CLOEXEC, 3);
  return fd < 0 ? fail_sys(&ex->fail, "fcntl", op->name) : slot_put(ex, op->slot, fd);
}

int run_drop(struct executor *ex, const struct op_drop *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->drop != NULL)) return -1;
  return ex->effects->drop(ex->effects->home, op->name) == 0 ? 0 : fail_sys(&ex->fail, "", op->name);
}

int run_linger(struct executor *ex, const struct op_linger *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->linger != NULL)) return -1;
  if (ex->effects->linger(ex->effects->home, op->name, op->quiet_ms, op->limit_ms) == 0) return 0;
  return fail_sys(&ex->fail, "", op->name);
}

int run_unread(struct executor *ex, const struct op_unread *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->unread != NULL)) return -1;
  if (ex->effects->unread(ex->effects->home, op->name, op->quiet_ms, op->limit_ms) == 0) return 0;
  return fail_sys(&ex->fail, "", op->name);
}

int run_meter(struct executor *ex, const struct op_meter *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->meter != NULL)) return -1;
  return ex->effects->meter(ex->effects->home, op->name, op->key, op->bytes) == 0 ? 0 : fail_sys(&ex->fail, "", op->name);
}

int run_pump(struct executor *ex, const struct op_pump *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->pump != NULL)) return -1;
  int from = slot_copy(ex, op->from), to = from < 0 ? -1 : slot_copy(ex, op->to);
  if (to < 0) {
    fd_close(&from);
    return -1;
  }
  return ex->effects->pump(ex->effects->home, op->name, from, to) == 0 ? 0 : fail_sys(&ex->fail, "", op->name);
}

int run_drain(struct executor *ex, const struct op_drain *op, struct buf *result) {
  if (!can(ex, ex->effects->drain != NULL)) return -1;
  int drained = ex->effects->drain(ex->effects->home, op->name, op->timeout_ms);
  if (drained < 0 || buf_u32(result, (uint32_t)drained) != 0) return fail_sys(&ex->fail, "", op->name);
  return 1;
}

int run_keep_pipe(struct executor *ex, const struct op_keep_pipe *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->keep != NULL)) return -1;
  char path[FD_PATH_SIZE];
  int end = slot_fd(ex, op->slot);
  if (end < 0) return -1;
  int fd = open(fd_path(&path, end), O_PATH | O_CLOEXEC);
  if (fd < 0) return fail_sys(&ex->fail, "open", op->name);
  return ex->effects->keep(ex->effects->home, op->name, fd) == 0 ? 0 : fail_sys(&ex->fail, "", op->name);
}

/* How much is in the pipe for its readers; 0 where none is left. -1 with errno. */
static int unread(int pipe) {
  char path[FD_PATH_SIZE];
  int bytes = 0;
  /* As a writer, for a moment: that says whether somebody reads. */
  _cleanup_fd_ int fd = open(fd_path(&path, pipe), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ENXIO ? 0 : -1;
  return ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : -1;
}

int run_wait_read(struct executor *ex, const struct op_wait_read *op, struct buf *result) {
  if (!can(ex, ex->effects->lookup != NULL)) return -1;
  int pipe = ex->effects->lookup(ex->effects->home, op->name), left = 0;
  uint64_t until = now_ms() + op->timeout_ms;
  /* The kernel has no event for a pipe that becomes empty. */
  while (pipe >= 0 && (left = unread(pipe)) > 0 && now_ms() < until) pause_ms(READ_STEP_MS);
  if (left < 0) return fail_sys(&ex->fail, "open", op->name);
  return buf_u32(result, left == 0) == 0 ? 1 : fail_sys(&ex->fail, "mmap", op->name);
}

int run_chown_slot(struct executor *ex, const struct op_chown_slot *op, struct buf *result) {
  (void)result;
  int fd = slot_fd(ex, op->slot);
  if (fd < 0) return -1;
  return fchown(fd, op->uid, op->gid) == 0 ? 0 : fail_sys(&ex->fail, "fchown", "a descriptor");
}

int run_give(struct executor *ex, const struct op_give *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->give != NULL)) return -1;
  int fd = slot_fd(ex, op->slot);
  if (fd < 0) return -1;
  /* Given away, not shared: a terminal hangs up when its launcher's end closes. */
  ex->slots[op->slot] = -1;
  return ex->effects->give(ex->effects->home, op->name, fd) == 0 ? 0 : fail_sys(&ex->fail, "", op->name);
}

int run_take(struct executor *ex, const struct op_take *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->take != NULL)) return -1;
  int fd = ex->effects->take(ex->effects->home, op->name);
  if (fd < 0) return fail_msg(&ex->fail, ENOENT, op->name, "nothing was given under this name");
  return slot_put(ex, op->slot, fd);
}

int run_stay(struct executor *ex, const struct op_stay *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->stay != NULL)) return -1;
  if (ex->effects->stay(ex->effects->home, op->socket, op->exit_file, op->key) == 0) return 0;
  return fail_sys(&ex->fail, "", op->socket);
}

int run_winsize(struct executor *ex, const struct op_winsize *op, struct buf *result) {
  (void)result;
  int fd = slot_fd(ex, op->slot);
  if (fd < 0) return -1;
  struct winsize size = {.ws_row = (unsigned short)op->rows, .ws_col = (unsigned short)op->cols};
  return ioctl(fd, TIOCSWINSZ, &size) == 0 ? 0 : fail_sys(&ex->fail, "ioctl", "TIOCSWINSZ");
}
