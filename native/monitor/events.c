#define _GNU_SOURCE
#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../common/frame.h"
#include "loop.h"
#include "ttrpc.h"

#define SERVICE "containerd.services.events.ttrpc.v1.Events"
#define METHOD "Forward"
#define ANSWER_MS 5000 /* as the reference: how long containerd may take for one */
#define RETRY_MS 200   /* while it restarts its socket does not listen yet */
#define QUEUE_LIMIT (16u << 20)

struct event {
  struct event *next;
  struct buf payload;
};

static struct event *first, **last = &first;
static size_t queued;
static const char *address;
static struct source link_source = {.fd = -1};
static struct buf in, out;
static uint32_t stream;
static bool sent; /* the first event is on its way */
static void (*on_empty)(void);

static void retry_fired(struct timer *);
static void answer_late(struct timer *);
static struct timer retry = {.fire = retry_fired}, deadline = {.fire = answer_late};

void events_to(const char *to) { address = to && *to ? to : NULL; }
bool events_empty(void) { return first == NULL; }
void events_on_empty(void (*empty)(void)) { on_empty = empty; }

static void disconnect(void) {
  if (link_source.fd >= 0) {
    loop_unwatch(&link_source);
    close(link_source.fd);
  }
  link_source.fd = -1;
  buf_free(&in);
  buf_free(&out);
  sent = false;
  timer_clear(&deadline);
}

static void later(void) {
  disconnect();
  if (first && !retry.due) timer_set(&retry, RETRY_MS);
}

static void pop(void) {
  struct event *e = first;
  first = e->next;
  if (!first) last = &first;
  queued -= e->payload.len;
  buf_free(&e->payload);
  free(e);
}

static void flush(void) {
  if (frame_flush(link_source.fd, &out) < 0) {
    later();
    return;
  }
  (void)loop_change(&link_source, EPOLLIN | (out.len ? EPOLLOUT : 0u));
}

static void send_next(void);

static void link_ready(struct source *s, uint32_t events) {
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    ssize_t n = frame_fill(s->fd, &in, 4096);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
      later();
      return;
    }
    while (in.len >= TTRPC_HEADER) {
      struct ttrpc_header h = ttrpc_read_header(in.data);
      if (h.length > TTRPC_MESSAGE_MAX) {
        later();
        return;
      }
      if (in.len - TTRPC_HEADER < h.length) break;
      buf_drop(&in, TTRPC_HEADER + h.length);
      /* Any answer is one: an event that containerd refuses would be refused for ever. */
      if (h.type == TTRPC_RESPONSE && h.stream == stream && sent) {
        sent = false;
        timer_clear(&deadline);
        pop();
        if (!first && on_empty) on_empty();
      }
    }
    if (!in.len) buf_free(&in);
  }
  if (out.len) flush();
  else send_next();
}

static bool connect_now(void) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  if (strlen(address) >= sizeof to.sun_path) return false;
  strcpy(to.sun_path, address);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  /* A UNIX socket connects at once, or fails with EAGAIN where the backlog is full. */
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
    close(fd);
    return false;
  }
  link_source = (struct source){fd, link_ready};
  in.secret = out.secret = true;
  stream = 0;
  return loop_watch(&link_source, EPOLLIN) == 0;
}

static void send_next(void) {
  if (!first || sent || retry.due) return;
  if (link_source.fd < 0 && !connect_now()) {
    later();
    return;
  }
  stream = stream ? stream + 2 : 1;
  if (ttrpc_append_call(&out, stream, SERVICE, METHOD, first->payload.data, first->payload.len, (uint64_t)ANSWER_MS * 1000000u) < 0) {
    later();
    return;
  }
  sent = true;
  timer_set(&deadline, ANSWER_MS);
  flush();
}

static void retry_fired(struct timer *t) {
  (void)t;
  send_next();
}
static void answer_late(struct timer *t) {
  (void)t;
  later();
}

void events_add(const uint8_t *payload, size_t len) {
  if (!address || queued + len > QUEUE_LIMIT) return; /* a bound: containerd has been away for a hundred thousand events */
  struct event *e = calloc(1, sizeof *e);
  if (!e) return;
  e->payload.secret = true;
  if (buf_append(&e->payload, payload, len) < 0) {
    free(e);
    return;
  }
  queued += len;
  *last = e;
  last = &e->next;
  send_next();
}
