#define _GNU_SOURCE
#include "release.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../executor/executor.h"
#include "ending.h"
#include "held.h"
#include "loop.h"

#define END_MS 1000 /* a process that has told its failure has only to end */

struct release {
  struct source control; /* a descriptor of its own: the process may be forgotten before we are told */
  struct timer told;
  struct buf plan;
  job_done done;
  void *context;
};

static int waits(void *home, const char *key, bool *released) {
  (void)key;
  *released = false;
  return ((struct release *)home)->control.fd;
}

static int released(void *home, const char *key) {
  (void)home;
  ending_started(key);
  return 0;
}

static void release_free(struct release *r) {
  fd_close(&r->control.fd);
  buf_free(&r->plan);
  free(r);
}

static const char *key_of(const struct release *r) { return executor_only_releases(r->plan.data, r->plan.len); }

/* What its filter lets it do may not be to end. */
static void does_not_end(struct timer *t) {
  struct release *r = (struct release *)((char *)t - offsetof(struct release, told));
  (void)held_signal(key_of(r), SIGKILL);
}

/* Once it has closed its end, by execve or by its own end, nothing of the plan waits: what it had to say is there to be read. */
static void control_ready(struct source *s, uint32_t events) {
  struct release *r = (struct release *)((char *)s - offsetof(struct release, control));
  if (!(events & (EPOLLHUP | EPOLLERR))) {
    (void)loop_change(s, 0);
    timer_set(&r->told, END_MS);
    return;
  }
  struct effects effects = {.held = waits, .released = released, .home = r};
  struct executor ex;
  _cleanup_buf_ struct buf outcome = {.secret = true};
  loop_unwatch(s);
  timer_clear(&r->told);
  executor_init(&ex, &effects);
  ex.let_go = key_of(r);
  if (executor_run(&ex, r->plan.data, r->plan.len, &outcome) < 0) outcome_failed(&outcome, "mmap", ENOMEM, "no memory for the outcome");
  executor_close(&ex);
  r->done(r->context, &outcome);
  release_free(r);
}

bool release_start(const uint8_t *plan, size_t len, job_done done, void *context) {
  const char *key = executor_only_releases(plan, len);
  struct held_process *h = key ? held_find(key) : NULL;
  if (!h || h->control < 0 || executor_check(plan, len) != 0) return false;
  struct release *r = calloc(1, sizeof *r);
  if (!r) return false;
  *r = (struct release){.control = {fcntl(h->control, F_DUPFD_CLOEXEC, 3), control_ready}, .told = {.fire = does_not_end},
                        .plan = {.secret = true}, .done = done, .context = context};
  if (r->control.fd >= 0 && buf_append(&r->plan, plan, len) == 0 && loop_watch(&r->control, EPOLLIN) == 0) {
    if (send(r->control.fd, "g", 1, MSG_NOSIGNAL) == 1) return true;
    loop_unwatch(&r->control); /* it has ended: an executor finds out what there is to say */
  }
  release_free(r);
  return false;
}
