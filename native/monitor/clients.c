#define _GNU_SOURCE
#include "clients.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/frame.h"
#include "../common/peer.h"
#include "front.h"
#include "loop.h"
#include "ttrpc.h"
#include "unread.h"

/* What a monitor keeps of requests that are not answered (trap 15): their bytes, and what each takes beside them. Short requests
 * (a Kill) have a reserve beyond. */
#define CLIENT_LIMIT (16u << 20)
#define TOTAL_LIMIT (64u << 20)
#define REQUEST_COST (16u << 10)
#define SHORT_REQUEST 4096
#define SHORT_RESERVE (1u << 20)
/* Requests of one client that are being worked on (those that only wait do not count): what comes beyond stays unread until others
 * are answered, so that nobody waits behind a flood. */
#define RUNNING_MAX 256
/* Answers that a client does not take: no more requests are read from it, and beyond the limit it is given up. */
#define OUT_PAUSE (256u << 10)
#define OUT_LIMIT (16u << 20)
/* Connections at a time, so that descriptors are left for the work itself; others wait in the backlog. */
#define CLIENTS_MAX 512
/* Requests of connections that have gone and are still being worked on: where there are more, no connection is taken, so that who
 * comes, asks and goes makes no longer queue than who stays. */
#define ORPHANS_MAX 64
#define ACCEPT_TURN 32

struct client {
  struct client *next;
  struct source source;
  uint64_t id;
  uint32_t last_stream;
  size_t unanswered; /* what its requests cost, the one that is being received among them */
  size_t receiving;  /* the cost of that one, 0 where there is none */
  size_t skip;       /* what is left of a message that is not taken */
  unsigned running;  /* its requests that are neither answered nor parked */
  struct buf in, out;
  bool stopped;      /* there is input that its running requests keep from being looked at */
  bool speaks_ttrpc; /* its first bytes have been seen */
  bool broken;
};

struct call {
  struct call *next;
  uint64_t request, client;
  uint32_t stream;
  size_t cost;
  bool parked;
  bool orphan; /* its client has gone */
};

static struct client *clients;
static struct call *calls;
static struct source listener = {.fd = -1};
static struct agent *agent;
static uint64_t next_id;
static size_t total;
static unsigned count, orphans;
static bool full;

static struct client *find_client(uint64_t id) {
  for (struct client *c = clients; c; c = c->next)
    if (c->id == id) return c;
  return NULL;
}

static bool may_accept(void) { return count < CLIENTS_MAX && orphans < ORPHANS_MAX; }

static void accept_again(void) {
  if (!full || !may_accept() || listener.fd < 0) return;
  full = false;
  (void)loop_watch(&listener, EPOLLIN);
}

/* Waits of this connection may be parked, and nobody will take their answers. Told once none of its calls is worked on, as one of them may be a Wait
 * that is about to be parked. */
static void tell_gone(uint64_t client) {
  for (const struct call *k = calls; k; k = k->next)
    if (k->client == client) return;
  struct buf body = {0};
  if (buf_u64(&body, client) == 0) (void)agent_request(agent, REQUEST_DISCONNECTED, body.data, body.len, NULL);
  buf_free(&body);
}

/* Out of the list, with its bytes; its descriptor stays open. */
static void client_remove(struct client *c) {
  for (struct client **p = &clients; *p; p = &(*p)->next) {
    if (*p != c) continue;
    *p = c->next;
    break;
  }
  loop_unwatch(&c->source);
  buf_free(&c->in);
  buf_free(&c->out);
  free(c);
  count--;
  unread_recheck(); /* with nobody to tell, nobody loses anything */
  accept_again();
}

static void client_close(struct client *c) {
  bool had_calls = false;
  for (struct call **p = &calls; *p;) {
    struct call *k = *p;
    if (k->client != c->id) {
      p = &k->next;
      continue;
    }
    had_calls = true;
    agent_forget(agent, k->request);
    if (!k->parked) { /* its handler is to finish, and it costs what it costs until then */
      k->orphan = true;
      orphans++;
      p = &k->next;
      continue;
    }
    total -= k->cost;
    *p = k->next;
    free(k);
  }
  total -= c->receiving;
  if (had_calls) tell_gone(c->id);
  int fd = c->source.fd;
  client_remove(c);
  close(fd);
}

