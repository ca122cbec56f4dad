#define _GNU_SOURCE
#include "events.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../common/frame.h"
#include "../common/reader.h"
#include "loop.h"
#include "ttrpc.h"

#define SERVICE "containerd.services.events.ttrpc.v1.Events"
#define METHOD "Forward"
#define ANSWER_MS 5000    /* as the reference: how long containerd may take for one */
#define RETRY_MS 100      /* while it restarts its socket does not listen yet; twice as long each time, */
#define RETRY_MAX_MS 1600 /* up to this: it may be gone for long */
#define QUEUE_LIMIT (4u << 20)
#define COMPACT (64u << 10)

/* What waits, each as u32 length and payload, from `front` on. One buffer: an event is short, and a mapping of its own would be a page. */
static struct buf queue = {.secret = true};
static size_t front;
static const char *address;
static struct source link_source = {.fd = -1};
static struct buf in, out;
static uint32_t stream;
static bool sent; /* the first event is on its way */
static uint64_t wait_ms = RETRY_MS;
static void (*on_empty)(void);

static void retry_fired(struct timer *);
static void answer_late(struct timer *);
static struct timer retry = {.fire = retry_fired}, deadline = {.fire = answer_late};

void events_to(const char *to) { address = to && *to ? to : NULL; }
bool events_empty(void) { return front == queue.len; }
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
  if (events_empty() || retry.due) return;
  timer_set(&retry, wait_ms);
  wait_ms = wait_ms < RETRY_MAX_MS ? wait_ms * 2 : RETRY_MAX_MS;
}

static struct span first(void) {
  struct reader r = reader_of(queue.data + front, queue.len - front);
  return reader_bytes(&r);
}

static void pop(void) {
  front += sizeof(uint32_t) + first().len;
  if (front == queue.len) buf_free(&queue);
  else if (front >= COMPACT && front >= queue.len / 2) buf_drop(&queue, front);
  else return;
  front = 0;
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
        wait_ms = RETRY_MS;
        pop();
        if (events_empty() && on_empty) on_empty();
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
  if (events_empty() || sent || retry.due) return;
  if (link_source.fd < 0 && !connect_now()) {
    later();
    return;
  }
  stream = stream ? stream + 2 : 1;
  struct span event = first();
  if (ttrpc_append_call(&out, stream, SERVICE, METHOD, event.data, event.len, (uint64_t)ANSWER_MS * 1000000u) < 0) {
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
  /* A bound: containerd has been away for tens of thousands of events. Those that came first are kept, so that what it gets is in order. */
  if (!address || queue.len - front + sizeof(uint32_t) + len > QUEUE_LIMIT) return;
  size_t end = queue.len;
  if (buf_bytes(&queue, payload, len) < 0) queue.len = end; /* no memory for it; half of it must not stay */
  else send_next();
}
