#define _GNU_SOURCE
#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/reader.h"
#include "../executor/executor.h"
#include "ending.h"
#include "exits.h"
#include "held.h"
#include "loop.h"
#include "oom_watch.h"
#include "pumps.h"
#include "report.h"
#include "unread.h"

#define REPORTS_TURN 8

struct job {
  struct job *next;
  struct source source;
  struct timer drain_timer;
  char *draining; /* the name whose pumps this job's executor waits for */
  job_done done;
  void *context;
  struct buf outcome;
  bool finished;
};

static struct job *jobs;
static void (*on_end)(void);

bool jobs_running(void) { return jobs != NULL; }
void jobs_on_end(void (*ended)(void)) { on_end = ended; }

void outcome_failed(struct buf *outcome, const char *syscall, int error, const char *detail) {
  /* status, no index, no operation; memory that is short leaves an empty outcome, which reads as a failure too */
  outcome->len = 0;
  if (buf_u8(outcome, 1) < 0 || buf_u32(outcome, 0) < 0 || buf_str(outcome, "") < 0 || buf_str(outcome, syscall) < 0 ||
      buf_str(outcome, "") < 0 || buf_u32(outcome, (uint32_t)error) < 0 || buf_str(outcome, detail) < 0 || buf_u32(outcome, 0) < 0)
    outcome->len = 0;
}

static void job_end(struct job *j) {
  for (struct job **p = &jobs; *p; p = &(*p)->next) {
    if (*p != j) continue;
    *p = j->next;
    break;
  }
  loop_unwatch(&j->source);
  close(j->source.fd);
  timer_clear(&j->drain_timer);
  if (!j->finished) outcome_failed(&j->outcome, "", 0, "the process that ran the plan ended before it was done");
  j->done(j->context, &j->outcome);
  if (on_end) on_end();
  buf_free(&j->outcome);
  free(j->draining);
  free(j);
}

static void answer_drain(struct job *j, uint8_t drained) {
  timer_clear(&j->drain_timer);
  free(j->draining);
  j->draining = NULL;
  /* Where it fails the executor is gone, and its end of the socket says so. */
  (void)send(j->source.fd, &drained, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void drain_timed_out(struct timer *t) { answer_drain((struct job *)((char *)t - offsetof(struct job, drain_timer)), 0); }

static void pump_idle(void) {
  for (struct job *j = jobs; j; j = j->next)
    if (j->draining && !pump_busy(j->draining)) answer_drain(j, 1);
  unread_recheck();
}

static void start_drain(struct job *j, const char *name, uint32_t ms) {
  free(j->draining);
  j->draining = strdup(name);
  if (!j->draining || !pump_busy(name)) answer_drain(j, 1);
  else timer_set(&j->drain_timer, ms);
}

void job_drop(const char *name) {
  pump_drop(name);
  held_drop(name);
  oom_drop(name);
  ending_forget(name);
  unread_drop(name);
  pump_idle();
}

/* Applies one report. False where it makes no sense: the executor is then not believed any further. */
static bool apply(struct job *j, const uint8_t *data, size_t len, int *fds, size_t n_fds) {
  struct reader r = reader_of(data, len);
  uint8_t type = reader_u8(&r);
  if (type == REPORT_CHUNK || type == REPORT_DONE) {
    if (buf_append(&j->outcome, data + 1, len - 1) != 0) return false;
    j->finished = type == REPORT_DONE;
    return true;
  }
  const char *name = reader_str(&r);
  bool times = type == REPORT_LINGER || type == REPORT_UNREAD;
  uint32_t number = times || type == REPORT_PROCESS || type == REPORT_DRAIN ? reader_u32(&r) : 0;
  uint32_t limit = times ? reader_u32(&r) : 0;
  static const uint8_t wanted[] = {[REPORT_KEEP] = 1, [REPORT_PUMP] = 2, [REPORT_PROCESS] = 2, [REPORT_DRAIN] = 0};
  if (r.bad || (type < sizeof wanted && wanted[type] != n_fds)) return false;
  switch (type) {
    case REPORT_KEEP: return held_keep(name, fd_steal(&fds[0])) == 0;
    case REPORT_DROP: job_drop(name); return true;
    case REPORT_PUMP: return pump_start(name, fd_steal(&fds[0]), fd_steal(&fds[1])) == 0;
    case REPORT_LINGER: pump_linger(name, number, limit); return true;
    case REPORT_UNREAD: return unread_watch(name, number, limit) == 0;
    case REPORT_PROCESS: {
      int pidfd = fd_steal(&fds[0]), control = fd_steal(&fds[1]);
      return held_add(name, (pid_t)number, pidfd, control) != NULL;
    }
    case REPORT_RELEASED: ending_started(name); return true;
    case REPORT_OOM: {
      if (n_fds != 1 && n_fds != 2) return false;
      struct oom_files files = {.event = n_fds == 2 ? fd_steal(&fds[0]) : -1, .counter = fd_steal(&fds[n_fds - 1])};
      (void)oom_watch(name, &files); /* a cgroup that has gone by now: as its end later */
      return true;
    }
    case REPORT_DEADLINE: {
      uint64_t ms = reader_u64(&r);
      return !r.bad && n_fds == 0 && ending_deadline(name, ms, r.at, r.left) == 0;
    }
    case REPORT_METER: {
      const char *key = reader_str(&r);
      uint64_t bytes = reader_u64(&r);
      return !r.bad && n_fds == 0 && pump_meter(name, key, bytes) == 0;
    }
    case REPORT_GUARD: return n_fds == 1 && ending_guard(name, fd_steal(&fds[0]), r.at, r.left) == 0;
    case REPORT_DRAIN: start_drain(j, name, number); return true;
    default: return false;
  }
}

/* Takes one report. False where there is none now, or the job has ended. */
static bool take_report(struct job *j) {
  uint8_t data[REPORT_SIZE];
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(REPORT_FDS * sizeof(int))];
  } control;
  struct iovec iov = {.iov_base = data, .iov_len = sizeof data};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(j->source.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    job_end(j);
    return false;
  }
  int fds[REPORT_FDS] = {-1, -1};
  size_t n_fds = 0;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
    n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), n_fds * sizeof(int));
  }
  bool ok = !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && apply(j, data, (size_t)n, fds, n_fds);
  for (size_t i = 0; i < REPORT_FDS; i++) fd_close(&fds[i]);
  if (ok && !j->finished) return true;
  job_end(j);
  return false;
}

