/* Runs a program to its end, and tells why it failed by the last line that it wrote. */
#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/arrange.h"
#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"
#include "process.h"

#define KEPT 4096u /* of an output: its last line is all that is told */

/* The end of what was written to an output. */
struct output {
  int fd; /* -1 at EOF */
  size_t len;
  char kept[KEPT];
};

/* Reads once. */
static void output_read(struct output *out) {
  char fresh[KEPT];
  ssize_t got = read(out->fd, fresh, sizeof fresh);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    fd_close(&out->fd);
    return;
  }
  size_t len = (size_t)got;
  if (out->len + len > KEPT) {
    size_t keep = KEPT - len < out->len ? KEPT - len : out->len;
    memmove(out->kept, out->kept + out->len - keep, keep);
    out->len = keep;
  }
  memcpy(out->kept + out->len, fresh, len);
  out->len += len;
}

/* What is there already; a grandchild that keeps the pipe open is not waited for. */
static void output_drain(struct output *out) {
  struct pollfd poller = {.fd = out->fd, .events = POLLIN};
  for (int rounds = 0; rounds < 64 && poller.fd >= 0 && poll(&poller, 1, 0) > 0; rounds++) {
    output_read(out);
    poller.fd = out->fd;
  }
}

/* The last line that is not empty, NUL-terminated in place; "" where there is none. Control characters become blanks. */
static const char *output_last_line(struct output *out) {
  size_t end = out->len;
  while (end > 0 && (unsigned char)out->kept[end - 1] <= ' ') end--;
  size_t start = end;
  while (start > 0 && out->kept[start - 1] != '\n') start--;
  if (end == KEPT) {
    start += start < end;
    memmove(out->kept, out->kept + start, end -= start);
    start = 0;
  }
  out->kept[end] = '\0';
  for (size_t i = start; i < end; i++)
    if ((unsigned char)out->kept[i] < ' ' || out->kept[i] == 0x7f) out->kept[i] = ' ';
  return out->kept + start;
}

struct child {
  const struct program *program;
  int input, output, error, report; /* its ends; `report` takes a struct trouble */
};

/* Why there is no program. */
struct trouble {
  int error;
  enum { IN_EXECVE, IN_CGROUP, IN_MOUNTS } where;
};

static _Noreturn void give_up(int report, int where) {
  struct trouble trouble = {.error = errno, .where = where};
  if (write(report, &trouble, sizeof trouble) != (ssize_t)sizeof trouble) _exit(127);
  _exit(127);
}

static _Noreturn void run_child(const struct child *child) {
  const struct program *program = child->program;
  for (size_t i = 0; i < program->n_cgroups; i++)
    if (write(program->cgroups[i], "0", 1) != 1) give_up(child->report, IN_CGROUP);
  if (program->own_mounts && (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) != 0))
    give_up(child->report, IN_MOUNTS);
  /* Its descriptors, the report behind them, and nothing else. */
  int from[4 + PROGRAM_FDS] = {child->input, child->output, child->error};
  for (size_t i = 0; i < program->n_fds; i++) from[3 + i] = program->fds[i];
  size_t report = 3 + program->n_fds;
  from[report] = child->report;
  if (arrange_fds(0, from, report + 1, report) != 0) _exit(127);
  signals_reset();
  /* A bundle may be gone by the time that its container is. */
  if (program->cwd != NULL && chdir(program->cwd) != 0 && chdir("/") != 0) _exit(127);
  (void)execve(program->path, program->argv, program->envp);
  give_up((int)report, IN_EXECVE);
}

