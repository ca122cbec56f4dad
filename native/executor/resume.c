/* Lets a process that is being prepared go on, and hears what it reports (docs/internals.md). */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/rights.h"
#include "../common/sys.h"
#include "effects.h"
#include "process.h"

#define FAILED 0xff
#define LISTENER_STEP_MS 1
#define END_MS 1000 /* a process that has told its failure has only to end */
#define REPORT_ROOM 4096 /* an error record is cut to fit its fields, so it is smaller */

struct report {
  uint8_t bytes[REPORT_ROOM];
  size_t len; /* 0: EOF */
  int fd;
};

/* 0 or -1 with errno. */
static int receive(int control, struct report *report) {
  ssize_t got = rights_receive(control, report->bytes, sizeof report->bytes, &report->fd, 0);
  if (got < 0 && errno == ECONNRESET) got = 0; /* it went without reading our `g` */
  if (got < 0) return -1;
  report->len = (size_t)got;
  return 0;
}

/* Its error is ours, told with the position of the clone that holds its plan. Its end is its own, whoever kills it next: the socket closes once
 * the kernel has its status. */
static int failed(struct executor *ex, const char *key, int control, const struct report *report) {
  struct pollfd closed = {.fd = control, .events = POLLIN};
  (void)poll(&closed, 1, END_MS);
  struct reader r = reader_of(report->bytes + 1, report->len - 1);
  struct fail inner;
  if (fail_decode(&inner, &r) != 0) return fail_msg(&ex->fail, EPROTO, key, "malformed error of the process");
  return fail_nested(ex, &inner, executor_clone_position(ex, key));
}

static const char *report_name(uint32_t report) {
  return report == REPORT_SYNC ? "sync" : report == REPORT_PARKED ? "parked" : report == REPORT_EXEC ? "exec" : report == REPORT_LISTENER ? "listener" : "unknown";
}

static int judge(struct executor *ex, const struct op_resume *op, int control, struct report *report) {
  const struct effects *effects = ex->effects;
  if (report->len == 0) {
    /* After `parked` the socket closes at execve; a process that is killed before it has an exit, and says so there. */
    if (op->until != REPORT_EXEC) return fail_msg(&ex->fail, ECHILD, op->key, "the process ended before it was ready");
    if (effects->released == NULL || effects->released(effects->home, op->key) == 0) return 0;
    return fail_sys(&ex->fail, "", op->key);
  }
  if (report->bytes[0] == FAILED) return failed(ex, op->key, control, report);
  if (report->bytes[0] != op->until)
    return fail_msg(&ex->fail, EPROTO, op->key, "the process reported %s where %s was due", report_name(report->bytes[0]),
                    report_name(op->until));
  return report->fd < 0 || op->slot == NO_SLOT ? 0 : slot_put(ex, op->slot, fd_steal(&report->fd));
}

/* After the report that its filter comes next, the process says no more that a filter could hold up: its listener is seen in the memory
 * we share, for which there is no event, and fetched. 0: it is in *fd; 1: there is a further report (a failure) instead; -1. */
static int fetch_listener(struct executor *ex, int control, const char *key, int *fd) {
  struct pollfd poller = {.fd = control, .events = POLLIN};
  int number;
  while ((number = ex->cloned->listener) < 0) {
    int ready = poll(&poller, 1, LISTENER_STEP_MS);
    if (ready < 0 && errno != EINTR) return fail_sys(&ex->fail, "poll", key);
    if (ready > 0) return 1;
  }
  _cleanup_fd_ int process = process_open(ex->pid, ex->start_time);
  if (process < 0) return fail_sys(&ex->fail, "pidfd_open", key);
  *fd = sys_pidfd_getfd(process, number);
  return *fd >= 0 ? 0 : fail_sys(&ex->fail, "pidfd_getfd", "seccomp listener");
}

/* What the process reports, with the descriptor that comes with it. */
static int hear(struct executor *ex, const struct op_resume *op, int control, struct report *report) {
  if (receive(control, report) != 0) return fail_sys(&ex->fail, "recvmsg", op->key);
  if (report->len == 0 || report->bytes[0] != REPORT_LISTENER || op->until != REPORT_LISTENER) return 0;
  if (ex->cloned == NULL) return fail_msg(&ex->fail, ESRCH, op->key, "the process was not cloned by this plan");
  int done = fetch_listener(ex, control, op->key, &report->fd);
  if (done <= 0) return done;
  return receive(control, report) == 0 ? 0 : fail_sys(&ex->fail, "recvmsg", op->key);
}

/* Somebody else has let it go: nothing of this one's has changed anything. */
static int runs_already(struct executor *ex, const char *key) { return fail_msg(&ex->fail, EALREADY, key, "the process runs already"); }

/* The control socket of a process that waits, or -1 (fail set). */
static int control_of(struct executor *ex, const char *key) {
  const struct effects *effects = ex->effects;
  if (!can(ex, effects->held != NULL)) return -1;
  bool released = false;
  int control = effects->held(effects->home, key, &released);
  if (control >= 0) return control;
  return released ? runs_already(ex, key) : fail_msg(&ex->fail, ESRCH, key, "no such process is held");
}

/* 1, 0 where it is gone, perhaps with a last word, or -1 (fail set). */
static int let_go(struct executor *ex, const char *key, int control) {
  ssize_t sent;
  do sent = send(control, "g", 1, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno != EPIPE) return fail_sys(&ex->fail, "send", key);
  return sent < 0 ? 0 : 1;
}

int run_go(struct executor *ex, const struct op_go *op, struct buf *result) {
  (void)result;
  int control = control_of(ex, op->key);
  if (control < 0 || let_go(ex, op->key, control) < 0) return -1;
  ex->let_go = op->key;
  return 0;
}

int run_resume(struct executor *ex, const struct op_resume *op, struct buf *result) {
  (void)result;
  const struct effects *effects = ex->effects;
  int control = control_of(ex, op->key);
  if (control < 0) return -1;
  bool goes = ex->let_go != NULL && !strcmp(ex->let_go, op->key);
  ex->let_go = NULL;
  int sent = goes ? 1 : let_go(ex, op->key, control);
  if (sent < 0) return -1;
  bool gone = sent == 0;
  struct report report = {.fd = -1};
  if (hear(ex, op, control, &report) != 0) return -1;
  if (gone && report.len == 0) {
    bool alive = op->until == REPORT_EXEC && effects->signal && effects->signal(effects->home, op->key, 0) == 0;
    return alive ? runs_already(ex, op->key) : fail_msg(&ex->fail, ESRCH, op->key, "the process is gone");
  }
  int done = judge(ex, op, control, &report);
  fd_close(&report.fd);
  return done;
}

int run_held(struct executor *ex, const struct op_held *op, struct buf *result) {
  const struct effects *effects = ex->effects;
  if (!can(ex, effects->held != NULL)) return -1;
  bool released = false;
  int control = effects->held(effects->home, op->key, &released);
  if (buf_u32(result, released ? 2 : control >= 0 ? 1 : 0) != 0) return fail_sys(&ex->fail, "mmap", op->key);
  return 1;
}
