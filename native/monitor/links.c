#include "links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/frame.h"
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
/* Strikes of a request, controllers that ended while they had it, since it last got a step further: from STRIKES_OWN on it gets a controller of
 * its own, so that others no longer suffer from it; from STRIKES_LAST on a fixed error. Far enough apart that a request outlives somebody who
 * kills every controller as fast as they boot: own ones boot no faster. */
#define STRIKES_OWN 20
#define STRIKES_LAST 30

struct request *request_find(struct agent *a, uint64_t id) {
  for (struct request *r = a->first; r; r = r->next)
    if (r->id == id) return r;
  return NULL;
}

bool request_is_report(const struct request *r) { return r->kind != REQUEST_COMMAND && r->kind != REQUEST_TTRPC; }

static bool wants_controller(const struct request *r) { return !r->parked; }

/* Whoever has an answer must not be told of a record without what it says. */
static bool held_back(const struct agent *a, const struct request *r) {
  return a->answered > 0 && r->kind == REQUEST_TTRPC && !r->answered && !r->link && wants_controller(r);
}

void request_answered(struct agent *a, struct request *r) {
  if (!r->answered) a->answered++;
  r->answered = r->forgotten = true;
}

void request_settled(struct agent *a, struct request *r) {
  if (r->answered) a->answered--;
  r->answered = false;
}

void request_remove(struct agent *a, struct request *r) {
  request_settled(a, r);
  for (struct request **p = &a->first; *p; p = &(*p)->next) {
    if (*p == r) {
      *p = r->next;
      if (a->last == &r->next) a->last = p;
      break;
    }
  }
  request_free(r);
}

static struct link *find_link(struct agent *a, uint64_t own_request) {
  for (struct link *l = a->links; l; l = l->next)
    if (l->own_request == own_request && !l->broken) return l;
  return NULL;
}

void links_arm(struct agent *a) {
  uint64_t next = a->retry_at;
  for (struct link *l = a->links; l; l = l->next)
    if (!l->broken && l->welcome_by && (!next || l->welcome_by < next)) next = l->welcome_by;
  struct itimerspec t = {.it_value = {.tv_sec = (time_t)(next / 1000), .tv_nsec = (long)(next % 1000) * 1000000}};
  (void)timerfd_settime(a->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void arm_retry(struct agent *a, uint32_t ms) {
  a->retry_at = now_ms() + ms;
  links_arm(a);
}

void links_sweep(struct agent *a) {
  for (struct link **p = &a->links; *p;) {
    struct link *l = *p;
    struct request *own = l->own_request ? request_find(a, l->own_request) : NULL;
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

void link_send(struct link *l) {
  if (l->broken || l->fd < 0) return;
  if (frame_flush(l->fd, &l->out) < 0) link_break(l);
  else update_events(l);
}

static void send_request(struct link *l, struct request *r) {
  r->link = l;
  if (message_request(&l->out, r) < 0) link_break(l);
}

void link_send_outcome(struct request *r, struct step *s) {
  struct link *l = r->link;
  if (!l || l->fd < 0 || l->broken) return;
  s->asked = false;
  if (message_outcome(&l->out, r, s) < 0) link_break(l);
  link_send(l);
}

void link_up(struct link *l, int fd) {
  struct agent *a = l->agent;
  l->connecting = false;
  l->fd = fd;
  l->welcome_by = now_ms() + (a->role == ROLE_LAUNCHER ? WELCOME_COMMAND_MS : WELCOME_MS);
  links_arm(a);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
  if (epoll_ctl(a->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
    link_break(l);
    return;
  }
  if (message_hello(&l->out, a->role, a->seq, &a->record, a->context) < 0) link_break(l);
  for (struct request *r = a->first; r && !l->broken; r = r->next)
    if (wants_controller(r) && !r->link && !held_back(a, r) && (l->own_request ? r->id == l->own_request : r->strikes < STRIKES_OWN))
      send_request(l, r);
  link_send(l);
}

void request_give_up(struct agent *a, struct request *r, const char *why) {
  if (request_is_report(r) || r->answered) { /* tried again from the start, later: what has been done is to be in the record */
    r->strikes = 0;
    arm_retry(a, 1000);
    return;
  }
  uint64_t id = r->id;
  request_remove(a, r);
  a->owner.give_up(a->owner.owner, id, why);
}

void links_failed(struct agent *a, int error) {
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
    if (wants_controller(r) && !r->link) request_give_up(a, r, why);
  }
}

void links_tell_failed(struct agent *a) {
  for (struct link *l = a->links; l; l = l->next) {
    if (!l->failed || l->broken) continue;
    l->connecting = false;
    l->broken = true;
    links_failed(a, l->failed);
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

void links_dispatch(struct agent *a) {
  for (;;) {
    struct request *r = a->first;
    struct link *l = NULL;
    for (; r; r = r->next) {
      if (!wants_controller(r) || r->link || held_back(a, r)) continue;
      l = find_link(a, r->strikes >= STRIKES_OWN ? r->id : 0);
      if (l && l->connecting) continue; /* link_up sends it */
      break;
    }
    if (!r) break;
    if (l) {
      send_request(l, r);
      link_send(l);
      continue;
    }
    if (a->retry_at) break; /* it is due soon */
    open_link(a, r->strikes >= STRIKES_OWN ? r->id : 0);
  }
}

void link_break(struct link *l) {
  if (l->broken) return;
  l->broken = true;
  struct agent *a = l->agent;
  /* One that ended in its boot had not looked at any request yet. */
  bool silent = l->welcome_by != 0, held = false;
  for (struct request *r = a->first, *next; r; r = next) {
    next = r->next;
    if (r->link != l) continue;
    r->link = NULL;
    for (struct step *s = r->steps; s; s = s->next) s->asked = false;
    if (silent || r->parked || ++r->strikes < STRIKES_LAST) continue;
    held |= r->answered;
    request_give_up(a, r, "every controller ended while it served this request");
  }
  for (struct request *r = held ? a->first : NULL, *next; r; r = next) {
    next = r->next;
    if (held_back(a, r)) request_give_up(a, r, "every controller ended while it served the one before");
  }
  if (silent) links_failed(a, ECONNRESET);
}

/* What waits for a controller that has not said a word is not to blame, and would wait no less for the next. */
static void give_up_silent(struct link *l) {
  struct agent *a = l->agent;
  l->broken = true;
  for (struct request *r = a->first, *next; r; r = next) {
    next = r->next;
    if (r->link != l && !held_back(a, r)) continue;
    r->link = NULL;
    request_give_up(a, r, "the controller does not answer");
  }
}

void links_timer_fired(struct agent *a) {
  uint64_t ticks, moment = now_ms();
  if (read(a->timer, &ticks, sizeof ticks) < 0) return;
  if (a->retry_at <= moment) a->retry_at = 0;
  for (struct link *l = a->links; l; l = l->next)
    if (!l->broken && l->welcome_by && l->welcome_by <= moment) give_up_silent(l);
  links_arm(a);
}