/* Reads what the program writes until it has ended. 1, 0 when time ran out (it is killed then), -1. */
static int attend(int pidfd, struct output *out, struct output *err, uint32_t timeout_ms) {
  uint64_t until = now_ms() + timeout_ms;
  for (;;) {
    int left = timeout_ms == 0 ? -1 : left_ms(until);
    struct pollfd pollers[3] = {
        {.fd = pidfd, .events = POLLIN}, {.fd = out->fd, .events = POLLIN}, {.fd = err->fd, .events = POLLIN}};
    int ready = poll(pollers, 3, left);
    if (ready < 0 && errno != EINTR) return -1;
    if (ready == 0) return sys_pidfd_send_signal(pidfd, SIGKILL) == 0 || errno == ESRCH ? 0 : -1;
    if (ready < 0) continue;
    if (pollers[1].revents != 0) output_read(out);
    if (pollers[2].revents != 0) output_read(err);
    if (pollers[0].revents != 0) return 1;
  }
}

static int reap(pid_t pid, int *status) {
  pid_t got;
  do got = waitpid(pid, status, 0);
  while (got < 0 && errno == EINTR);
  return got < 0 ? -1 : 0;
}

/* Judges how it ended. */
static int judge(struct executor *ex, const struct program *program, int status, bool in_time, const char *line) {
  const char *colon = line[0] == '\0' ? "" : ": ";
  if (!in_time && program->timeout_ms % 1000 == 0)
    return fail_msg(&ex->fail, ETIMEDOUT, program->path, "timed out after %u s%s%s", program->timeout_ms / 1000, colon, line);
  if (!in_time) return fail_msg(&ex->fail, ETIMEDOUT, program->path, "timed out after %u ms%s%s", program->timeout_ms, colon, line);
  if (WIFSIGNALED(status)) return fail_msg(&ex->fail, 0, program->path, "killed by signal %d%s%s", WTERMSIG(status), colon, line);
  if (WEXITSTATUS(status) == 0) return 0;
  return fail_msg(&ex->fail, 0, program->path, "exit status %d%s%s", WEXITSTATUS(status), colon, line);
}

static int run_process(struct executor *ex, struct child *child, struct output *out, struct output *err, int report) {
  const struct program *program = child->program;
  pid_t pid = fork();
  if (pid < 0) return fail_sys(&ex->fail, "fork", program->path);
  if (pid == 0) run_child(child);
  fd_close(&child->output);
  fd_close(&child->error);
  fd_close(&child->report);
  _cleanup_fd_ int pidfd = sys_pidfd_open(pid);
  int in_time = pidfd < 0 ? -1 : attend(pidfd, out, err, program->timeout_ms), error = errno, status;
  if (in_time < 0) (void)kill(pid, SIGKILL);
  if (reap(pid, &status) != 0) return fail_sys(&ex->fail, "waitpid", program->path);
  if (in_time < 0) {
    errno = error;
    return fail_sys(&ex->fail, "poll", program->path);
  }
  struct trouble trouble;
  if (read(report, &trouble, sizeof trouble) == (ssize_t)sizeof trouble) {
    errno = trouble.error;
    if (trouble.where == IN_CGROUP) return fail_sys(&ex->fail, "write", "cgroup.procs");
    return fail_sys(&ex->fail, trouble.where == IN_MOUNTS ? "unshare" : "execve", program->path);
  }
  output_drain(out);
  output_drain(err);
  const char *line = output_last_line(err);
  if (line[0] == '\0') line = output_last_line(out);
  return judge(ex, program, status, in_time > 0, line);
}

int program_run(struct executor *ex, const struct program *program, int input) {
  int pipes[3][2];
  for (int i = 0; i < 3; i++) {
    if (pipe2(pipes[i], O_CLOEXEC) == 0) continue;
    (void)fail_sys(&ex->fail, "pipe2", program->path);
    while (i-- > 0) {
      fd_close(&pipes[i][0]);
      fd_close(&pipes[i][1]);
    }
    return -1;
  }
  struct output out = {.fd = pipes[0][0]}, err = {.fd = pipes[1][0]};
  struct child child = {.program = program, .input = input, .output = pipes[0][1], .error = pipes[1][1], .report = pipes[2][1]};
  int done = run_process(ex, &child, &out, &err, pipes[2][0]);
  int left[] = {out.fd, err.fd, pipes[2][0], child.output, child.error, child.report};
  for (size_t i = 0; i < sizeof left / sizeof *left; i++) fd_close(&left[i]);
  return done;
}
