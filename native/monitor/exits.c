#define _GNU_SOURCE
#include "exits.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/exit_status.h"
#include "../common/fd.h"
#include "ending.h"
#include "held.h"
#include "jobs.h"
#include "loop.h"

/* Exits of processes that no executor has reported yet. */
struct stray {
  struct stray *next;
  pid_t pid;
  int status;
  uint64_t time;
};

struct ignored {
  struct ignored *next;
  pid_t pid;
};

static struct stray *strays;
static struct ignored *ignored;
static exit_seen on_seen;
static struct source signals;

void exits_ignore(pid_t pid) {
  struct ignored *i = calloc(1, sizeof *i);
  if (!i) return; /* it is then a stray for a while, which is harmless */
  *i = (struct ignored){ignored, pid};
  ignored = i;
}

static bool take_ignored(pid_t pid) {
  for (struct ignored **p = &ignored; *p; p = &(*p)->next) {
    if ((*p)->pid != pid) continue;
    struct ignored *i = *p;
    *p = i->next;
    free(i);
    return true;
  }
  return false;
}

static void tell(struct held_process *h, int status, uint64_t time) {
  on_seen(h->key, h->pid, status, time);
  held_forget(h);
}

static int wait_status_of(const siginfo_t *i) {
  if (i->si_code == CLD_EXITED) return (i->si_status & 0xff) << 8;
  return i->si_status | (i->si_code == CLD_DUMPED ? 0x80 : 0);
}

static void reap_all(struct source *s, uint32_t events) {
  (void)events;
  struct signalfd_siginfo drop;
  while (read(s->fd, &drop, sizeof drop) > 0) {}
  for (;;) {
    siginfo_t i = {0};
    if (waitid(P_ALL, 0, &i, WEXITED | WNOHANG) < 0 || i.si_pid == 0) return;
    int status = wait_status_of(&i);
    struct held_process *h = held_find_pid(i.si_pid);
    if (h) {
      tell(h, status, clock_ns());
    } else if (!take_ignored(i.si_pid) && jobs_running()) { /* else an orphan of a container: nobody asks */
      struct stray *new = calloc(1, sizeof *new);
      if (!new) continue;
      *new = (struct stray){strays, i.si_pid, status, clock_ns()};
      strays = new;
    }
  }
}

void exits_recheck(void) {
  for (struct stray **p = &strays; *p;) {
    struct stray *s = *p;
    struct held_process *h = held_find_pid(s->pid);
    struct pollfd ended = {.fd = h ? h->pidfd : -1, .events = POLLIN};
    if (h && poll(&ended, 1, 0) == 0) h = NULL; /* alive: that was another process of the same number */
    if (!h && jobs_running()) {
      p = &s->next;
      continue;
    }
    *p = s->next;
    if (h) tell(h, s->status, s->time);
    free(s);
  }
}

static void reap_ignored(struct source *s, uint32_t events) {
  (void)events;
  struct signalfd_siginfo drop;
  while (read(s->fd, &drop, sizeof drop) > 0) {}
  for (struct ignored **p = &ignored; *p;) {
    struct ignored *i = *p;
    if (waitpid(i->pid, NULL, WNOHANG) == 0) {
      p = &i->next;
      continue;
    }
    *p = i->next;
    free(i);
  }
}

static int on_child(void (*ready)(struct source *, uint32_t)) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
  signals = (struct source){signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), ready};
  return signals.fd < 0 ? -1 : loop_watch(&signals, EPOLLIN);
}

int exits_reap(exit_seen seen) {
  on_seen = seen;
  return on_child(reap_all);
}

int exits_reap_ignored(void) { return on_child(reap_ignored); }

struct watch {
  struct source source;
  pid_t pid;
};

static void watched_ready(struct source *s, uint32_t events) {
  struct watch *w = (struct watch *)((char *)s - offsetof(struct watch, source));
  struct held_process *h = held_find_pid(w->pid);
  int status;
  /* A pidfd is readable from the moment its process is a zombie; once it has been reaped it hangs up (Linux 6.9) and takes no signal. Its
   * parent may do that between two of our calls, so both places are asked, and whether it is over before them. */
  bool reaped = (events & EPOLLHUP) != 0 || (h && exit_reaped(h->pidfd));
  bool known = h && exit_status_of(h->pidfd, w->pid, &status);
  if (h && !known && !reaped) return; /* reaped in between: we are called again at once */
  loop_unwatch(s);
  close(s->fd);
  free(w);
  /* Older kernels can't tell what somebody else reaped: it is what was done to it, or 255, as containerd writes an unknown status. */
  if (h) tell(h, known ? status : ending_forced(h->key) ? SIGKILL : 255 << 8, clock_ns());
}

int exits_watch(struct held_process *h, exit_seen seen) {
  on_seen = seen;
  struct watch *w = calloc(1, sizeof *w);
  if (!w) return -1;
  /* A descriptor of its own: the process may be forgotten while it is watched. */
  *w = (struct watch){.source = {fcntl(h->pidfd, F_DUPFD_CLOEXEC, 3), watched_ready}, .pid = h->pid};
  if (w->source.fd < 0 || loop_watch(&w->source, EPOLLIN) < 0) {
    fd_close(&w->source.fd);
    free(w);
    return -1;
  }
  return 0;
}
