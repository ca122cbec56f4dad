/* The operation freeze: the freezer of a cgroup, v1 and v2. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "paths.h"

/* 0 or -1 with errno. */
static int write_at(int dir, const char *name, const char *text) {
  _cleanup_fd_ int fd = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  return fd < 0 ? -1 : write_whole(fd, text, strlen(text));
}

/* v1 looks at each process only when the file is written or read: one that forked meanwhile takes another write. 1 done, 0 time
 * ran out, -1. */
static int freeze_v1(int dir, bool frozen, uint64_t until) {
  const char *wanted = frozen ? "FROZEN" : "THAWED";
  for (;;) {
    _cleanup_fd_ int state = openat(dir, "freezer.state", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (state < 0 || write_whole(state, wanted, strlen(wanted)) != 0) return -1;
    char text[32];
    ssize_t len = pread(state, text, sizeof text - 1, 0);
    if (len < 0) return -1;
    text[len] = '\0';
    if (strncmp(text, wanted, strlen(wanted)) == 0) return 1;
    if (left_ms(until) == 0) return 0;
    pause_ms(1); /* no event tells it */
  }
}

/* v2 tells it by an event. */
static int freeze_v2(int dir, bool frozen, uint64_t until) {
  _cleanup_fd_ int events = openat(dir, "cgroup.events", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (events < 0 || write_at(dir, "cgroup.freeze", frozen ? "1" : "0") != 0) return -1;
  for (;;) {
    char text[256];
    ssize_t len = pread(events, text, sizeof text - 1, 0);
    if (len < 0) return -1;
    text[len] = '\0';
    if (strstr(text, frozen ? "frozen 1" : "frozen 0") != NULL) return 1;
    int left = left_ms(until);
    if (left == 0) return 0;
    struct pollfd poller = {.fd = events, .events = POLLPRI};
    if (poll(&poller, 1, left) < 0 && errno != EINTR) return -1;
  }
}

int run_freeze(struct executor *ex, const struct op_freeze *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", op->path);
  bool v1 = faccessat(dir, "freezer.state", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  uint64_t until = now_ms() + op->timeout_ms;
  int done = (v1 ? freeze_v1 : freeze_v2)(dir, op->frozen != 0, until);
  if (done < 0) return fail_sys(&ex->fail, "write", op->path);
  if (done > 0) return 0;
  if (op->frozen != 0 && write_at(dir, v1 ? "freezer.state" : "cgroup.freeze", v1 ? "THAWED" : "0") != 0)
    return fail_sys(&ex->fail, "write", op->path);
  return fail_msg(&ex->fail, ETIMEDOUT, op->path, "its processes are not %s after %u ms", op->frozen ? "frozen" : "thawed", op->timeout_ms);
}
