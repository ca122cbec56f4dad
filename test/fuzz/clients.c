/* Says to the monitor's side of the task API what no client says, in pieces cut anywhere, and counts the answers: a model of the
 * protocol that sees all the bytes at once has to come to the same. No controller is there, so a request that is taken is answered by
 * being given up.
 *
 *   fuzz-clients ROUNDS */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/agent.h"
#include "monitor/clients.h"
#include "monitor/front.h"
#include "monitor/loop.h"
#include "monitor/ttrpc.h"
#include "seed.h"

#define FRAMES_MAX 40

static struct agent *agent;
static struct source agent_source;

static void agent_source_ready(struct source *s, uint32_t events) {
  (void)s;
  (void)events;
  agent_ready(agent);
}
static int no_controller(void *owner, bool own, uint64_t ticket) {
  (void)owner;
  (void)own;
  (void)ticket;
  errno = ENOENT;
  return -1;
}
static void no_step(void *owner, uint64_t request, const char *step, const uint8_t *plan, size_t len) {
  (void)owner;
  (void)request;
  (void)step;
  (void)plan;
  (void)len;
  abort();
}
static void no_answer(void *owner, uint64_t request, const uint8_t *payload, size_t len) {
  (void)owner;
  (void)request;
  (void)payload;
  (void)len;
  abort();
}
static void give_up(void *owner, uint64_t request, const char *why) {
  (void)owner;
  client_give_up(request, why);
}

/* One turn of the monitor's loop, which by itself has no end. False: nothing happened for so long. */
static bool turn(int wait_ms) {
  struct epoll_event e;
  if (epoll_wait(loop_fd(), &e, 1, wait_ms) != 1) return false;
  struct source *s = e.data.ptr;
  s->ready(s, e.events);
  return true;
}

/* ---- what is said, and what it should be answered ---- */

static void put_header(struct buf *to, uint32_t length, uint32_t stream, uint32_t type) {
  uint8_t h[TTRPC_HEADER] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length,
                             (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream,
                             (uint8_t)type, (uint8_t)next_random(256)};
  put(to, h, sizeof h);
}

/* Frames of all kinds; most of them what a client might send. */
static void put_frames(struct buf *to) {
  static const uint8_t bytes[8192];
  uint32_t stream = 1;
  for (uint32_t n = 1 + next_random(FRAMES_MAX); n > 0; n--) {
    uint32_t length = next_random(20) == 0 ? next_random(sizeof bytes) : next_random(64);
    uint32_t chance = next_random(16), type = chance < 12 ? TTRPC_REQUEST : chance < 14 ? TTRPC_DATA : next_random(256);
    uint32_t id = next_random(8) ? stream : next_random(12);
    put_header(to, length, id, type);
    put(to, bytes, length);
    stream += next_random(3) * 2;
  }
}

/* The number of answers that these bytes call for. */
static size_t answers_due(const uint8_t *data, size_t len) {
  size_t due = 0;
  uint32_t last = 0;
  while (len >= TTRPC_HEADER) {
    struct ttrpc_header h = ttrpc_read_header(data);
    bool long_one = h.length > TTRPC_MESSAGE_MAX, whole = h.length <= len - TTRPC_HEADER;
    bool request = h.stream % 2 == 1 && h.type == TTRPC_REQUEST && h.stream > last && !long_one;
    if (request && whole) due++; /* one that is cut off waits for its end */
    if (!request && (long_one || h.stream % 2 == 0 || h.type == TTRPC_DATA || h.type == TTRPC_REQUEST)) due++;
    if (request) last = h.stream;
    if (!whole) break;
    data += TTRPC_HEADER + h.length;
    len -= TTRPC_HEADER + h.length;
  }
  return due;
}

/* ---- a round ---- */

struct heard {
  struct buf bytes;
  size_t answers;
};

