#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/fd.h"
#include "../common/frame.h"
#include "../common/reader.h"
#include "journal.h"
#include "messages.h"

/* How long to keep trying to reach a controller that says a word, and how often, before what waits is given up (trap 5). */
#define CONNECT_TRIES 60
#define CONNECT_RETRY_MS 100
/* How long a controller that was reached may take to say its first word: many times what a busy host needs to boot one. One that takes
 * longer hangs, or is stopped, for whoever else would ask it too. */
#define WELCOME_MS 10000
/* A command has more: twenty that come at once to an emulated machine with a cold controller wait longer, and nobody behind it has a time of
 * his own, as containerd has. */
#define WELCOME_COMMAND_MS 30000
/* Strikes of a request, controllers that ended while they had it, since it last got a step further: from STRIKES_OWN on it gets a controller of its own, so that others no longer
 * suffer from it; from STRIKES_LAST on a fixed error. Far enough apart that a request outlives somebody who kills every controller
 * as fast as they boot: own ones boot no faster. */
#define STRIKES_OWN 20
#define STRIKES_LAST 30

/* A connection to a controller: the shared one (own_request 0), or one that serves a single request. */
struct link {
  struct link *next;
  struct agent *agent;
  uint64_t ticket, own_request;
  int fd;              /* -1 while connecting */
  int failed;          /* why that came to nothing, told from agent_ready: who asked with a request does not know its id yet */
  uint64_t welcome_by; /* ms; 0: it has come, or is not awaited yet */
  bool connecting, broken;
  struct buf in, out;
};

struct agent {
  enum agent_role role;
  struct agent_owner owner;
  const char *const *context;
  int epoll, timer;
  struct link *links;
  struct request *first, **last;
  uint64_t next_id, next_ticket, seq;
  uint32_t failed_connects;
  struct buf record;
  uint64_t retry_at; /* ms; 0: not due */
};

/* ---- requests ---- */

static struct request *find_request(struct agent *a, uint64_t id) {
  for (struct request *r = a->first; r; r = r->next)
    if (r->id == id) return r;
  return NULL;
}

/* What a monitor says of its own: no answer is due, the commit is its end, and it is never given up. */
static bool is_report(const struct request *r) { return r->kind != REQUEST_COMMAND && r->kind != REQUEST_TTRPC; }

static bool wants_controller(const struct request *r) { return !r->parked; }

static void remove_request(struct agent *a, struct request *r) {
  for (struct request **p = &a->first; *p; p = &(*p)->next) {
    if (*p == r) {
      *p = r->next;
      if (a->last == &r->next) a->last = p;
      break;
    }
  }
  request_free(r);
}

/* ---- links ---- */

static struct link *find_link(struct agent *a, uint64_t own_request) {
  for (struct link *l = a->links; l; l = l->next)
    if (l->own_request == own_request && !l->broken) return l;
  return NULL;
}