/* Few at a time: others have their turn, and most plans have no more to say. */
static void job_ready(struct source *s, uint32_t events) {
  (void)events;
  struct job *j = (struct job *)((char *)s - offsetof(struct job, source));
  for (int turn = 0; turn < REPORTS_TURN && take_report(j); turn++) continue;
}

/* In the child: never returns. */
static void run_child(pid_t monitor, int sock, struct buf *plan, struct process_id about) {
  sigset_t none;
  sigemptyset(&none);
  /* A plan without its monitor has nobody to report to: what it began is undone from the plan on disk (trap 10). */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != monitor || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
      held_close_others(sock) < 0)
    _exit(1);
  struct effects effects = report_effects(&sock, monitor);
  struct executor ex;
  executor_init(&ex, &effects);
  ex.pid = about.pid;
  ex.start_time = about.start_time;
  ex.unwanted = plan->data;
  ex.unwanted_len = plan->cap;
  struct buf outcome = {0};
  int ran = executor_run(&ex, plan->data, plan->len, &outcome);
  if (ran < 0) outcome_failed(&outcome, "mmap", ENOMEM, "no memory for the outcome");
  _exit(report_outcome(sock, &outcome) < 0 ? 1 : 0);
}

int job_start(const uint8_t *plan, size_t len, job_done done, void *context) {
  return job_start_about((struct process_id){0, 0}, plan, len, done, context);
}

int job_start_about(struct process_id about, const uint8_t *plan, size_t len, job_done done, void *context) {
  int pair[2];
  /* The caller's copy is hidden from children, as all plans but this child's own must be (trap 2). */
  _cleanup_buf_ struct buf copy = {0};
  if (buf_append(&copy, plan, len) < 0) return -1;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -1;
  struct job *j = calloc(1, sizeof *j);
  pid_t monitor = getpid(), pid = -1;
  if (j) {
    *j = (struct job){.source = {pair[0], job_ready}, .drain_timer = {.fire = drain_timed_out}, .done = done, .context = context};
    j->outcome.secret = true;
    if (loop_watch(&j->source, EPOLLIN) == 0) pid = fork();
  }
  if (pid == 0) {
    close(pair[0]);
    run_child(monitor, pair[1], &copy, about);
  }
  int error = errno;
  close(pair[1]);
  if (pid < 0) {
    if (j) loop_unwatch(&j->source);
    close(pair[0]);
    free(j);
    errno = error;
    return -1;
  }
  exits_ignore(pid);
  pump_on_idle(pump_idle);
  j->next = jobs;
  jobs = j;
  return 0;
}
