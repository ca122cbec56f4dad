#define _GNU_SOURCE
#include "pumps.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "held.h"
#include "loop.h"

/* A terminal can't be spliced from or to on every kernel, so bytes are copied; what a client does not take stays here, and
 * the source is not read meanwhile (backpressure). The size is a pipe's atomic write. */
#define CHUNK 4096
/* Chunks a pump may move before others get their turn; and when it is dropped, all that a pipe can hold (pipe-max-size). */
#define TURN 16
#define LAST_TURN ((1u << 20) / CHUNK + 1)

struct pump {
  struct pump *next;
  char *name;
  struct source from, to;
  bool from_watched, to_watched;
  size_t at, len;
  uint8_t chunk[CHUNK];
};

static struct pump *pumps;
static void (*on_idle)(void);

void pump_on_idle(void (*idle)(void)) { on_idle = idle; }

bool pump_busy(const char *name) {
  for (struct pump *p = pumps; p; p = p->next) {
    if (!held_under(p->name, name)) continue;
    struct pollfd source = {.fd = p->from.fd, .events = POLLIN};
    if (p->at < p->len || poll(&source, 1, 0) != 0) return true;
  }
  return false;
}

static void watch(struct source *s, bool *watched, bool want, uint32_t events) {
  if (want && !*watched) *watched = loop_watch(s, events) == 0;
  else if (!want && *watched) {
    loop_unwatch(s);
    *watched = false;
  }
}

static void pump_free(struct pump *p) {
  for (struct pump **q = &pumps; *q; q = &(*q)->next) {
    if (*q != p) continue;
    *q = p->next;
    break;
  }
  if (p->from_watched) loop_unwatch(&p->from);
  if (p->to_watched) loop_unwatch(&p->to);
  if (p->from.fd >= 0) close(p->from.fd);
  if (p->to.fd >= 0) close(p->to.fd);
  free(p->name);
  free(p);
}

static void pump_end(struct pump *p) {
  pump_free(p);
  if (on_idle) on_idle();
}

/* Writes what was read; false while the taker takes no more. */
static bool pump_write(struct pump *p) {
  while (p->at < p->len) {
    ssize_t n = write(p->to.fd, p->chunk + p->at, p->len - p->at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      watch(&p->from, &p->from_watched, false, 0);
      watch(&p->to, &p->to_watched, true, EPOLLOUT);
      return false;
    }
    /* The taker is gone for good (EPIPE, EIO): read on and throw away, so that the process is never stuck. */
    if (n < 0) p->at = p->len;
    else p->at += (size_t)n;
  }
  return true;
}

/* Moves what can be moved now, at most so many chunks: a container that writes without end must not keep the loop from others. False
 * when the pump has ended. */
static bool pump_move(struct pump *p, unsigned chunks) {
  while (pump_write(p)) {
    if (chunks-- == 0) break;
    ssize_t n;
    do n = read(p->from.fd, p->chunk, sizeof p->chunk);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
      watch(&p->to, &p->to_watched, false, 0);
      watch(&p->from, &p->from_watched, true, EPOLLIN);
      if (on_idle) on_idle();
      return true;
    }
    if (n <= 0) { /* EOF; EIO is a terminal whose last peer has closed */
      pump_end(p);
      return false;
    }
    p->at = 0;
    p->len = (size_t)n;
  }
  if (p->at == p->len) { /* there may be more: the next event says so */
    watch(&p->to, &p->to_watched, false, 0);
    watch(&p->from, &p->from_watched, true, EPOLLIN);
  }
  return true;
}

static void from_ready(struct source *s, uint32_t events) {
  (void)events;
  (void)pump_move((struct pump *)((char *)s - offsetof(struct pump, from)), TURN);
}
static void to_ready(struct source *s, uint32_t events) {
  (void)events;
  (void)pump_move((struct pump *)((char *)s - offsetof(struct pump, to)), TURN);
}

static int nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int pump_start(const char *name, int from, int to) {
  struct pump *p = calloc(1, sizeof *p);
  if (!p) {
    close(from);
    close(to);
    return -1;
  }
  *p = (struct pump){.name = strdup(name), .from = {from, from_ready}, .to = {to, to_ready}};
  p->next = pumps;
  pumps = p;
  if (!p->name || nonblocking(from) < 0 || nonblocking(to) < 0 || loop_watch(&p->from, EPOLLIN) < 0) {
    int error = errno;
    pump_free(p);
    errno = error;
    return -1;
  }
  p->from_watched = true;
  return 0;
}

void pump_drop(const char *name) {
  for (struct pump *p = pumps, *next; p; p = next) {
    next = p->next;
    if (!held_under(p->name, name)) continue;
    /* What is there already goes out if it can: a process that has ended wrote it before. */
    if (pump_move(p, LAST_TURN)) pump_free(p);
  }
}