/* For the next of what is due, if anything is. */
static void arm_timer(struct agent *a) {
  uint64_t next = a->retry_at;
  for (struct link *l = a->links; l; l = l->next)
    if (!l->broken && l->welcome_by && (!next || l->welcome_by < next)) next = l->welcome_by;
  struct itimerspec t = {.it_value = {.tv_sec = (time_t)(next / 1000), .tv_nsec = (long)(next % 1000) * 1000000}};
  (void)timerfd_settime(a->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void arm_retry(struct agent *a, uint32_t ms) {
  a->retry_at = now_ms() + ms;
  arm_timer(a);
}

/* Frees what broke, and what served a request that is answered or parked; called where no link is in use further up the stack. */
static void sweep_links(struct agent *a) {
  for (struct link **p = &a->links; *p;) {
    struct link *l = *p;
    struct request *own = l->own_request ? find_request(a, l->own_request) : NULL;
    if (l->own_request && !l->connecting && (!own || own->parked)) l->broken = true;
    if (!l->broken) {
      p = &l->next;
      continue;
    }
    *p = l->next;
    if (l->fd >= 0) {
      /* Closing is not enough: a forked executor has the same open socket, which would stay in the set. */
      (void)epoll_ctl(a->epoll, EPOLL_CTL_DEL, l->fd, NULL);
      close(l->fd);
    }
    buf_free(&l->in);
    buf_free(&l->out);
    free(l);
  }
}

static void update_events(struct link *l) {
  if (l->fd < 0 || l->broken) return;
  struct epoll_event e = {.events = EPOLLIN | (l->out.len ? EPOLLOUT : 0u), .data.ptr = l};
  (void)epoll_ctl(l->agent->epoll, EPOLL_CTL_MOD, l->fd, &e);
}

static void break_link(struct link *l);

static void send_out(struct link *l) {
  if (l->broken || l->fd < 0) return;
  if (frame_flush(l->fd, &l->out) < 0) break_link(l);
  else update_events(l);
}

static void send_request(struct link *l, struct request *r) {
  r->link = l;
  if (message_request(&l->out, r) < 0) break_link(l);
}

static void send_outcome(struct request *r, struct step *s) {
  struct link *l = r->link;
  if (!l || l->fd < 0 || l->broken) return;
  s->asked = false;
  if (message_outcome(&l->out, r, s) < 0) break_link(l);
  send_out(l);
}

static void link_up(struct link *l, int fd) {
  struct agent *a = l->agent;
  l->connecting = false;
  l->fd = fd;
  l->welcome_by = now_ms() + (a->role == ROLE_LAUNCHER ? WELCOME_COMMAND_MS : WELCOME_MS);
  arm_timer(a);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
  if (epoll_ctl(a->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
    break_link(l);
    return;
  }
  if (message_hello(&l->out, a->role, a->seq, &a->record, a->context) < 0) break_link(l);
  for (struct request *r = a->first; r && !l->broken; r = r->next)
    if (wants_controller(r) && !r->link && (l->own_request ? r->id == l->own_request : r->strikes < STRIKES_OWN))
      send_request(l, r);
  send_out(l);
}

static void give_up(struct agent *a, struct request *r, const char *why) {
  if (is_report(r)) { /* tried again from the start, later */
    r->strikes = 0;
    arm_retry(a, 1000);
    return;
  }
  uint64_t id = r->id;
  remove_request(a, r);
  a->owner.give_up(a->owner.owner, id, why);
}

static void connect_failed(struct agent *a, int error) {
  bool final = error == ENOENT || error == EACCES || error == EPERM || error == ENOEXEC || error == ETIMEDOUT;
  if (++a->failed_connects < CONNECT_TRIES && !final) {
    arm_retry(a, CONNECT_RETRY_MS);
    return;
  }
  a->failed_connects = 0;
  char why[160];
  (void)snprintf(why, sizeof why, "no controller could be started: %s", error == ECONNRESET ? "each ended before its first word" : strerror(error));
  for (struct request *r = a->first, *next; r; r = next) {
    next = r->next;
    if (wants_controller(r) && !r->link) give_up(a, r, why);
  }
}

static void tell_failed(struct agent *a) {
  for (struct link *l = a->links; l; l = l->next) {
    if (!l->failed || l->broken) continue;
    l->connecting = false;
    l->broken = true;
    connect_failed(a, l->failed);
  }
}

/* A link on its way. `own_request`: for it alone, or 0. */
static void open_link(struct agent *a, uint64_t own_request) {
  struct link *l = calloc(1, sizeof *l);
  if (!l) {
    arm_retry(a, CONNECT_RETRY_MS);
    return;
  }
  *l = (struct link){.next = a->links, .agent = a, .ticket = ++a->next_ticket, .fd = -1, .connecting = true, .own_request = own_request};
  l->in.secret = l->out.secret = true;
  a->links = l;
  int fd = a->owner.connect(a->owner.owner, own_request != 0, l->ticket);
  if (fd >= 0) {
    link_up(l, fd);
  } else if (errno != EINPROGRESS) {
    l->failed = errno ? errno : EIO;
    arm_retry(a, 1);
  }
}

void agent_reach(struct agent *a) {
  if (!a->links) open_link(a, 0);
}

/* Makes sure that whatever waits for a controller has one, or one on its way. */
static void dispatch(struct agent *a) {
  for (;;) {
    struct request *r = a->first;
    struct link *l = NULL;
    for (; r; r = r->next) {
      if (!wants_controller(r) || r->link) continue;
      l = find_link(a, r->strikes >= STRIKES_OWN ? r->id : 0);
      if (l && l->connecting) continue; /* link_up sends it */
      break;
    }
    if (!r) break;
    if (l) {
      send_request(l, r);
      send_out(l);
      continue;
    }
    if (a->retry_at) break; /* it is due soon */
    open_link(a, r->strikes >= STRIKES_OWN ? r->id : 0);
  }
}

static void break_link(struct link *l) {
  if (l->broken) return;
  l->broken = true;
  struct agent *a = l->agent;
  /* One that ended in its boot had not looked at any request yet. */
  bool silent = l->welcome_by != 0;
  for (struct request *r = a->first, *next; r; r = next) {
    next = r->next;
    if (r->link != l) continue;
    r->link = NULL;
    for (struct step *s = r->steps; s; s = s->next) s->asked = false;
    if (!silent && !r->parked && ++r->strikes >= STRIKES_LAST) give_up(a, r, "every controller ended while it served this request");
  }
  if (silent) connect_failed(a, ECONNRESET);
}

/* What waits for a controller that has not said a word is not to blame, and would wait no less for the next. */
static void give_up_silent(struct link *l) {
  struct agent *a = l->agent;
  l->broken = true;
  for (struct request *r = a->first, *next; r; r = next) {
    next = r->next;
    if (r->link != l) continue;
    r->link = NULL;
    give_up(a, r, "the controller does not answer");
  }
}

static void timer_fired(struct agent *a) {
  uint64_t ticks, moment = now_ms();
  if (read(a->timer, &ticks, sizeof ticks) < 0) return;
  if (a->retry_at <= moment) a->retry_at = 0;
  for (struct link *l = a->links; l; l = l->next)
    if (!l->broken && l->welcome_by && l->welcome_by <= moment) give_up_silent(l);
  arm_timer(a);
}

/* ---- what a controller says ---- */

static bool on_step(struct link *l, struct reader *body) {
  struct agent *a = l->agent;
  uint64_t id = reader_u64(body);
  const char *name = reader_str(body);
  struct span plan = reader_bytes(body), when_done = reader_bytes(body);
  if (body->bad) return false;
  struct request *r = find_request(a, id);
  if (!r || r->link != l) return true; /* answered meanwhile by another controller's commit */
  uint64_t hash = journal_hash(plan.data, plan.len);
  struct step *s = journal_find(r, name, hash);
  if (s) { /* a replay: answered from the journal, or joined while it runs */
    s->asked = true;
    if (s->done) send_outcome(r, s);
    return true;
  }
  s = journal_add(r, name, hash, plan, when_done);
  if (!s) return false;
  s->asked = true;
  a->owner.run_step(a->owner.owner, id, s->name, s->plan.data, s->plan.len);
  return true;
}

static bool outcome_done(const uint8_t *outcome, size_t len) { return len > 0 && outcome[0] == 0; }

/* The controller has said beforehand what this comes to. */
static void answer_when_done(struct agent *a, struct request *r, struct step *s) {
  _cleanup_buf_ struct buf answer = s->when_done;
  s->when_done = (struct buf){0};
  uint64_t id = r->id;
  remove_request(a, r);
  a->owner.answer(a->owner.owner, id, answer.data, answer.len);
}

void agent_outcome(struct agent *a, uint64_t request, const char *step, const uint8_t *plan, size_t plan_len,
                   const uint8_t *outcome, size_t len) {
  struct request *r = find_request(a, request);
  struct step *s = r ? journal_find(r, step, journal_hash(plan, plan_len)) : NULL;
  if (!s) return; /* its request was answered while it ran */
  s->done = true;
  r->strikes = 0; /* what ended those controllers was not this request's doing, or is behind it */
  if (buf_append(&s->outcome, outcome, len) < 0) { /* no memory for it: the request can only be given up */
    give_up(a, r, "out of memory");
    return;
  }
  buf_free(&s->plan);
  if (s->when_done.len && outcome_done(outcome, len)) answer_when_done(a, r, s);
  else if (s->asked) send_outcome(r, s);
  dispatch(a);
}

/* The controller may have more commits under way that count on the one refused: the sequence leaves the range they could name, so that
 * none of them is taken for one that knows the record. */
static void refuse(struct link *l, uint64_t id) {
  struct agent *a = l->agent;
  a->seq += (uint64_t)1 << 32;
  if (message_refused(&l->out, id, a->seq, &a->record) < 0) break_link(l);
  else send_out(l);
}

/* Applied whole or not at all. */
static bool on_commit(struct link *l, struct reader *body) {
  struct agent *a = l->agent;
  struct commit c;
  if (!commit_read(*body, &c)) return false;
  struct request *r = find_request(a, c.id);
  if (!r || r->link != l) return true;
  if (c.flags & COMMIT_RECORD) {
    if (c.base != a->seq) {
      refuse(l, c.id);
      return true;
    }
    struct buf next = {.secret = true};
    if (buf_append(&next, c.record.data, c.record.len) < 0) return false;
    buf_free(&a->record);
    a->record = next;
    a->seq++;
  }
  r->link = NULL;
  r->parked = true;
  journal_clear(r);
  buf_free(&r->body); /* never sent again */
  if (is_report(r)) remove_request(a, r);
  for (uint32_t i = 0; i < c.drops.count; i++) {
    const char *name = reader_str(&c.drops.items);
    if (a->owner.drop) a->owner.drop(a->owner.owner, name);
  }
  for (uint32_t i = 0; i < c.serials; i++) {
    uint64_t serial = reader_u64(&c.serial);
    if (a->owner.acknowledged) a->owner.acknowledged(a->owner.owner, serial);
  }
  for (uint32_t i = 0; i < c.answers; i++) {
    uint64_t to = reader_u64(&c.answer);
    struct span payload = reader_bytes(&c.answer);
    struct request *answered = find_request(a, to);
    if (!answered) continue;
    remove_request(a, answered);
    a->owner.answer(a->owner.owner, to, payload.data, payload.len);
  }
  if ((c.flags & COMMIT_RECORD) && a->owner.recorded) a->owner.recorded(a->owner.owner);
  /* Not before the answers: nobody waits for an event, and who takes one may take the processor, too. */
  for (uint32_t i = 0; i < c.events; i++) {
    struct span e = reader_bytes(&c.event);
    if (a->owner.event) a->owner.event(a->owner.owner, e.data, e.len);
  }
  r = find_request(a, c.id);
  if (r && a->owner.parked) a->owner.parked(a->owner.owner, c.id);
  if (r && r->forgotten) remove_request(a, r);
  if ((c.flags & COMMIT_LEAVE) && a->owner.leave) a->owner.leave(a->owner.owner);
  return true;
}

static void read_link(struct link *l) {
  ssize_t n = frame_fill(l->fd, &l->in, 256 << 10);
  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    break_link(l);
    return;
  }
  /* The input may be released and grown by what a frame causes, never during it: handlers do not read this link. */
  struct frame f;
  size_t size, used = 0;
  while (!l->broken) {
    struct buf rest = {.data = l->in.data + used, .len = l->in.len - used};
    int got = frame_next(&rest, &f, &size);
    if (got == 0) break;
    bool ok = got > 0;
    if (ok && f.type == MSG_STEP) ok = on_step(l, &f.body);
    else if (ok && f.type == MSG_COMMIT) ok = on_commit(l, &f.body);
    else if (ok) ok = f.type == MSG_WELCOME;
    if (l->welcome_by) {
      l->welcome_by = 0;
      l->agent->failed_connects = 0;
      arm_timer(l->agent);
    }
    if (!ok) {
      break_link(l);
      return;
    }
    used += size;
  }
  if (used == l->in.len) buf_free(&l->in);
  else if (used) buf_drop(&l->in, used);
}

/* ---- the owner's side ---- */

struct agent *agent_new(enum agent_role role, const struct agent_owner *owner, const char *const *context) {
  struct agent *a = calloc(1, sizeof *a);
  if (!a) return NULL;
  *a = (struct agent){.role = role, .owner = *owner, .context = context, .next_id = 0};
  a->last = &a->first;
  a->record.secret = true;
  a->epoll = epoll_create1(EPOLL_CLOEXEC);
  a->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
  if (a->epoll < 0 || a->timer < 0 || epoll_ctl(a->epoll, EPOLL_CTL_ADD, a->timer, &e) < 0) {
    agent_free(a);
    return NULL;
  }
  return a;
}

void agent_free(struct agent *a) {
  if (!a) return;
  for (struct link *l = a->links; l; l = l->next) l->broken = true;
  sweep_links(a);
  while (a->first) remove_request(a, a->first);
  buf_free(&a->record);
  if (a->epoll >= 0) close(a->epoll);
  if (a->timer >= 0) close(a->timer);
  free(a);
}

int agent_fd(const struct agent *a) { return a->epoll; }

const struct buf *agent_record(const struct agent *a) { return &a->record; }

uint64_t agent_request(struct agent *a, enum request_kind kind, const uint8_t *body, size_t len) {
  struct request *r = calloc(1, sizeof *r);
  if (!r) return 0;
  r->body.secret = true;
  if (buf_append(&r->body, body, len) < 0) {
    free(r);
    return 0;
  }
  r->id = ++a->next_id;
  r->kind = kind;
  *a->last = r;
  a->last = &r->next;
  uint64_t id = r->id;
  dispatch(a);
  return id;
}

void agent_forget(struct agent *a, uint64_t id) {
  struct request *r = find_request(a, id);
  if (r && r->parked) remove_request(a, r);
  else if (r) r->forgotten = true;
}

void agent_connected(struct agent *a, uint64_t ticket, int fd, int error) {
  struct link *l = a->links;
  while (l && (l->ticket != ticket || l->broken)) l = l->next;
  if (!l) {
    if (fd >= 0) close(fd);
    return;
  }
  if (fd >= 0) {
    link_up(l, fd);
  } else {
    l->connecting = false;
    l->broken = true;
    connect_failed(a, error);
  }
  dispatch(a);
}

void agent_ready(struct agent *a) {
  struct epoll_event events[8];
  int n = epoll_wait(a->epoll, events, 8, 0);
  for (int i = 0; i < n; i++) {
    struct link *l = events[i].data.ptr;
    if (!l) {
      timer_fired(a);
      tell_failed(a);
      continue;
    }
    if (!l->broken && (events[i].events & EPOLLOUT)) send_out(l);
    if (!l->broken && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read_link(l);
  }
  dispatch(a);
  sweep_links(a);
}
