/* Who sees to it that a container does not go on without what enforces its policy (trap 18): a process that watches this process's monitor and,
 * where there are such, helpers of the container's. The monitor watches it in turn, so that the end of any one of them ends the container. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/exit_status.h"
#include "../common/fd.h"
#include "../common/sys.h"
#include "../common/whole.h"
#include "aside.h"
#include "effects.h"
#include "process.h"

#define HELPERS_MAX 8
#define MINE 4 /* descriptors beside theirs */

/* How long processes may take to end before they are killed once more: some may have forked meanwhile. */
#define AGAIN_MS 1000

struct guard {
  int init, monitor; /* pidfds */
  int tell; /* to the monitor: a byte before it kills */
  int go;   /* a byte: it is known by now and may begin; EOF: its maker is gone */
  int helpers[HELPERS_MAX]; /* the end of each is EOF */
  uint32_t count;
  pid_t pid; /* of the init */
  char *exit_file;
  struct buf plan;
};

static bool ended(int pidfd) { return process_ended(pidfd, 0) != 0; }

/* Whether the container has to end; false where it has. */
static bool watch(const struct guard *g) {
  struct pollfd pollers[2 + HELPERS_MAX] = {{.fd = g->init, .events = POLLIN}, {.fd = g->monitor, .events = POLLIN}};
  for (uint32_t i = 0; i < g->count; i++) pollers[2 + i] = (struct pollfd){.fd = g->helpers[i], .events = POLLIN};
  while (poll(pollers, 2 + g->count, -1) < 0)
    if (errno != EINTR) return true;
  return pollers[0].revents == 0;
}

/* The init first, by what this process holds: whatever becomes of the rest, a pid namespace ends with it. */
static void end_container(const struct guard *g) {
  static const struct effects none;
  (void)!write(g->tell, "p", 1); /* the monitor may be why */
  do {
    _cleanup_buf_ struct buf outcome = {0};
    struct executor ex;
    (void)sys_pidfd_send_signal(g->init, SIGKILL);
    executor_init(&ex, &none);
    (void)executor_run(&ex, g->plan.data, g->plan.len, &outcome);
    executor_close(&ex);
  } while (process_ended(g->init, AGAIN_MS) == 0);
}

/* What the monitor would have written. */
static void write_exit(const struct guard *g) {
  int status;
  /* Where nobody can tell it is what was done to it. */
  if (!exit_status_of(g->init, g->pid, &status)) status = SIGKILL;
  if (access(g->exit_file, F_OK) == 0) return;
  (void)exit_write(g->exit_file, g->pid, status, clock_ns(), status == SIGKILL ? ENDED_POLICY : exit_reason(status));
}

static void work(void *what) {
  struct guard *g = what;
  if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || !read_byte(g->go)) return;
  fd_close(&g->go);
  if (!watch(g)) return;
  end_container(g);
  if (ended(g->monitor)) write_exit(g);
}

static int open_watched(struct executor *ex, const struct op_guard *op, struct guard *g) {
  pid_t monitor = ex->effects->monitor;
  if ((g->init = process_open(ex->pid, ex->start_time)) < 0) return fail_sys(&ex->fail, "pidfd_open", "the container's process");
  if (op->helpers.count > HELPERS_MAX) return fail_msg(&ex->fail, EINVAL, "guard", "more than %d helpers", HELPERS_MAX);
  struct reader slots = op->helpers.items;
  for (; g->count < op->helpers.count; g->count++)
    if ((g->helpers[g->count] = slot_fd(ex, reader_u32(&slots))) < 0) return -1;
  /* Our parent, or ourselves: nobody else can have had its number by the time that this is asked. */
  if ((g->monitor = sys_pidfd_open(monitor)) < 0 || (monitor != getpid() && monitor != getppid()))
    return fail_sys(&ex->fail, "pidfd_open", "the monitor");
  if ((g->exit_file = strdup(op->exit_file)) == NULL || buf_append(&g->plan, op->plan.data, op->plan.len) != 0)
    return fail_sys(&ex->fail, "malloc", "guard");
  return 0;
}

/* `told` and `go` are pipes. 0 or -1 (fail set). */
static int start(struct executor *ex, const struct op_guard *op, struct guard *g, int told[2], int go[2]) {
  _cleanup_fd_ int pidfd = -1;
  g->tell = told[1];
  g->go = go[0];
  int *mine[MINE + HELPERS_MAX] = {&g->init, &g->monitor, &g->tell, &g->go};
  for (uint32_t i = 0; i < g->count; i++) mine[MINE + i] = &g->helpers[i];
  const struct aside aside = {.name = "berth-guard", .record = op->record, .mine = mine, .count = MINE + g->count, .work = work, .what = g};
  if (aside_start(ex, &aside, &pidfd) < 0) return -1;
  /* The monitor has its end before the guard can say anything. */
  int done = 0;
  if (ex->effects->guard(ex->effects->home, op->key, fd_steal(&told[0]), op->plan.data, op->plan.len) != 0)
    done = fail_sys(&ex->fail, "", op->key);
  else if (write(go[1], "g", 1) != 1)
    done = fail_sys(&ex->fail, "write", "guard");
  if (done != 0) (void)sys_pidfd_send_signal(pidfd, SIGKILL);
  return done;
}

int run_guard(struct executor *ex, const struct op_guard *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->guard != NULL)) return -1;
  struct guard g = {.init = -1, .monitor = -1, .pid = ex->pid};
  int told[2] = {-1, -1}, go[2] = {-1, -1}, done = open_watched(ex, op, &g);
  if (done == 0 && (pipe2(told, O_CLOEXEC | O_NONBLOCK) != 0 || pipe2(go, O_CLOEXEC) != 0)) done = fail_sys(&ex->fail, "pipe2", "guard");
  if (done == 0) done = start(ex, op, &g, told, go);
  int *const ours[] = {&told[0], &told[1], &go[0], &go[1], &g.init, &g.monitor};
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) fd_close(ours[i]);
  free(g.exit_file);
  buf_free(&g.plan);
  return done;
}
