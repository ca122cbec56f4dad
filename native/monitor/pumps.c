#define _GNU_SOURCE
#include "pumps.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/exit_status.h"
#include "ending.h"
#include "held.h"
#include "loop.h"

/* Between pipes bytes are spliced: the kernel hands their pages on, and nothing is kept here. A terminal can't be spliced from or to on
 * every kernel, nor a file that is open for appending: there they are copied, and what is not taken stays here. The source is not
 * read meanwhile (backpressure). The size is a pipe's atomic write. */
#define CHUNK 4096
#define SPLICED (1u << 16)
/* Bytes that a pump may move before others get their turn; and when it is dropped, all that a pipe can hold (pipe-max-size). */
#define TURN (1u << 16)
#define LAST_TURN ((1u << 20) + CHUNK)

/* What some pumps may still move together. */
struct meter {
  char *key;
  uint64_t left;
  size_t pumps;
};

struct pump {
  struct pump *next;
  char *name;
  struct source from, to;
  bool from_watched, to_watched;
  bool pipes; /* both ends; no chunk then */
  uint32_t quiet_ms, limit_ms; /* 0: it does not end before its source does */
  struct timer lingering;
  uint64_t linger_until;
  struct meter *meter; /* NULL: whatever comes */
  size_t at, len;
  uint8_t chunk[];
};

static struct pump *pumps;
static void (*on_idle)(void);

void pump_on_idle(void (*idle)(void)) { on_idle = idle; }

static bool readable(const struct pump *p) {
  struct pollfd source = {.fd = p->from.fd, .events = POLLIN};
  return poll(&source, 1, 0) != 0;
}

bool pump_busy(const char *name) {
  for (struct pump *p = pumps; p; p = p->next) {
    if (!held_under(p->name, name)) continue;
    if (p->at < p->len || p->lingering.due || readable(p)) return true;
  }
  return false;
}

