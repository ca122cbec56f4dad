/* Operations on a process that is known by its pid: kill, wait-exit. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/proc_stat.h"
#include "../common/replace.h"
#include "../common/sys.h"
#include "paths.h"
#include "process.h"

#ifndef PIDFD_SIGNAL_PROCESS_GROUP /* Linux 6.9 */
#define PIDFD_SIGNAL_PROCESS_GROUP 4
#endif

int process_start_time(pid_t pid, uint64_t *start) {
  struct proc_stat stat;
  if (proc_stat_read(pid, &stat) != 0) return -1;
  *start = stat.start;
  return 0;
}

int process_record(pid_t pid, const char *record) {
  char text[64];
  uint64_t start;
  if (process_start_time(pid, &start) != 0) return -1;
  int len = snprintf(text, sizeof text, "%d %llu\n", (int)pid, (unsigned long long)start);
  return file_replace(record, text, (size_t)len);
}

int process_open(pid_t pid, uint64_t start) {
  if (pid <= 0) { /* 0 and less would be groups */
    errno = ESRCH;
    return -1;
  }
  _cleanup_fd_ int pidfd = sys_pidfd_open(pid);
  if (pidfd < 0) {
    if (errno == EINVAL) errno = ESRCH; /* a thread's id: its process is gone */
    return -1;
  }
  /* In this order: while the pidfd's process is not reaped, the pid is its own. */
  uint64_t started;
  if (start != 0) {
    if (process_start_time(pid, &started) != 0) return -1;
    if (started != start) {
      errno = ESRCH;
      return -1;
    }
  }
  return fd_steal(&pidfd);
}

int process_ended(int pidfd, int timeout_ms) {
  struct pollfd poller = {.fd = pidfd, .events = POLLIN};
  uint64_t until = now_ms() + (timeout_ms > 0 ? (uint64_t)timeout_ms : 0);
  for (;;) {
    int ready = poll(&poller, 1, timeout_ms);
    if (ready >= 0) return ready;
    if (errno != EINTR) return -1;
    if (timeout_ms > 0) timeout_ms = left_ms(until);
  }
}

static const char *pid_subject(char (*text)[24], uint32_t pid) {
  (void)snprintf(*text, sizeof *text, "process %u", pid);
  return *text;
}

/* Before Linux 6.9 a group can only be named by its number: ours to use as long as its leader, whose pidfd we hold, is unreaped. */
static int signal_group(int pidfd, pid_t pid, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, PIDFD_SIGNAL_PROCESS_GROUP) == 0) return 0;
  return errno == EINVAL && signal >= 0 && signal <= SIGRTMAX ? kill(-pid, signal) : -1;
}

int run_kill(struct executor *ex, const struct op_kill *op, struct buf *result) {
  (void)result;
  char subject[24];
  _cleanup_fd_ int pidfd = process_open((pid_t)op->pid, op->start);
  int done = -1;
  if (pidfd >= 0 && (op->flags & KILL_GROUP) != 0)
    done = signal_group(pidfd, (pid_t)op->pid, (int)op->signal);
  else if (pidfd >= 0)
    done = sys_pidfd_send_signal(pidfd, (int)op->signal);
  if (done == 0 || (errno == ESRCH && (op->flags & KILL_MISSING_OK) != 0)) return 0;
  return fail_sys(&ex->fail, pidfd < 0 ? "pidfd_open" : "pidfd_send_signal", pid_subject(&subject, op->pid));
}

int run_pidfd(struct executor *ex, const struct op_pidfd *op, struct buf *result) {
  (void)result;
  char subject[24];
  int pidfd = process_open((pid_t)op->pid, op->start);
  return pidfd < 0 ? fail_sys(&ex->fail, "pidfd_open", pid_subject(&subject, op->pid)) : slot_put(ex, op->slot, pidfd);
}

int run_wait_exit(struct executor *ex, const struct op_wait_exit *op, struct buf *result) {
  (void)result;
  char subject[24];
  (void)pid_subject(&subject, op->pid);
  _cleanup_fd_ int pidfd = process_open((pid_t)op->pid, op->start);
  if (pidfd < 0) return errno == ESRCH ? 0 : fail_sys(&ex->fail, "pidfd_open", subject);
  int ended = process_ended(pidfd, op->timeout_ms > INT_MAX ? INT_MAX : (int)op->timeout_ms);
  if (ended < 0) return fail_sys(&ex->fail, "poll", subject);
  return ended > 0 ? 0 : fail_msg(&ex->fail, ETIMEDOUT, subject, "it has not ended after %u ms", op->timeout_ms);
}

void signals_reset(void) {
  struct sigaction normal = {.sa_handler = SIG_DFL};
  for (int signal = 1; signal <= SIGRTMAX; signal++)
    (void)sigaction(signal, &normal, NULL); /* KILL, STOP and those of the C library refuse, as they may */
  sigset_t none;
  (void)sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, NULL);
}
