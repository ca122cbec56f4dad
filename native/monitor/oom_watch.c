#define _GNU_SOURCE
#include "oom_watch.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../common/fd.h"
#include "held.h"
#include "loop.h"

/* v1 tells of an OOM before there is a victim, and tells the groups below the one that ran out of memory too. How long the victim may take
 * to be counted: the kernel prints a report first. */
#define SETTLE_FIRST_MS 1
#define SETTLE_LAST_MS 2048

struct watch {
  struct watch *next;
  char *key;
  struct oom_files files;
  struct source source;
  struct timer settle;
  uint64_t wait_ms;
  uint64_t first, kills, serial; /* first: killed there before; serial: the controller looks; 0: it does not */
};

static struct watch *watches;
static oom_seen on_seen;

void oom_on_seen(oom_seen seen) { on_seen = seen; }

static bool is_v1(const struct watch *w) { return w->files.event >= 0; }

static void watch_free(struct watch *w) {
  for (struct watch **p = &watches; *p; p = &(*p)->next) {
    if (*p != w) continue;
    *p = w->next;
    break;
  }
  timer_clear(&w->settle);
  loop_unwatch(&w->source);
  fd_close(&w->files.event);
  fd_close(&w->files.counter);
  free(w->key);
  free(w);
}

static int arm(struct watch *w) { return loop_watch(&w->source, is_v1(w) ? EPOLLIN : EPOLLPRI); }

static void tell(struct watch *w) {
  timer_clear(&w->settle);
  w->serial = on_seen(w->key);
  if (w->serial) loop_unwatch(&w->source);
}

enum grown { GONE, SAME, MORE };

/* What has changed since the last look; taken note of. */
static enum grown look(struct watch *w) {
  uint64_t ignored;
  struct oom_count now;
  if (is_v1(w)) (void)!read(w->files.event, &ignored, sizeof ignored);
  if (oom_read(w->files.counter, &now) < 0) return GONE;
  bool more = now.kills > w->kills;
  w->kills = now.kills;
  return more || now.stuck ? MORE : SAME;
}

static void ready(struct source *s, uint32_t events) {
  (void)events;
  struct watch *w = (struct watch *)((char *)s - offsetof(struct watch, source));
  enum grown grown = look(w);
  if (grown == GONE) watch_free(w);
  else if (grown == MORE) tell(w);
  else if (is_v1(w) && !w->settle.due) timer_set(&w->settle, w->wait_ms = SETTLE_FIRST_MS);
}

static void settle(struct timer *t) {
  struct watch *w = (struct watch *)((char *)t - offsetof(struct watch, settle));
  enum grown grown = look(w);
  if (grown == GONE) watch_free(w);
  /* In the end the controller is asked, which also counts what was killed in groups below. */
  else if (grown == MORE || w->wait_ms >= SETTLE_LAST_MS) tell(w);
  else timer_set(&w->settle, w->wait_ms *= 2);
}

int oom_watch(const char *key, struct oom_files *files) {
  struct watch *w = calloc(1, sizeof *w);
  char *copy = strdup(key);
  struct oom_count now;
  oom_drop(key);
  if (!w || !copy || oom_read(files->counter, &now) < 0) {
    free(w);
    free(copy);
    fd_close(&files->event);
    fd_close(&files->counter);
    return -1;
  }
  *w = (struct watch){.next = watches, .key = copy, .files = *files, .settle = {.fire = settle}, .first = now.kills, .kills = now.kills};
  w->source = (struct source){is_v1(w) ? files->event : files->counter, ready};
  watches = w;
  if (arm(w) == 0) return 0;
  watch_free(w);
  return -1;
}

void oom_drop(const char *name) {
  for (struct watch *w = watches, *next; w; w = next) {
    next = w->next;
    if (held_under(w->key, name)) watch_free(w);
  }
}

void oom_looked(uint64_t serial) {
  for (struct watch *w = watches, *next; w; w = next) {
    next = w->next;
    if (w->serial != serial) continue;
    w->serial = 0;
    if (arm(w) < 0) watch_free(w);
  }
}

bool oom_suspected(const char *key) {
  for (struct watch *w = watches; w; w = w->next) {
    if (!held_under(key, w->key)) continue;
    struct pollfd event = {.fd = w->files.event, .events = POLLIN};
    bool hint = w->serial || w->settle.due || (is_v1(w) && poll(&event, 1, 0) > 0);
    return look(w) == MORE || hint;
  }
  return false;
}

bool oom_killed(const char *key) {
  for (const struct watch *w = watches; w; w = w->next) {
    struct oom_count now;
    if (!held_under(key, w->key)) continue;
    /* A group that has gone, though its process is only now known to have ended, told before. */
    return (oom_read(w->files.counter, &now) == 0 ? now.kills : w->kills) > w->first;
  }
  return false;
}