bool pump_owes(int fifo) {
  struct stat theirs, own;
  if (fstat(fifo, &theirs) < 0) return false;
  for (struct pump *p = pumps; p; p = p->next) {
    if (fstat(p->to.fd, &own) < 0 || own.st_dev != theirs.st_dev || own.st_ino != theirs.st_ino) continue;
    /* Asked by poll(2), a terminal takes in what its peer has just written. That a source has hung up is nothing to be moved. */
    struct pollfd source = {.fd = p->from.fd, .events = POLLIN};
    if (p->at < p->len || (poll(&source, 1, 0) > 0 && (source.revents & POLLIN))) return true;
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

static void meter_leave(struct meter *m) {
  if (!m || --m->pumps > 0) return;
  free(m->key);
  free(m);
}

static void pump_free(struct pump *p) {
  for (struct pump **q = &pumps; *q; q = &(*q)->next) {
    if (*q != p) continue;
    *q = p->next;
    break;
  }
  timer_clear(&p->lingering);
  if (p->from_watched) loop_unwatch(&p->from);
  if (p->to_watched) loop_unwatch(&p->to);
  if (p->from.fd >= 0) close(p->from.fd);
  if (p->to.fd >= 0) close(p->to.fd);
  meter_leave(p->meter);
  free(p->name);
  free(p);
}

static void pump_end(struct pump *p) {
  pump_free(p);
  if (on_idle) on_idle();
}

static void wait_for_source(struct pump *p) {
  watch(&p->to, &p->to_watched, false, 0);
  watch(&p->from, &p->from_watched, true, EPOLLIN);
}

static void wait_for_taker(struct pump *p) {
  watch(&p->from, &p->from_watched, false, 0);
  watch(&p->to, &p->to_watched, true, EPOLLOUT);
}

/* How a move ended. */
enum moved { MOVED, NOTHING_THERE, NOTHING_TAKEN, AT_END };

/* Writes what was read. */
static enum moved put(struct pump *p) {
  while (p->at < p->len) {
    ssize_t n = write(p->to.fd, p->chunk + p->at, p->len - p->at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return NOTHING_TAKEN;
    /* The taker is gone for good (EPIPE, EIO): read on and throw away, so that the process is never stuck. */
    if (n < 0) p->at = p->len;
    else p->at += (size_t)n;
  }
  return MOVED;
}

static void spend(struct pump *p, size_t *budget, size_t bytes) {
  *budget -= *budget < bytes ? *budget : bytes;
  if (p->meter) p->meter->left -= p->meter->left < bytes ? p->meter->left : bytes;
}

/* How much of so much it may move. */
static size_t within(const struct pump *p, size_t bytes) { return p->meter && p->meter->left < bytes ? (size_t)p->meter->left : bytes; }

/* Reads on and throws away, so that the process is never stuck. */
static enum moved lose(struct pump *p, size_t *budget) {
  char lost[CHUNK];
  ssize_t n = read(p->from.fd, lost, within(p, sizeof lost) > 0 ? within(p, sizeof lost) : sizeof lost);
  if (n > 0) spend(p, budget, (size_t)n);
  return n > 0 || (n < 0 && errno == EINTR) ? MOVED : n < 0 && errno == EAGAIN ? NOTHING_THERE : AT_END;
}

/* Nothing is left: what comes now is more than there may be. */
static enum moved overrun(struct pump *p, size_t *budget) {
  enum moved done = put(p);
  if (done != MOVED) return done;
  size_t before = *budget;
  done = lose(p, budget);
  if (*budget < before) ending_now(p->meter->key, ENDED_OUTPUT);
  return done;
}

static enum moved copy(struct pump *p, size_t *budget) {
  enum moved done = put(p);
  if (done != MOVED) return done;
  ssize_t n;
  do n = read(p->from.fd, p->chunk, within(p, CHUNK));
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return NOTHING_THERE;
  if (n <= 0) return AT_END; /* EIO is a terminal whose last peer has closed */
  p->at = 0;
  p->len = (size_t)n;
  spend(p, budget, p->len);
  return put(p);
}

static enum moved move_pages(struct pump *p, size_t *budget) {
  int waiting = 0;
  ssize_t n = splice(p->from.fd, NULL, p->to.fd, NULL, within(p, SPLICED), SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (n > 0) {
    spend(p, budget, (size_t)n);
    return MOVED;
  }
  if (n == 0) return AT_END;
  if (errno == EINTR) return MOVED;
  /* Either end may be why: what comes into the source meanwhile makes it ready again. */
  if (errno == EAGAIN) return ioctl(p->from.fd, FIONREAD, &waiting) == 0 && waiting > 0 ? NOTHING_TAKEN : NOTHING_THERE;
  return lose(p, budget); /* as in `put`: its reader is gone, the bytes go nowhere */
}

/* From now on: until nothing has come for a while, or to the end of its time. */
static void linger_on(struct pump *p) {
  uint64_t now = now_ms(), left = p->linger_until > now ? p->linger_until - now : 0;
  timer_set(&p->lingering, left < p->quiet_ms ? left : p->quiet_ms);
}

/* Moves what can be moved now, at most so many bytes: a container that writes without end must not keep the loop from others. False
 * when the pump has ended. */
static bool pump_move(struct pump *p, size_t budget) {
  enum moved done = MOVED;
  size_t whole = budget;
  while (done == MOVED && budget > 0)
    done = p->meter && p->meter->left == 0 ? overrun(p, &budget) : p->pipes ? move_pages(p, &budget) : copy(p, &budget);
  if (budget < whole && p->lingering.due) linger_on(p);
  switch (done) {
    case AT_END: pump_end(p); return false;
    case NOTHING_TAKEN: wait_for_taker(p); return true;
    case NOTHING_THERE: wait_for_source(p); break;
    case MOVED: break; /* there may be more: the next event says so, of the end that is watched now */
  }
  if (on_idle) on_idle();
  return true;
}

static void linger_over(struct timer *t) {
  struct pump *p = (struct pump *)((char *)t - offsetof(struct pump, lingering));
  if (!pump_move(p, LAST_TURN)) return;
  /* A client that takes its time gets the rest all the same. */
  bool more = p->at < p->len || (readable(p) && now_ms() < p->linger_until);
  if (more) timer_set(t, p->quiet_ms);
  else pump_end(p);
}

int pump_meter(const char *name, const char *key, uint64_t bytes) {
  struct meter *m = calloc(1, sizeof *m);
  char *copy = strdup(key);
  if (!m || !copy) {
    free(m);
    free(copy);
    return -1;
  }
  *m = (struct meter){copy, bytes, 1};
  for (struct pump *p = pumps; p; p = p->next) {
    if (!held_under(p->name, name)) continue;
    meter_leave(p->meter);
    p->meter = m;
    m->pumps++;
  }
  meter_leave(m);
  return 0;
}

void pump_linger(const char *name, uint32_t quiet_ms, uint32_t limit_ms) {
  for (struct pump *p = pumps; p; p = p->next) {
    if (!held_under(p->name, name)) continue;
    p->quiet_ms = quiet_ms;
    p->limit_ms = limit_ms;
  }
}

void pump_process_ended(const char *key) {
  for (struct pump *p = pumps; p; p = p->next) {
    if (!p->quiet_ms || p->lingering.due || !held_under(p->name, key)) continue;
    p->linger_until = now_ms() + p->limit_ms;
    linger_on(p);
  }
}
/* One splice takes what is there: a second one would find nothing, and then a third call has to say why. */
static void ready(struct pump *p) { (void)pump_move(p, p->pipes ? 1 : TURN); }

static void from_ready(struct source *s, uint32_t events) {
  (void)events;
  ready((struct pump *)((char *)s - offsetof(struct pump, from)));
}
static void to_ready(struct source *s, uint32_t events) {
  (void)events;
  ready((struct pump *)((char *)s - offsetof(struct pump, to)));
}

static int nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static bool is_pipe(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

int pump_start(const char *name, int from, int to) {
  bool pipes = is_pipe(from) && is_pipe(to);
  struct pump *p = calloc(1, sizeof *p + (pipes ? 0 : CHUNK));
  if (!p) {
    close(from);
    close(to);
    return -1;
  }
  *p = (struct pump){.name = strdup(name), .from = {from, from_ready}, .to = {to, to_ready}, .pipes = pipes,
                     .lingering = {.fire = linger_over}};
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