/* Sends what it can. The client is closed later, from its own event, where it is broken. */
static void flush(struct client *c) {
  if (frame_flush(c->source.fd, &c->out) < 0 || c->out.len > OUT_LIMIT) c->broken = true;
  /* So that the event comes at once, also where the other side takes nothing. */
  if (c->broken) (void)shutdown(c->source.fd, SHUT_RDWR);
  bool room = c->out.len < OUT_PAUSE && c->running < RUNNING_MAX;
  /* What was read and is not looked at yet is taken from the client's own event, too. */
  bool more = c->out.len > 0 || c->broken || (room && c->stopped);
  /* Nothing is read behind what is not looked at yet: a read takes more than the requests that an answer makes room for. */
  (void)loop_change(&c->source, (room && !c->stopped ? EPOLLIN : 0u) | (more ? EPOLLOUT : 0u));
}

static struct call *take_call(uint64_t request) {
  for (struct call **p = &calls; *p; p = &(*p)->next) {
    if ((*p)->request != request) continue;
    struct call *k = *p;
    *p = k->next;
    total -= k->cost;
    struct client *c = find_client(k->client);
    if (c) c->unanswered -= k->cost;
    if (c && !k->parked) c->running--;
    if (k->orphan) {
      orphans--;
      accept_again();
      tell_gone(k->client);
    }
    return k;
  }
  return NULL;
}

void client_answer(uint64_t request, const uint8_t *response, size_t len) {
  struct call *k = take_call(request);
  if (!k) return; /* its connection is gone */
  struct client *c = find_client(k->client);
  if (c) {
    if (len > TTRPC_MESSAGE_MAX) {
      if (ttrpc_append_error(&c->out, k->stream, RPC_RESOURCE_EXHAUSTED, "the answer is longer than a message may be") < 0) c->broken = true;
    } else if (ttrpc_append(&c->out, k->stream, TTRPC_RESPONSE, response, len) < 0) {
      c->broken = true;
    }
    flush(c);
  }
  free(k);
}

void client_give_up(uint64_t request, const char *why) {
  struct call *k = take_call(request);
  if (!k) return;
  struct client *c = find_client(k->client);
  char text[256];
  snprintf(text, sizeof text, "berth: %s", why);
  if (c) {
    /* Never code 12: to Create it means that this shim does not know the call (trap 4). */
    if (ttrpc_append_error(&c->out, k->stream, RPC_UNKNOWN, text) < 0) c->broken = true;
    flush(c);
  }
  free(k);
}

void client_parked(uint64_t request) {
  struct call *k = calls;
  while (k && k->request != request) k = k->next;
  struct client *c = k ? find_client(k->client) : NULL;
  if (k && k->orphan) free(take_call(request));
  if (!c || k->parked) return;
  k->parked = true;
  c->running--;
  flush(c);
}

bool clients_there(void) { return count > 0; }

int clients_unsent(void) {
  for (struct client *c = clients; c; c = c->next)
    if (c->out.len && !c->broken) return 1;
  return 0;
}

static bool refuse(struct client *c, uint32_t stream, enum rpc_code code, const char *why) {
  return ttrpc_append_error(&c->out, stream, code, why) == 0;
}

static void charge(struct client *c, size_t cost) {
  c->receiving = cost;
  c->unanswered += cost;
  total += cost;
}

static void discharge(struct client *c) {
  c->unanswered -= c->receiving;
  total -= c->receiving;
  c->receiving = 0;
}

/* Decides by its header whether a message is taken, before any byte of it is kept. What is not is skipped, and answered where the
 * reference does. False: the connection can't go on. */
static bool admit(struct client *c, struct ttrpc_header h) {
  size_t reserve = h.length <= SHORT_REQUEST ? SHORT_RESERVE : 0, cost = h.length + REQUEST_COST;
  c->skip = h.length;
  if (h.length > TTRPC_MESSAGE_MAX)
    return refuse(c, h.stream, RPC_RESOURCE_EXHAUSTED, "message length exceeds maximum message size of 4194304");
  if (h.stream % 2 == 0) return refuse(c, h.stream, RPC_INVALID_ARGUMENT, "StreamID must be odd for client initiated streams");
  /* Streams are not part of the task API: none was ever opened. */
  if (h.type == TTRPC_DATA) return refuse(c, h.stream, RPC_INVALID_ARGUMENT, "StreamID is no longer active");
  if (h.type != TTRPC_REQUEST) return true;
  if (h.stream <= c->last_stream) return refuse(c, h.stream, RPC_INVALID_ARGUMENT, "StreamID cannot be re-used and must increment");
  c->last_stream = h.stream;
  if (c->unanswered + cost > CLIENT_LIMIT + reserve || total + cost > TOTAL_LIMIT + reserve)
    return refuse(c, h.stream, RPC_RESOURCE_EXHAUSTED, "berth: too many bytes of unanswered requests");
  c->skip = 0;
  charge(c, cost);
  return true;
}

