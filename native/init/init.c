#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/reader.h"
#include "../common/rights.h"
#include "identity.h"
#include "ops.gen.h"
#include "process.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

#define GO 'g'
#define REPORT_FAILED 0xff
/* An error record whose strings are all full, and then some. */
#define RECORD_MAX 2048

/* Room for the error report, taken before a seccomp filter could refuse it. */
static struct buf failure;

int init_report(struct executor *ex, uint8_t report, int fd) {
  ssize_t sent = rights_send(ex->control, &report, sizeof report, &fd, fd >= 0, 0);
  return sent == 1 ? 0 : fail_sys(&ex->fail, "sendmsg", "control socket");
}

void init_wait_go(struct executor *ex) {
  for (;;) {
    char byte = 0;
    ssize_t len = read(ex->control, &byte, 1);
    if (len == 1 && byte == GO) return;
    if (len < 0 && errno == EINTR) continue;
    _exit(1);
  }
}

_Noreturn void init_die(struct executor *ex) {
  buf_drop(&failure, failure.len);
  if (buf_u8(&failure, REPORT_FAILED) == 0 && fail_encode(&ex->fail, &failure) == 0) {
    ssize_t sent;
    do sent = write(ex->control, failure.data, failure.len);
    while (sent < 0 && errno == EINTR);
  }
  _exit(1);
}

/* The error of an outcome becomes ours to report. */
static void take_failure(struct executor *ex, const struct buf *outcome) {
  struct reader r = reader_of(outcome->data, outcome->len);
  (void)reader_u8(&r);
  if (fail_decode(&ex->fail, &r) != 0) (void)fail_msg(&ex->fail, EPROTO, "plan", "its outcome cannot be read");
}

_Noreturn void init_main(struct executor *ex, const uint8_t *plan, size_t len) {
  if (buf_reserve(&failure, RECORD_MAX) != 0) _exit(1);
  init_wait_go(ex);
  /* Directories made for mount points are to be 0755 whatever the caller's umask; the plan sets the process's own later. */
  (void)umask(0022);
  if (identity_root(ex) != 0) init_die(ex);
  if (ex->unshare_cgroup && unshare(CLONE_NEWCGROUP) != 0) {
    (void)fail_sys(&ex->fail, "unshare", "cgroup namespace");
    init_die(ex);
  }
  if (process_reserve(len) != 0) {
    (void)fail_sys(&ex->fail, "mmap", "arguments");
    init_die(ex);
  }
  /* Positions in error records count from this plan on: whoever cloned us knows where it stands in theirs. */
  ex->depth = 0;
  struct buf outcome = {.data = NULL};
  int done = executor_run(ex, plan, len, &outcome);
  if (done == 0) _exit(0);
  if (done == 1)
    take_failure(ex, &outcome);
  else
    (void)fail_sys(&ex->fail, "", "memory");
  init_die(ex);
}
