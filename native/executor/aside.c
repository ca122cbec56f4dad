#define _GNU_SOURCE
#include "aside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/arrange.h"
#include "../common/fd.h"
#include "../common/sys.h"
#include "../common/whole.h"
#include "clone.h"
#include "process.h"

/* Those that there are, and `last` behind them. 0 or -1. */
static int keep_only(const struct aside *a, int *last) {
  int from[ASIDE_FDS + 1], next = 3;
  size_t count = 0;
  for (size_t i = 0; i < a->count; i++) {
    if (*a->mine[i] < 0) continue;
    from[count++] = *a->mine[i];
    *a->mine[i] = next++;
  }
  from[count++] = *last;
  *last = next;
  return arrange_fds(3, from, count, 0);
}

static bool settle(const struct aside *a, int *report) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  signals_reset();
  if (null < 0 || setsid() < 0 || prctl(PR_SET_DUMPABLE, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  for (int i = 0; i < 3; i++)
    if (dup2(null, i) < 0) return false;
  clone_named(a->name);
  return chdir("/") == 0 && keep_only(a, report) == 0;
}

static _Noreturn void live(struct executor *ex, const struct aside *a, int report) {
  if (ex->unwanted_len > 0) (void)munmap(ex->unwanted, ex->unwanted_len);
  /* Known by then, or whoever was to see to that is gone. */
  if (!settle(a, &report) || write(report, "r", 1) != 1 || !read_byte(report)) _exit(1);
  fd_close(&report);
  a->work(a->what);
  _exit(0);
}

/* Once it has left everything of ours it is noted down who it is, and it begins. 0 or -1 (fail set). */
static int release(struct executor *ex, const struct aside *a, pid_t pid, int child) {
  if (!read_byte(child)) return fail_msg(&ex->fail, ECHILD, a->name, "ended before it had begun");
  if (process_record(pid, a->record) != 0) return fail_sys(&ex->fail, "write", a->record);
  return send(child, "g", 1, MSG_NOSIGNAL) == 1 ? 0 : fail_sys(&ex->fail, "send", a->name);
}

pid_t aside_start(struct executor *ex, const struct aside *a, int *pidfd) {
  int ends[2];
  if (a->count > ASIDE_FDS) return fail_msg(&ex->fail, EINVAL, a->name, "more than %d descriptors", ASIDE_FDS);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_sys(&ex->fail, "socketpair", a->name);
  _cleanup_fd_ int child = ends[0], report = ends[1];
  struct clone_args args = {.flags = CLONE_PARENT | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd};
  pid_t pid = sys_clone3(&args);
  if (pid == 0) live(ex, a, report);
  if (pid < 0) return fail_sys(&ex->fail, "clone3", a->name);
  fd_close(&report);
  if (release(ex, a, pid, child) == 0) return pid;
  (void)sys_pidfd_send_signal(*pidfd, SIGKILL);
  return -1;
}
