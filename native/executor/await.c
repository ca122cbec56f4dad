/* The launcher's last steps: it stands for the container's process before whoever called it. */
#define _GNU_SOURCE
#include "await.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "notify.h"
#include "paths.h"
#include "process.h"

/* Signals that mean this process, or that tell of something it did, are not passed on. */
static const int own_signals[] = {SIGCHLD, SIGURG, SIGPIPE, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

/* Whether they wait already, and the mask that was there before. */
static bool held;
static sigset_t unheld;

static int block(sigset_t *passed, sigset_t *before) {
  (void)sigfillset(passed);
  for (size_t i = 0; i < sizeof own_signals / sizeof *own_signals; i++) (void)sigdelset(passed, own_signals[i]);
  return sigprocmask(SIG_BLOCK, passed, before);
}

int run_hold_signals(struct executor *ex, const struct op_hold_signals *op, struct buf *result) {
  (void)op;
  (void)result;
  sigset_t passed;
  if (held) return 0;
  if (block(&passed, &unheld) != 0) return fail_sys(&ex->fail, "sigprocmask", "");
  held = true;
  return 0;
}

int signals_open(sigset_t *before) {
  sigset_t passed;
  if (block(&passed, before) != 0) return -1;
  if (held) *before = unheld;
  held = false;
  int fd = signalfd(-1, &passed, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) (void)sigprocmask(SIG_SETMASK, before, NULL);
  return fd;
}

int signals_next(int signals) {
  struct signalfd_siginfo info;
  ssize_t got = read(signals, &info, sizeof info);
  return got == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void signals_pass(int signals, int pidfd) {
  int signal;
  while ((signal = signals_next(signals)) != 0) (void)sys_pidfd_send_signal(pidfd, signal); /* gone: it needs none */
}

int reap_result(struct executor *ex, pid_t pid, struct buf *result) {
  int status;
  pid_t got;
  do got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR);
  char subject[24];
  (void)snprintf(subject, sizeof subject, "process %d", (int)pid);
  if (got < 0) return fail_sys(&ex->fail, "waitpid", subject);
  return buf_u32(result, (uint32_t)status) == 0 ? 1 : fail_sys(&ex->fail, "mmap", subject);
}

static int pass_until_ended(struct executor *ex, int pidfd, int signals) {
  struct pollfd pollers[3] = {{.fd = pidfd, .events = POLLIN}, {.fd = signals, .events = POLLIN}, {.events = POLLIN}};
  for (;;) {
    pollers[2].fd = ex->notify;
    if (poll(pollers, 3, -1) < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (pollers[1].revents != 0) signals_pass(signals, pidfd);
    if (pollers[2].revents != 0) notify_pass(ex);
    if (pollers[0].revents != 0) return 0;
  }
}

int run_await(struct executor *ex, const struct op_await *op, struct buf *result) {
  pid_t pid = op->pid == 0 ? ex->pid : (pid_t)op->pid;
  if (pid <= 0) return fail_msg(&ex->fail, EINVAL, "", "no process is named");
  if (op->forward == 0) return reap_result(ex, pid, result);
  _cleanup_fd_ int pidfd = sys_pidfd_open(pid);
  if (pidfd < 0) return fail_sys(&ex->fail, "pidfd_open", "the process to wait for");
  sigset_t before;
  _cleanup_fd_ int signals = signals_open(&before);
  if (signals < 0) return fail_sys(&ex->fail, "signalfd", "");
  int done = pass_until_ended(ex, pidfd, signals) == 0 ? reap_result(ex, pid, result) : fail_sys(&ex->fail, "poll", "");
  (void)sigprocmask(SIG_SETMASK, &before, NULL);
  return done;
}

int run_print(struct executor *ex, const struct op_print *op, struct buf *result) {
  (void)result;
  if (op->fd != 1 && op->fd != 2) return fail_msg(&ex->fail, EBADF, "", "descriptor %u is not an output", op->fd);
  if (op->data.len == 0 || write_whole((int)op->fd, op->data.data, op->data.len) == 0) return 0;
  return fail_sys(&ex->fail, "write", op->fd == 1 ? "standard output" : "standard error");
}