static bool on_request(struct client *c, struct ttrpc_header h, const uint8_t *message) {
  struct buf body = {.secret = true};
  struct call *k = calloc(1, sizeof *k);
  bool taken = false;
  if (k && buf_u64(&body, c->id) == 0 && buf_u64(&body, clock_ns()) == 0 && buf_bytes(&body, message, h.length) == 0) {
    *k = (struct call){.next = calls, .client = c->id, .stream = h.stream, .cost = c->receiving};
    /* Known first: it may be given up at once. */
    calls = k;
    c->running++;
    taken = agent_request(agent, REQUEST_TTRPC, body.data, body.len, &k->request);
    if (!taken) {
      calls = k->next;
      c->running--;
    }
  }
  buf_free(&body);
  if (!taken) {
    free(k);
    discharge(c);
    return refuse(c, h.stream, RPC_RESOURCE_EXHAUSTED, "berth: out of memory");
  }
  c->receiving = 0;
  return true;
}

/* Takes the whole messages from the input, as far as its requests may go; false where the connection can't go on. */
static bool take_messages(struct client *c) {
  size_t used = 0;
  bool ok = true;
  while (ok && c->running < RUNNING_MAX) {
    if (c->skip) {
      size_t n = c->in.len - used < c->skip ? c->in.len - used : c->skip;
      c->skip -= n;
      used += n;
      if (c->skip) break;
    }
    if (c->in.len - used < TTRPC_HEADER) break;
    struct ttrpc_header h = ttrpc_read_header(c->in.data + used);
    if (!c->receiving) {
      ok = admit(c, h);
      if (!c->receiving) {
        used += TTRPC_HEADER;
        continue;
      }
    }
    if (c->in.len - used - TTRPC_HEADER < h.length) break;
    ok = on_request(c, h, c->in.data + used + TTRPC_HEADER);
    used += TTRPC_HEADER + h.length;
  }
  c->stopped = c->running >= RUNNING_MAX && used < c->in.len;
  if (used == c->in.len) buf_free(&c->in);
  else if (used) buf_drop(&c->in, used);
  return ok;
}

/* Whether it speaks HTTP/2: then it has been handed to a front, and is gone. */
static bool handed_over(struct client *c) {
  if (c->speaks_ttrpc) return false;
  switch (front_speaks(c->in.data, c->in.len)) {
    case FRONT_UNKNOWN: return false;
    case FRONT_NO: c->speaks_ttrpc = true; return false;
    case FRONT_YES: break;
  }
  struct buf first = c->in;
  int fd = c->source.fd;
  c->in = (struct buf){0};
  client_remove(c);
  front_start(fd, &first);
  return true;
}

static void client_ready(struct source *s, uint32_t events) {
  struct client *c = (struct client *)((char *)s - offsetof(struct client, source));
  /* Both directions are shut: what it asked, nobody waits for any more. So who comes, asks and goes makes no work. */
  if (events & (EPOLLHUP | EPOLLERR)) {
    client_close(c);
    return;
  }
  if (events & EPOLLIN) {
    ssize_t n = frame_fill(s->fd, &c->in, 64 << 10);
    if (n == 0 || (n < 0 && errno != EAGAIN)) c->broken = true;
    else if (n > 0 && handed_over(c)) return;
  }
  if (c->speaks_ttrpc && c->in.len > 0 && !take_messages(c)) c->broken = true;
  if (!c->broken) flush(c);
  if (c->broken) client_close(c);
}

static int add(int fd, bool speaks_ttrpc) {
  struct client *c = calloc(1, sizeof *c);
  if (c) {
    *c = (struct client){.next = clients, .source = {fd, client_ready}, .id = ++next_id, .speaks_ttrpc = speaks_ttrpc};
    c->in.secret = c->out.secret = true;
    if (loop_watch(&c->source, EPOLLIN) == 0) {
      clients = c;
      count++;
      return 0;
    }
  }
  free(c);
  close(fd);
  return -1;
}

int client_add(int fd) { return add(fd, true); }

static void accept_ready(struct source *s, uint32_t events) {
  (void)events;
  /* Several at a time: where the backlog is full, connect(2) fails at once. */
  for (int turn = 0; turn < ACCEPT_TURN; turn++) {
    if (!may_accept()) {
      full = true;
      loop_unwatch(s);
      return;
    }
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      static struct timer again;
      loop_accept_failed(s, &again);
      return;
    }
    if (peer_check(fd, false) < 0) close(fd); /* as the reference: a peer of the same uid, nobody else */
    else (void)add(fd, false);
  }
}

int clients_listen(int fd, struct agent *a) {
  agent = a;
  listener = (struct source){fd, accept_ready};
  return loop_watch(&listener, EPOLLIN);
}

void clients_stop_listening(void) {
  if (listener.fd < 0) return;
  loop_unwatch(&listener);
  close(listener.fd);
  listener.fd = -1;
}
