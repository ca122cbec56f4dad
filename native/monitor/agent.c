#include "agent.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../common/frame.h"
#include "links.h"
#include "messages.h"
#include "said.h"

static void read_link(struct link *l) {
  ssize_t n = frame_fill(l->fd, &l->in, 256 << 10);
  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    link_break(l);
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
    if (ok && f.type == MSG_STEP) ok = said_step(l, &f.body);
    else if (ok && f.type == MSG_COMMIT) ok = said_commit(l, &f.body);
    else if (ok) ok = f.type == MSG_WELCOME;
    if (l->welcome_by) {
      l->welcome_by = 0;
      l->agent->failed_connects = 0;
      links_arm(l->agent);
    }
    if (!ok) {
      link_break(l);
      return;
    }
    used += size;
  }
  if (used == l->in.len) buf_free(&l->in);
  else if (used) buf_drop(&l->in, used);
}

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
  links_sweep(a);
  while (a->first) request_remove(a, a->first);
  buf_free(&a->record);
  if (a->epoll >= 0) close(a->epoll);
  if (a->timer >= 0) close(a->timer);
  free(a);
}

int agent_fd(const struct agent *a) { return a->epoll; }

const struct buf *agent_record(const struct agent *a) { return &a->record; }

bool agent_request(struct agent *a, enum request_kind kind, const uint8_t *body, size_t len, uint64_t *id) {
  struct request *r = calloc(1, sizeof *r);
  if (!r) return false;
  r->body.secret = true;
  if (buf_append(&r->body, body, len) < 0) {
    free(r);
    return false;
  }
  r->id = ++a->next_id;
  if (id) *id = r->id;
  r->kind = kind;
  *a->last = r;
  a->last = &r->next;
  links_dispatch(a);
  return true;
}

void agent_forget(struct agent *a, uint64_t id) {
  struct request *r = request_find(a, id);
  if (r && r->parked) request_remove(a, r);
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
    links_failed(a, error);
  }
  links_dispatch(a);
}

void agent_ready(struct agent *a) {
  struct epoll_event events[8];
  int n = epoll_wait(a->epoll, events, 8, 0);
  for (int i = 0; i < n; i++) {
    struct link *l = events[i].data.ptr;
    if (!l) {
      links_timer_fired(a);
      links_tell_failed(a);
      continue;
    }
    if (!l->broken && (events[i].events & EPOLLOUT)) link_send(l);
    if (!l->broken && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) read_link(l);
  }
  links_dispatch(a);
  links_sweep(a);
}
