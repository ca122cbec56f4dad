#define _GNU_SOURCE
#include "unread.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../common/clock.h"
#include "clients.h"
#include "held.h"
#include "loop.h"
#include "pumps.h"

struct output {
  struct output *next;
  char *name, *process; /* the key that the name lies below */
  uint32_t quiet_ms, limit_ms;
};

/* An end that has not been told. A pipe says nothing of having been emptied; that a FIFO was read, inotify does. */
struct end {
  struct end *next;
  char *key;
  struct buf told;
  struct source reads;
  struct timer quiet;
  uint64_t until; /* ms */
  uint32_t quiet_ms;
  bool over; /* whatever is unread */
};

static struct output *outputs;
static struct end *ends; /* in the order of their coming */
static void (*tell)(const struct buf *told);

void unread_on_read(void (*to)(const struct buf *told)) { tell = to; }

int unread_watch(const char *name, uint32_t quiet_ms, uint32_t limit_ms) {
  const char *slash = strrchr(name, '/');
  struct output *o = calloc(1, sizeof *o);
  char *copy = strdup(name), *process = strndup(name, slash ? (size_t)(slash - name) : strlen(name));
  if (!o || !copy || !process) {
    free(o);
    free(copy);
    free(process);
    return -1;
  }
  *o = (struct output){outputs, copy, process, quiet_ms, limit_ms};
  outputs = o;
  return 0;
}

static void look(int fifo, void *unread) {
  int waiting = 0;
  if ((ioctl(fifo, FIONREAD, &waiting) == 0 && waiting > 0) || pump_owes(fifo)) *(bool *)unread = true;
}

/* Whether it is of a process that ends with `key`: an exec that goes on has an end of its own. */
static bool ends_with(const struct output *o, const char *key) {
  return held_under(o->process, key) && (!strcmp(o->process, key) || !held_find(o->process));
}

/* What is unread of `key`; NULL where nothing is. */
static const struct output *find_unread(const char *key) {
  for (const struct output *o = outputs; o; o = o->next) {
    bool unread = false;
    if (ends_with(o, key)) held_each(o->name, look, &unread);
    if (unread) return o;
  }
  return NULL;
}

static void end_free(struct end *e) {
  timer_clear(&e->quiet);
  if (e->reads.fd >= 0) {
    loop_unwatch(&e->reads);
    close(e->reads.fd);
  }
  buf_free(&e->told);
  free(e->key);
  free(e);
}

/* Whether one under its key has come before it. */
static bool behind_another(const struct end *e) {
  for (const struct end *other = ends; other != e; other = other->next)
    if (held_under(other->key, e->key)) return true;
  return false;
}

void unread_recheck(void) {
  for (struct end **p = &ends; *p;) {
    struct end *e = *p;
    if (behind_another(e) || (!e->over && clients_there() && find_unread(e->key))) {
      p = &e->next;
      continue;
    }
    *p = e->next;
    tell(&e->told);
    end_free(e);
  }
}

static void set_quiet(struct end *e) {
  uint64_t now = now_ms(), left = e->until > now ? e->until - now : 0;
  timer_set(&e->quiet, left < e->quiet_ms ? left : e->quiet_ms);
}

static void quiet_for_long(struct timer *t) {
  ((struct end *)((char *)t - offsetof(struct end, quiet)))->over = true;
  unread_recheck();
}

static void was_read(struct source *s, uint32_t events) {
  (void)events;
  struct end *e = (struct end *)((char *)s - offsetof(struct end, reads));
  union {
    struct inotify_event align;
    char space[4096];
  } drop;
  while (read(s->fd, drop.space, sizeof drop.space) > 0) {}
  set_quiet(e);
  unread_recheck();
}

static void watch_reads(int fifo, void *inotify) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fifo);
  /* Without a watch its time ends it. */
  (void)inotify_add_watch(*(int *)inotify, path, IN_ACCESS);
}

static struct end *end_new(const char *key, const struct buf *told) {
  struct end *e = calloc(1, sizeof *e);
  if (!e) return NULL;
  *e = (struct end){.key = strdup(key), .told = {.secret = told->secret}, .reads = {-1, was_read}, .quiet = {.fire = quiet_for_long}};
  if (e->key && buf_append(&e->told, told->data, told->len) == 0) return e;
  end_free(e);
  return NULL;
}

/* Its clients' reads are events from here on. Where there can be no such thing (few instances are allowed), nothing waits for them. */
static void await_reading(struct end *e, const struct output *o) {
  e->reads.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  e->over = e->reads.fd < 0 || loop_watch(&e->reads, EPOLLIN) < 0;
  if (e->over) return;
  for (const struct output *each = outputs; each; each = each->next)
    if (ends_with(each, e->key)) held_each(each->name, watch_reads, &e->reads.fd);
  e->quiet_ms = o->quiet_ms;
  e->until = now_ms() + o->limit_ms;
  set_quiet(e);
}

void unread_tell(const char *key, const struct buf *told) {
  const struct output *unread = clients_there() ? find_unread(key) : NULL;
  struct end *e = unread || ends ? end_new(key, told) : NULL;
  if (!e) {
    tell(told);
    return;
  }
  e->over = !unread;
  if (unread) await_reading(e, unread);
  struct end **last = &ends;
  while (*last) last = &(*last)->next;
  *last = e;
  unread_recheck(); /* they may have read meanwhile, unseen */
}

void unread_drop(const char *name) {
  for (struct output **p = &outputs; *p;) {
    struct output *o = *p;
    if (!held_under(o->name, name)) {
      p = &o->next;
      continue;
    }
    *p = o->next;
    free(o->name);
    free(o->process);
    free(o);
  }
  unread_recheck();
}
