#define _GNU_SOURCE
#include "ending.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "../common/buf.h"
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
  struct buf plan;
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

static void is_over(struct timer *t) {
  struct ending *e = (struct ending *)((char *)t - offsetof(struct ending, deadline));
  if (!e->reason) e->reason = ENDED_TIMEOUT;
  /* Its init first, by what this process holds: whatever becomes of the rest, a pid namespace ends with it. */
  (void)held_signal(e->key, SIGKILL);
  if (job_start(e->plan.data, e->plan.len, killed, NULL) < 0) timer_set(t, AGAIN_MS);
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
  *e = (struct ending){.next = endings, .key = copy, .deadline = {.fire = is_over}};
  endings = e;
  return e;
}

void ending_because(const char *key, const char *reason) {
  struct ending *e = find_or_add(key);
  if (e && !e->reason) e->reason = reason; /* no memory: it is told as the signal that it is */
}

const char *ending_reason(const char *key, int wait_status) {
  const struct ending *e = find(key);
  if (e && e->reason && WIFSIGNALED(wait_status)) return e->reason;
  if (!WIFSIGNALED(wait_status)) return "exit";
  return WTERMSIG(wait_status) == SIGKILL && oom_killed(key) ? "oom" : "signal";
}

int ending_deadline(const char *key, uint64_t ms, const uint8_t *plan, size_t len) {
  struct ending *e = find_or_add(key);
  if (!e) return -1;
  timer_clear(&e->deadline);
  buf_free(&e->plan);
  e->ms = ms;
  return buf_append(&e->plan, plan, len);
}

void ending_started(const char *key) {
  struct ending *e = find(key);
  if (e && e->plan.len && !e->deadline.due) timer_set(&e->deadline, e->ms);
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
    buf_free(&e->plan);
    free(e->key);
    free(e);
  }
}
