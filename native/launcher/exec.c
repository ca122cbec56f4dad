#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/frame.h"
#include "../common/peer_messages.h"
#include "../common/rights.h"
#include "../common/sys.h"
#include "../executor/clone.h"
#include "../executor/executor.h"
#include "../executor/paths.h"
#include "direct.h"

enum { CONNECTION = 1, LAUNCHER, ARGUMENTS }; /* what berth-exec is given, by its place */

/* ---- as the launcher ---- */

/* NAME, `first` words, and `rest` up to its end. NULL without memory. */
static char **vector(const char *const *first, size_t n, char *const *rest) {
  size_t more = 0;
  while (rest[more]) more++;
  char **all = calloc(n + more + 1, sizeof *all);
  for (size_t i = 0; all && i < n; i++) all[i] = (char *)(uintptr_t)first[i];
  for (size_t i = 0; all && i < more; i++) all[n + i] = rest[i];
  return all;
}

void exec_borrow(const char *socket, char *const *argv) {
  _cleanup_fd_ int connection = direct_ask(socket, "exec", BUILD_ID), program = -1;
  _cleanup_fd_ int self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
  uint8_t word[64];
  /* A message with a descriptor is never read together with the next one: what comes behind the program is for whom it makes of us. */
  if (connection < 0 || self < 0 || rights_receive(connection, word, sizeof word, &program, 0) <= 0 || program < 0) return;
  /* Whatever else the caller has left open is nothing to the container. */
  if (sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0 || fcntl(connection, F_SETFD, 0) < 0 || fcntl(self, F_SETFD, 0) < 0) return;
  char numbers[2][16];
  (void)snprintf(numbers[0], sizeof numbers[0], "%d", connection);
  (void)snprintf(numbers[1], sizeof numbers[1], "%d", self);
  const char *const first[] = {"berth-exec", numbers[0], numbers[1]};
  char **all = vector(first, ARGUMENTS, argv);
  if (all) (void)sys_execveat(program, "", all, environ, AT_EMPTY_PATH);
  free(all);
}

/* ---- as what has been borrowed ---- */

static struct {
  pid_t pid;
  int pidfd, control;
  bool released;
} made = {0, -1, -1, false};
static int init = -1;

static int take_process(void *home, const char *key, pid_t pid, int pidfd, int control) {
  (void)home, (void)key;
  made.pid = pid;
  made.pidfd = pidfd;
  made.control = control;
  return 0;
}

static int control_of(void *home, const char *key, bool *released) {
  (void)home, (void)key;
  *released = made.released;
  return made.control;
}

static int let_go(void *home, const char *key) {
  (void)home, (void)key;
  fd_close(&made.control);
  made.released = true;
  return 0;
}

static int take_lent(void *home, const char *name) {
  (void)home;
  return strcmp(name, "init") ? -1 : fd_steal(&init);
}

/* Reads what is behind the program: the pidfd, and the plan at the end of `in`. */
static bool hear(int connection, struct buf *in, struct span *plan) {
  for (size_t seen = 0;;) {
    struct buf rest = {.data = in->data + seen, .len = in->len - seen};
    struct frame f;
    size_t size;
    int got = frame_next(&rest, &f, &size);
    if (got < 0) return false;
    if (got == 0) {
      enum { ROOM = 16 << 10 };
      _cleanup_fd_ int fd = -1;
      if (buf_reserve(in, ROOM) < 0) return false;
      ssize_t n = rights_receive(connection, in->data + in->len, ROOM, &fd, 0);
      if (n <= 0) return false;
      in->len += (size_t)n;
      if (fd >= 0) fd_close(&init);
      if (fd >= 0) init = fd_steal(&fd);
      continue;
    }
    seen += size;
    if (f.type == PEER_DESCRIPTOR) continue;
    uint32_t verdict = reader_u32(&f.body);
    *plan = reader_bytes(&f.body);
    return f.type == PEER_ANSWER && !f.body.bad && verdict == PEER_YOURS;
  }
}

/* The arguments are wiped in what is cloned from here (trap 2): a copy of those that are for the process. */
static char **given(char *const *argv) {
  char *const *args = direct_given(argv);
  char **copy = args ? vector(NULL, 0, args) : NULL;
  for (char **arg = copy; arg && *arg; arg++)
    if (!(*arg = strdup(*arg))) return NULL;
  return copy;
}

/* Runs the plan, which ends with the process's execve. */
static bool start(struct executor *ex, int connection, char *const *argv) {
  _cleanup_buf_ struct buf in = {.secret = true}, outcome = {0};
  struct span plan;
  ex->own_children = true;
  ex->given = given(argv);
  return ex->given && hear(connection, &in, &plan) && executor_run(ex, plan.data, plan.len, &outcome) == 0;
}

/* The exit code that a shell would give. */
static int wait_for(struct executor *ex) {
  _cleanup_buf_ struct buf status = {0};
  if (run_await(ex, &(struct op_await){.pid = 0, .forward = 1}, &status) < 0) {
    fprintf(stderr, "berth: exec: the process was started, and can't be waited for: %s\n", strerror(ex->fail.error));
    return 255;
  }
  struct reader r = reader_of(status.data, status.len);
  int wait_status = (int)reader_u32(&r);
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* What is made from here on is no longer born in the container. */
static bool leave(void) {
  _cleanup_fd_ int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  return own >= 0 && setns(own, CLONE_NEWPID) == 0;
}

int exec_main(int argc, char **argv) {
  if (argc <= ARGUMENTS) return 2;
  int connection = atoi(argv[CONNECTION]), launcher = atoi(argv[LAUNCHER]);
  static const struct effects effects = {.process = take_process, .held = control_of, .released = let_go, .take = take_lent};
  struct executor ex;
  executor_init(&ex, &effects);
  clone_arguments(argc, argv);
  /* As of a monitor: what is cloned from here is not for a container to look at. */
  bool ready = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && fcntl(connection, F_SETFD, FD_CLOEXEC) == 0 && fcntl(launcher, F_SETFD, FD_CLOEXEC) == 0;
  for (int fd = 0; fd < 3; fd++) ex.slots[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (ready && start(&ex, connection, argv + ARGUMENTS)) return wait_for(&ex);
  /* Nothing of it runs. Why is TypeScript's to say, which does it all again. */
  static const char *const name[] = {"berth-command"};
  char **again = leave() ? vector(name, 1, argv + ARGUMENTS) : NULL;
  if (again) (void)sys_execveat(launcher, "", again, environ, AT_EMPTY_PATH);
  fprintf(stderr, "berth: exec: %s\n", strerror(errno));
  return 255;
}
