#define _GNU_SOURCE
#include "ending.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/exit_status.h"
#include "../common/fd.h"
#include "held.h"
#include "jobs.h"
#include "loop.h"
#include "oom_watch.h"

struct ending {
  struct ending *next;
  char *key;
  const char *reason; /* NULL: none yet */
  struct timer deadline;
  uint64_t ms;
  struct buf over; /* the plan of that */
  struct source guard;
  struct buf unguarded; /* the plan where the guard can't run it */
  const struct buf *due; /* which of them is being tried again */
  struct timer again;
};

static struct ending *endings;

/* How soon a plan that could not be run, for want of memory or of processes, is tried again. */
#define AGAIN_MS 100

static struct ending *find(const char *key) {
  for (struct ending *e = endings; e; e = e->next)
    if (!strcmp(e->key, key)) return e;
  return NULL;
}

static void killed(void *context, const struct buf *outcome) {
  (void)context;
  (void)outcome; /* what it could not kill had ended */
}

static void end(struct ending *e, const char *reason, const struct buf *plan) {
  if (!e->reason) e->reason = reason;
  /* Its init first, by what this process holds: whatever becomes of the rest, a pid namespace ends with it. */
  (void)held_signal(e->key, SIGKILL);
  if (job_start(plan->data, plan->len, killed, NULL) == 0) return;
  e->due = plan;
  timer_set(&e->again, AGAIN_MS);
}

static void try_again(struct timer *t) {
  struct ending *e = (struct ending *)((char *)t - offsetof(struct ending, again));
  end(e, e->reason, e->due);
}

static void is_over(struct timer *t) {
  struct ending *e = (struct ending *)((char *)t - offsetof(struct ending, deadline));
  end(e, ENDED_TIMEOUT, &e->over);
}

static bool has_ended(const char *key) {
  const struct held_process *h = held_find(key);
  struct pollfd init = {.fd = h ? h->pidfd : -1, .events = POLLIN};
  return !h || poll(&init, 1, 0) > 0;
}

/* What the guard has said. False once it has ended. */
static bool hear_guard(struct ending *e) {
  char byte;
  ssize_t got;
  while ((got = read(e->guard.fd, &byte, 1)) > 0)
    if (!e->reason) e->reason = ENDED_POLICY;
  return got < 0 && (errno == EAGAIN || errno == EINTR);
}

static void let_go_of_guard(struct ending *e) {
  loop_unwatch(&e->guard);
  fd_close(&e->guard.fd);
}

/* A guard that ends before its container was killed, and nobody would watch this process any more. */
static void guard_ready(struct source *s, uint32_t events) {
  (void)events;
  struct ending *e = (struct ending *)((char *)s - offsetof(struct ending, guard));
  if (hear_guard(e)) return;
  let_go_of_guard(e);
  if (!has_ended(e->key)) end(e, ENDED_POLICY, &e->unguarded);
}

static struct ending *find_or_add(const char *key) {
  struct ending *e = find(key);
  if (e) return e;
  e = calloc(1, sizeof *e);
  char *copy = strdup(key);
  if (!e || !copy) {
    free(e);
    free(copy);
    return NULL;
  }
  *e = (struct ending){.next = endings, .key = copy, .deadline = {.fire = is_over}, .guard = {-1, guard_ready}, .again = {.fire = try_again}};
  endings = e;
  return e;
}

bool ending_forced(const char *key) {
  struct ending *e = find(key);
  if (e && e->guard.fd >= 0) (void)hear_guard(e); /* it spoke before it killed */
  return e && e->reason;
}

const char *ending_reason(const char *key, int wait_status) {
  if (!WIFSIGNALED(wait_status)) return exit_reason(wait_status);
  if (ending_forced(key)) return find(key)->reason;
  return WTERMSIG(wait_status) == SIGKILL && oom_killed(key) ? ENDED_OOM : exit_reason(wait_status);
}

int ending_deadline(const char *key, uint64_t ms, const uint8_t *plan, size_t len) {
  struct ending *e = find_or_add(key);
  if (!e) return -1;
  timer_clear(&e->deadline);
  buf_free(&e->over);
  e->ms = ms;
  return buf_append(&e->over, plan, len);
}

int ending_guard(const char *key, int told, const uint8_t *plan, size_t len) {
  _cleanup_fd_ int owned = told;
  struct ending *e = find_or_add(key);
  if (!e) return -1;
  let_go_of_guard(e);
  buf_free(&e->unguarded);
  if (buf_append(&e->unguarded, plan, len) < 0) return -1;
  e->guard.fd = fd_steal(&owned);
  return loop_watch(&e->guard, EPOLLIN);
}

void ending_now(const char *key, const char *reason) {
  struct ending *e = find(key);
  if (e && !e->reason && e->unguarded.len && !has_ended(key)) end(e, reason, &e->unguarded);
}

void ending_started(const char *key) {
  struct held_process *h = held_find(key);
  if (h) held_release(h);
  struct ending *e = find(key);
  if (e && e->over.len && !e->deadline.due) timer_set(&e->deadline, e->ms);
}

void ending_forget(const char *key) {
  for (struct ending **p = &endings; *p;) {
    struct ending *e = *p;
    if (!held_under(e->key, key)) {
      p = &e->next;
      continue;
    }
    *p = e->next;
    timer_clear(&e->deadline);
    timer_clear(&e->again);
    let_go_of_guard(e);
    buf_free(&e->over);
    buf_free(&e->unguarded);
    free(e->key);
    free(e);
  }
}
