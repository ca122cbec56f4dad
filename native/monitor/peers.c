#define _GNU_SOURCE
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/frame.h"
#include "../common/peer.h"
#include "../common/peer_messages.h"
#include "../common/rights.h"
#include "jobs.h"
#include "loop.h"
#include "prepared.h"


struct peer {
  struct peer *next;
  struct source source;
  struct buf in, out;
  struct executor *executor; /* for inline plans; NULL where there are none */
  unsigned jobs;             /* executors whose outcome goes here */
  const struct prepared *verb; /* what the executor at work is for */
  bool broken;
};

static struct peer *peers;
static struct source listener = {.fd = -1};
static struct executor *quick; /* for what is prepared and can't block */
static struct peer *inline_peer;
static void (*on_end)(void);

void peers_on_end(void (*ended)(void)) { on_end = ended; }
bool peers_connected(void) { return peers != NULL; }
bool peers_unsent(void) {
  for (struct peer *p = peers; p; p = p->next)
    if (p->out.len && !p->broken) return true;
  return false;
}

/* A peer with executors at work stays in memory until they are done; their outcomes go nowhere then. */
static void peer_close(struct peer *p) {
  if (p->source.fd >= 0) {
    loop_unwatch(&p->source);
    close(p->source.fd);
    p->source.fd = -1;
  }
  p->broken = true;
  if (p->jobs) return;
  for (struct peer **q = &peers; *q; q = &(*q)->next) {
    if (*q != p) continue;
    *q = p->next;
    break;
  }
  buf_free(&p->in);
  buf_free(&p->out);
  free(p);
  if (on_end) on_end();
}

static void flush(struct peer *p) {
  if (p->broken) return;
  if (frame_flush(p->source.fd, &p->out) < 0) p->broken = true;
  (void)loop_change(&p->source, EPOLLIN | (p->out.len || p->broken ? EPOLLOUT : 0u));
}

static void send_outcome(struct peer *p, const struct buf *outcome) {
  size_t at = frame_begin(&p->out, PEER_OUTCOME);
  if (at == (size_t)-1 || buf_bytes(&p->out, outcome->data, outcome->len) < 0 || frame_end(&p->out, at) < 0) p->broken = true;
  else flush(p);
}

static void job_ended(void *context, const struct buf *outcome) {
  struct peer *p = context;
  p->jobs--;
  if (!p->broken) send_outcome(p, outcome);
  if (p->broken) peer_close(p);
}

static void run_inline(struct peer *p, struct span plan) {
  struct buf outcome = {0};
  inline_peer = p;
  if (executor_run(p->executor, plan.data, plan.len, &outcome) < 0)
    outcome_failed(&outcome, "mmap", ENOMEM, "no memory for the outcome");
  inline_peer = NULL;
  send_outcome(p, &outcome);
  buf_free(&outcome);
}

static bool on_run(struct peer *p, struct reader *body) {
  uint32_t flags = reader_u32(body);
  struct span plan = reader_bytes(body);
  if (body->bad || body->left) return false;
  if (flags & RUN_INLINE) {
    if (!p->executor) return false;
    run_inline(p, plan);
    return true;
  }
  p->jobs++;
  if (job_start(plan.data, plan.len, job_ended, p) == 0) return true;
  p->jobs--;
  struct buf outcome = {0};
  outcome_failed(&outcome, "fork", errno, "");
  send_outcome(p, &outcome);
  buf_free(&outcome);
  return true;
}

static void send_answer(struct peer *p, enum peer_verdict verdict, const uint8_t *data, size_t len) {
  size_t at = frame_begin(&p->out, PEER_ANSWER);
  if (at == (size_t)-1 || buf_u32(&p->out, verdict) < 0 || buf_bytes(&p->out, data, len) < 0 || frame_end(&p->out, at) < 0) p->broken = true;
  else flush(p);
}

/* Short and on an otherwise quiet stream: written whole or not at all. 0 or -1 with errno. */
static int send_descriptor(struct peer *p, const char *name, int fd) {
  _cleanup_buf_ struct buf frame = {0};
  size_t at = frame_begin(&frame, PEER_DESCRIPTOR);
  if (at == (size_t)-1 || buf_str(&frame, name) < 0 || frame_end(&frame, at) < 0) return -1;
  ssize_t n = rights_send(p->source.fd, frame.data, frame.len, &fd, 1, MSG_DONTWAIT);
  if (n >= 0 && (size_t)n != frame.len) errno = EMSGSIZE;
  return n >= 0 && (size_t)n == frame.len ? 0 : -1;
}

