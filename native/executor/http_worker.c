/* The HTTP proxy of a container: Node, confined. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../launcher/confine.h"
#include "../launcher/install.h"
#include "executor.h"
#include "ops.gen.h"
#include "paths.h"

#define FDS_MAX 62
#define READY 'r'

static int config_file(struct executor *ex, struct span config) {
  _cleanup_fd_ int fd = memfd_create("berth-worker", MFD_CLOEXEC);
  if (fd < 0) return fail_sys(&ex->fail, "memfd_create", "worker");
  if (write_whole(fd, config.data, config.len) != 0 || lseek(fd, 0, SEEK_SET) != 0) return fail_sys(&ex->fail, "write", "worker");
  return fd_steal(&fd);
}

/* Its first byte says that it is ready; anything else is why it is not. */
static int await_ready(struct executor *ex, int ready, uint32_t timeout_ms, const char *log) {
  uint64_t until = now_ms() + timeout_ms;
  char said[sizeof ex->fail.detail] = {0};
  size_t len = 0;
  for (;;) {
    struct pollfd poller = {.fd = ready, .events = POLLIN};
    int count = poll(&poller, 1, left_ms(until));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_sys(&ex->fail, "poll", "worker");
    if (count == 0) return fail_msg(&ex->fail, ETIMEDOUT, "worker", "was not ready after %u ms (%s)", timeout_ms, log);
    ssize_t got = read(ready, said + len, sizeof said - 1 - len);
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) len += (size_t)got;
    if (len > 0 && said[0] == READY) return 0;
    if (got <= 0 || len == sizeof said - 1) break;
  }
  said[strcspn(said, "\n")] = '\0';
  return fail_msg(&ex->fail, 0, "worker", "%s", len > 0 ? said : "ended before it was ready");
}

int run_http_worker(struct executor *ex, const struct op_http_worker *op, struct buf *result) {
  (void)result;
  struct install in;
  char why[PATH_MAX + 256], entry[PATH_MAX];
  if (install_at(op->dist, &in, why, sizeof why) < 0) return fail_msg(&ex->fail, errno, "worker", "%s", why);
  if (snprintf(entry, sizeof entry, "%s/%s", op->dist, op->entry) >= (int)sizeof entry || op->fds.count > FDS_MAX)
    return fail_msg(&ex->fail, EINVAL, "worker", "more than %d descriptors, or a path that is too long", FDS_MAX);
  /* Of what is in the plan the child sees nothing. */
  _cleanup_free_ char *scratch = strdup(op->scratch), *log = strdup(op->log);
  if (scratch == NULL || log == NULL) return fail_sys(&ex->fail, "malloc", "worker");
  int pipe_ends[2], fds[2 + FDS_MAX];
  _cleanup_fd_ int config = config_file(ex, op->config);
  if (config < 0) return -1;
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return fail_sys(&ex->fail, "pipe2", "worker");
  _cleanup_fd_ int ready = pipe_ends[0], theirs = pipe_ends[1];
  fds[0] = config;
  fds[1] = theirs;
  struct reader slots = op->fds.items;
  for (uint32_t i = 0; i < op->fds.count; i++)
    if ((fds[2 + i] = slot_fd(ex, reader_u32(&slots))) < 0) return -1;
  const char *const argv[] = {"berth-worker", "--max-semi-space-size=4", entry, NULL};
  struct confined worker = {.who = "worker", .argv = argv, .scratch = scratch, .log = log, .fds = fds, .count = 2 + op->fds.count, .of_container = true};
  if (confine_start(&in, &worker) != 0) return fail_sys(&ex->fail, "fork", "worker");
  fd_close(&theirs);
  return await_ready(ex, ready, op->timeout_ms, op->log);
}