/* Takes what has come back. Every answer is a whole frame with a status in it. */
static void hear(int fd, struct heard *heard) {
  uint8_t chunk[65536];
  ssize_t n;
  while ((n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0) put(&heard->bytes, chunk, (size_t)n);
  while (heard->bytes.len >= TTRPC_HEADER) {
    struct ttrpc_header h = ttrpc_read_header(heard->bytes.data);
    if (h.type != TTRPC_RESPONSE || h.flags != 0 || h.length < 4 || h.length > 300) abort();
    if (heard->bytes.len - TTRPC_HEADER < h.length) break;
    if (heard->bytes.data[TTRPC_HEADER] != (1 << 3 | 2)) abort(); /* the field `status` */
    heard->answers++;
    buf_drop(&heard->bytes, TTRPC_HEADER + h.length);
  }
}

static void round_of(const struct buf *said) {
  int pair[2];
  struct heard heard = {0};
  size_t due = answers_due(said->data, said->len), at = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 || client_add(pair[0]) < 0) exit(1);
  while (at < said->len) {
    size_t piece = 1 + next_random(next_random(4) ? 32 : 60000);
    ssize_t n = send(pair[1], said->data + at, piece < said->len - at ? piece : said->len - at, MSG_NOSIGNAL);
    if (n > 0) at += (size_t)n;
    else if (errno != EAGAIN) break;
    while (turn(0)) {}
    if (next_random(3)) hear(pair[1], &heard);
  }
  for (int quiet = 0; heard.answers < due && quiet < 200; quiet++) {
    while (turn(5)) quiet = 0;
    hear(pair[1], &heard);
  }
  hear(pair[1], &heard);
  if (heard.answers != due) {
    fprintf(stderr, "%zu answers where %zu are due\n", heard.answers, due);
    abort();
  }
  buf_free(&heard.bytes);
  (void)close(pair[1]);
  while (turn(0)) {}
}

static void mutate(struct buf *said) {
  for (uint32_t changes = next_random(4); changes > 0 && said->len > 1; changes--) {
    uint32_t at = next_random((uint32_t)said->len);
    if (next_random(4)) said->data[at] = (uint8_t)next_random(256);
    else said->len = at;
  }
}

/* ---- known answers ---- */

static void known_answers(void) {
  const uint8_t header[TTRPC_HEADER] = {0, 1, 2, 3, 0x80, 0, 0, 5, 1, 4};
  struct ttrpc_header h = ttrpc_read_header(header);
  expect(h.length == 0x010203 && h.stream == 0x80000005u && h.type == TTRPC_REQUEST && h.flags == 4, "a header");
  const uint8_t error[] = {0, 0, 0, 7, 0, 0, 0, 9, 2, 0, 10, 5, 8, 8, 18, 1, 'x'};
  struct buf out = {0};
  expect(ttrpc_append_error(&out, 9, RPC_RESOURCE_EXHAUSTED, "x") == 0 && out.len == sizeof error && !memcmp(out.data, error, sizeof error), "an error");
  buf_free(&out);
  static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  const uint8_t *p = (const uint8_t *)preface;
  expect(front_speaks(p, 24) == FRONT_YES && front_speaks(p, 23) == FRONT_UNKNOWN && front_speaks(p, 1) == FRONT_UNKNOWN, "HTTP/2");
  expect(front_speaks((const uint8_t *)"PRI * HTTP/2.1", 14) == FRONT_NO && front_speaks(header, sizeof header) == FRONT_NO, "not HTTP/2");
}

static int next_descriptor(void) {
  int fd = dup(0);
  (void)close(fd);
  return fd;
}

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
  const struct agent_owner owner = {.connect = no_controller, .run_step = no_step, .answer = no_answer, .give_up = give_up};
  int listeners[2];
  known_answers();
  if (wrong) return 1;
  agent = loop_init() == 0 ? agent_new(ROLE_MONITOR, &owner, NULL) : NULL;
  if (!agent || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, listeners) < 0 || clients_listen(listeners[0], agent) < 0) return 1;
  agent_source = (struct source){agent_fd(agent), agent_source_ready};
  if (loop_watch(&agent_source, EPOLLIN) < 0) return 1;
  int before = next_descriptor();
  for (uint32_t round = 0; round < rounds; round++) {
    struct buf said = {.data = NULL};
    put_frames(&said);
    mutate(&said);
    round_of(&said);
    buf_free(&said);
  }
  expect(next_descriptor() == before, "a descriptor is left");
  loop_unwatch(&agent_source);
  clients_stop_listening();
  (void)close(listeners[1]);
  agent_free(agent);
  printf("%" PRIu32 " rounds\n", rounds);
  return wrong;
}