/* The program comes first, so that who asked can execute it and read on. */
static void send_lent(struct peer *p, struct span plan) {
  _cleanup_fd_ int program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
  int process = prepared_process();
  if (p->out.len || program < 0 || process < 0) send_answer(p, PEER_NOT_MINE, NULL, 0);
  else if (send_descriptor(p, "program", program) < 0 || send_descriptor(p, "init", process) < 0) p->broken = true;
  else send_answer(p, PEER_YOURS, plan.data, plan.len);
}

static void verb_done(void *context, const struct buf *outcome) {
  struct peer *p = context;
  const struct prepared *verb = p->verb;
  p->verb = NULL;
  p->jobs--;
  if (!p->broken && outcome->len && outcome->data[0] == 0) {
    struct span answer = prepared_answer(verb);
    send_answer(p, PEER_DONE, answer.data, answer.len);
  } else if (!p->broken) {
    send_answer(p, prepared_untouched(verb, outcome) ? PEER_NOT_MINE : PEER_FAILED, outcome->data, outcome->len);
  }
}

static void verb_job_ended(void *context, const struct buf *outcome) {
  struct peer *p = context;
  verb_done(p, outcome);
  if (p->broken) peer_close(p);
}

static bool on_verb(struct peer *p, struct reader *body) {
  const char *verb = reader_str(body), *word = reader_str(body);
  if (body->bad || body->left || p->verb) return false;
  switch (prepared_find(verb, word, &p->verb)) {
    case PREPARED_ENDING: return true; /* it hears the end of this connection, and looks again at what there is then */
    case PREPARED_NOTHING: send_answer(p, PEER_NOT_MINE, NULL, 0); return true;
    default: break;
  }
  struct span lent = prepared_lent(p->verb);
  if (lent.data) {
    p->verb = NULL;
    send_lent(p, lent);
    return true;
  }
  p->jobs++;
  if (prepared_run(p->verb, quick, verb_done, verb_job_ended, p) == 0) return true;
  p->jobs--;
  p->verb = NULL;
  send_answer(p, PEER_NOT_MINE, NULL, 0);
  return true;
}

static void peer_ready(struct source *s, uint32_t events) {
  struct peer *p = (struct peer *)((char *)s - offsetof(struct peer, source));
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    ssize_t n = frame_fill(s->fd, &p->in, 64 << 10);
    if (n == 0 || (n < 0 && errno != EAGAIN)) p->broken = true;
    struct frame f;
    size_t size;
    int got;
    while (!p->broken && (got = frame_next(&p->in, &f, &size)) != 0) {
      bool known = got > 0 && (f.type == PEER_RUN ? on_run(p, &f.body) : f.type == PEER_VERB && on_verb(p, &f.body));
      if (!known) p->broken = true;
      else buf_drop(&p->in, size);
    }
    if (!p->in.len) buf_free(&p->in);
  }
  if (!p->broken) flush(p);
  if (p->broken) peer_close(p);
  else if (!p->out.len && on_end) on_end();
}

static int add(int fd, struct executor *executor) {
  struct peer *p = calloc(1, sizeof *p);
  if (p) {
    *p = (struct peer){.next = peers, .source = {fd, peer_ready}, .executor = executor};
    p->in.secret = p->out.secret = true;
    if (loop_watch(&p->source, EPOLLIN) == 0) {
      peers = p;
      return 0;
    }
  }
  int error = errno;
  free(p);
  close(fd);
  errno = error;
  return -1;
}

int peers_first(int fd, struct executor *executor) { return add(fd, executor); }

static void accept_ready(struct source *s, uint32_t events) {
  (void)events;
  _cleanup_fd_ int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) {
    static struct timer again;
    loop_accept_failed(s, &again);
  } else if (peer_check(fd, true) == 0) {
    (void)add(fd_steal(&fd), NULL);
  }
}

int peers_listen(int fd, struct executor *executor) {
  quick = executor;
  listener = (struct source){fd, accept_ready};
  return loop_watch(&listener, EPOLLIN);
}

int peer_give(const char *name, int fd) {
  _cleanup_fd_ int owned = fd;
  if (!inline_peer) {
    errno = ENOTCONN;
    return -1;
  }
  return send_descriptor(inline_peer, name, owned);
}
