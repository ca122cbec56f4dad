#define _GNU_SOURCE
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/frame.h"
#include "clients.h"
#include "connector.h"
#include "loop.h"
#include "messages.h"

/* Bytes on their way to one who does not take them; where they come from is not read meanwhile. */
#define HELD (256u << 10)
#define CHUNK (64u << 10)

struct front {
  struct front *next;
  uint64_t ticket;
  struct source client; /* containerd */
  struct source link;   /* the controller; fd -1 while it starts */
  struct source calls;  /* the other end is one of clients.c */
  struct buf to_client, to_link, to_calls, from_link;
};

static struct front *fronts;
static uint64_t next_ticket;
static void (*on_end)(void);

bool fronts_open(void) { return fronts != NULL; }
void fronts_on_end(void (*ended)(void)) { on_end = ended; }

enum front_speaks front_speaks(const uint8_t *first, size_t len) {
  /* RFC 9113, 3.4. As a header of ttrpc it would announce a message of more than a gigabyte. */
  static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  const size_t whole = sizeof preface - 1;
  if (memcmp(first, preface, len < whole ? len : whole) != 0) return FRONT_NO;
  return len < whole ? FRONT_UNKNOWN : FRONT_YES;
}

static void source_close(struct source *s) {
  if (s->fd < 0) return;
  loop_unwatch(s);
  close(s->fd);
  s->fd = -1;
}

static void front_close(struct front *f) {
  for (struct front **p = &fronts; *p; p = &(*p)->next) {
    if (*p != f) continue;
    *p = f->next;
    break;
  }
  source_close(&f->client);
  source_close(&f->link);
  source_close(&f->calls);
  buf_free(&f->to_client);
  buf_free(&f->to_link);
  buf_free(&f->to_calls);
  buf_free(&f->from_link);
  free(f);
  if (on_end) on_end();
}

/* What the controller says waits for room with both of those it is for, as they share the link. */
static bool link_may_speak(const struct front *f) { return f->to_client.len < HELD && f->to_calls.len < HELD; }

static uint32_t interest(bool read, const struct buf *out) { return (read ? EPOLLIN : 0u) | (out->len ? EPOLLOUT : 0u); }

/* Sends what can be sent, and asks for what is wanted next. False: somebody has gone. */
static bool settle(struct front *f) {
  if (frame_flush(f->client.fd, &f->to_client) < 0 || frame_flush(f->calls.fd, &f->to_calls) < 0) return false;
  if (f->link.fd >= 0 && frame_flush(f->link.fd, &f->to_link) < 0) return false;
  bool room = f->to_link.len < HELD;
  if (loop_change(&f->client, interest(room, &f->to_client)) < 0 || loop_change(&f->calls, interest(room, &f->to_calls)) < 0) return false;
  return f->link.fd < 0 || loop_change(&f->link, interest(link_may_speak(f), &f->to_link)) == 0;
}

static bool append(struct front *f, uint8_t type, const struct buf *bytes) {
  size_t at = frame_begin(&f->to_link, type);
  return at != (size_t)-1 && buf_bytes(&f->to_link, bytes->data, bytes->len) == 0 && frame_end(&f->to_link, at) == 0;
}

/* Reads from one side and passes it on to the controller. */
static bool forward(struct front *f, struct source *from, uint8_t type) {
  struct buf chunk = {.secret = true};
  ssize_t n = frame_fill(from->fd, &chunk, CHUNK);
  bool ok = n > 0 ? append(f, type, &chunk) : n < 0 && errno == EAGAIN;
  buf_free(&chunk);
  return ok;
}

static bool hear(struct front *f) {
  ssize_t n = frame_fill(f->link.fd, &f->from_link, CHUNK);
  if (n <= 0) return n < 0 && errno == EAGAIN;
  struct frame frame;
  size_t size, used = 0;
  int got;
  for (;;) {
    struct buf rest = {.data = f->from_link.data + used, .len = f->from_link.len - used};
    if ((got = frame_next(&rest, &frame, &size)) <= 0) break;
    struct buf *to = frame.type == MSG_WIRE ? &f->to_client : frame.type == MSG_CALLS ? &f->to_calls : NULL;
    struct span bytes = to ? reader_bytes(&frame.body) : (struct span){0};
    if (to ? frame.body.bad || frame.body.left || buf_append(to, bytes.data, bytes.len) < 0 : frame.type != MSG_WELCOME) return false;
    used += size;
  }
  if (used == f->from_link.len) buf_free(&f->from_link);
  else if (used) buf_drop(&f->from_link, used);
  return got == 0;
}

static void ready(struct front *f, bool ok) {
  if (!ok || !settle(f)) front_close(f);
}

#define READABLE (EPOLLIN | EPOLLHUP | EPOLLERR)

static void client_ready(struct source *s, uint32_t events) {
  struct front *f = (struct front *)((char *)s - offsetof(struct front, client));
  ready(f, !(events & READABLE) || forward(f, s, MSG_WIRE));
}
static void calls_ready(struct source *s, uint32_t events) {
  struct front *f = (struct front *)((char *)s - offsetof(struct front, calls));
  ready(f, !(events & READABLE) || forward(f, s, MSG_CALLS));
}
static void link_ready(struct source *s, uint32_t events) {
  struct front *f = (struct front *)((char *)s - offsetof(struct front, link));
  ready(f, !(events & READABLE) || hear(f));
}

static void connected(uint64_t ticket, int fd, int error) {
  (void)error;
  struct front *f = fronts;
  while (f && f->ticket != ticket) f = f->next;
  if (!f) {
    if (fd >= 0) close(fd);
    return;
  }
  f->link = (struct source){fd, link_ready};
  ready(f, fd >= 0 && loop_watch(&f->link, EPOLLIN) == 0);
}

void front_start(int fd, struct buf *first) {
  static const struct buf no_record;
  int pair[2] = {-1, -1};
  struct front *f = calloc(1, sizeof *f);
  if (!f || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
    free(f);
    buf_free(first);
    close(fd);
    return;
  }
  *f = (struct front){.next = fronts, .ticket = ++next_ticket, .client = {fd, client_ready}, .link = {-1, link_ready}, .calls = {pair[0], calls_ready}};
  f->to_client.secret = f->to_link.secret = f->to_calls.secret = f->from_link.secret = true;
  fronts = f;
  bool ok = client_add(pair[1]) == 0 && message_hello(&f->to_link, ROLE_FRONT, 0, &no_record, NULL) == 0 &&
            append(f, MSG_WIRE, first) && loop_watch(&f->client, EPOLLIN) == 0 && loop_watch(&f->calls, EPOLLIN) == 0 &&
            connector_start(true, f->ticket, connected) == 0;
  buf_free(first);
  ready(f, ok);
}
