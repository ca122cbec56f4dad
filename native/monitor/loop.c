#include "loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../common/clock.h"

#define ACCEPT_AGAIN_MS 100

static int epoll = -1;
static bool stopped;
static struct timer *timers;

int loop_init(void) {
  epoll = epoll_create1(EPOLL_CLOEXEC);
  return epoll < 0 ? -1 : 0;
}

int loop_fd(void) { return epoll; }

static int control(int op, struct source *s, uint32_t events) {
  struct epoll_event e = {.events = events, .data.ptr = s};
  return epoll_ctl(epoll, op, s->fd, &e);
}
int loop_watch(struct source *s, uint32_t events) { return control(EPOLL_CTL_ADD, s, events); }
int loop_change(struct source *s, uint32_t events) { return control(EPOLL_CTL_MOD, s, events); }
void loop_unwatch(struct source *s) {
  /* ENOENT where it was never watched: nothing to do. */
  if (s->fd >= 0) (void)control(EPOLL_CTL_DEL, s, 0);
}

void timer_clear(struct timer *t) {
  for (struct timer **p = &timers; *p; p = &(*p)->next) {
    if (*p == t) {
      *p = t->next;
      break;
    }
  }
  t->due = 0;
}

void timer_set(struct timer *t, uint64_t ms_from_now) {
  timer_clear(t);
  t->due = now_ms() + ms_from_now;
  t->next = timers;
  timers = t;
}

static void accept_again(struct timer *t) {
  if (t->listener->fd >= 0) (void)loop_watch(t->listener, EPOLLIN);
}

void loop_accept_failed(struct source *listener, struct timer *t) {
  if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) return;
  loop_unwatch(listener);
  t->listener = listener;
  t->fire = accept_again;
  timer_set(t, ACCEPT_AGAIN_MS);
}

static int next_timeout(void) {
  if (!timers) return -1;
  uint64_t first = timers->due, now = now_ms();
  for (struct timer *t = timers->next; t; t = t->next)
    if (t->due < first) first = t->due;
  if (first <= now) return 0;
  return first - now > 60000 ? 60000 : (int)(first - now);
}

static void fire_timers(void) {
  uint64_t now = now_ms();
  for (;;) { /* a timer may set or clear others: start over after each */
    struct timer *t = timers;
    while (t && t->due > now) t = t->next;
    if (!t) return;
    timer_clear(t);
    t->fire(t);
  }
}

void loop_run(void) {
  while (!stopped) {
    struct epoll_event e;
    /* One event at a time: a handler may free other sources, whose events must not be delivered after that. */
    int n = epoll_wait(epoll, &e, 1, next_timeout());
    if (n < 0 && errno != EINTR) _exit(1);
    if (n == 1) {
      struct source *s = e.data.ptr;
      s->ready(s, e.events);
    }
    fire_timers();
  }
}

void loop_stop(void) { stopped = true; }
