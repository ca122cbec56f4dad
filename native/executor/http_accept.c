/* Who accepts the HTTP proxy's connections: a process that asks the kernel of each whether it is one that was led here, takes where it was
 * going, and passes both on to the worker; what nobody led here (a neighbour in the network namespace, say) is reset (trap 23).
 *
 * It never waits for the worker, so that hardly a moment lies between a connection and its note: the note is gone with the socket that it is
 * of, and only a connection whose own client has gone in silence, while it waited to be accepted, could meet the note of another's. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/rights.h"
#include "aside.h"
#include "bpf.h"
#include "executor.h"
#include "ops.gen.h"
#include "process.h"

/* Connections that the worker has yet to take. */
#define WAITING_MAX 256
#define LINE_MAX_LEN 160
#define CLOSED 7 /* TCP_CLOSE of the kernel's states, which <netinet/tcp.h> has in an enum */

/* src/bpf/redirect.ts */
struct endpoint {
  uint32_t family, port;
  uint8_t address[16];
};
struct note {
  uint64_t cookie;
  struct endpoint destination;
};
_Static_assert(sizeof(struct endpoint) == 24 && sizeof(struct note) == 32, "src/bpf/redirect.ts has it so");

struct waiting {
  int fd;
  size_t len;
  char line[LINE_MAX_LEN];
};

struct acceptor {
  int listeners[2]; /* -1: none */
  int connections;  /* the map */
  int channel;
  int init;  /* pidfd of the container's first process: it ends with that */
  int guard; /* the container's guard is at its other end: they end with each other */
  size_t first, count; /* of `queue`, a ring */
  struct waiting queue[WAITING_MAX];
};

/* The note of a connection, which is gone with that. 0, or -1 where there is none. */
static int take_note(int map, const struct endpoint *client, struct note *note) {
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.map_fd = (uint32_t)map;
  attr.key = (uint64_t)(uintptr_t)client;
  attr.value = (uint64_t)(uintptr_t)note;
  return bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr);
}

static int client_of(int sock, struct endpoint *client) {
  struct sockaddr_storage peer;
  socklen_t len = sizeof peer;
  memset(client, 0, sizeof *client);
  if (getpeername(sock, (struct sockaddr *)&peer, &len) != 0) return -1;
  if (peer.ss_family == AF_INET) {
    const struct sockaddr_in *ip4 = (const struct sockaddr_in *)&peer;
    *client = (struct endpoint){.family = 4, .port = ntohs(ip4->sin_port)};
    memcpy(client->address, &ip4->sin_addr, sizeof ip4->sin_addr);
    return 0;
  }
  const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)&peer;
  *client = (struct endpoint){.family = 6, .port = ntohs(ip6->sin6_port)};
  memcpy(client->address, &ip6->sin6_addr, sizeof ip6->sin6_addr);
  return 0;
}

static bool alive(int sock) {
  struct tcp_info info;
  socklen_t len = sizeof info;
  return getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state != CLOSED;
}

/* As the worker's Node reads a message with a handle from its channel. */
static int describe(const struct endpoint *to, struct waiting *entry) {
  char address[INET6_ADDRSTRLEN];
  if (inet_ntop(to->family == 4 ? AF_INET : AF_INET6, to->address, address, sizeof address) == NULL) return -1;
  int len = snprintf(entry->line, sizeof entry->line,
                     "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":{\"address\":\"%s\",\"port\":%u}}\n", address,
                     (unsigned)ntohs((uint16_t)to->port));
  entry->len = (size_t)len;
  return len > 0 && (size_t)len < sizeof entry->line ? 0 : -1;
}

/* A connection that is refused is reset: its client is to know at once. */
static void reset(int sock) {
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(sock, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void consider(struct acceptor *a, int sock) {
  struct endpoint client;
  struct note note;
  struct waiting *entry = &a->queue[(a->first + a->count) % WAITING_MAX];
  /* The order counts: a note that was there while the connection is alive is its own. */
  bool led = client_of(sock, &client) == 0 && take_note(a->connections, &client, &note) == 0 && alive(sock);
  if (!led || a->count == WAITING_MAX || describe(&note.destination, entry) != 0) {
    reset(sock);
    fd_close(&sock);
    return;
  }
  entry->fd = sock;
  a->count++;
}

/* All there are. */
static void accept_from(struct acceptor *a, int listener) {
  for (;;) {
    int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock >= 0)
      consider(a, sock);
    else if (errno != EINTR && errno != ECONNABORTED)
      return;
  }
}

/* A line and its descriptor, in one message: such a short one is sent whole or not at all. */
static int send_entry(int channel, const struct waiting *entry) {
  ssize_t sent = rights_send(channel, entry->line, entry->len, &entry->fd, 1, MSG_DONTWAIT);
  if (sent == (ssize_t)entry->len) return 1;
  return sent < 0 && (errno == EAGAIN || errno == ETOOMANYREFS) ? 0 : -1;
}

/* 0, or -1 where the worker is gone. */
static int pass_on(struct acceptor *a) {
  while (a->count > 0) {
    struct waiting *entry = &a->queue[a->first];
    int sent = send_entry(a->channel, entry);
    if (sent <= 0) return sent;
    fd_close(&entry->fd);
    a->first = (a->first + 1) % WAITING_MAX;
    a->count--;
  }
  return 0;
}

/* What the worker says are acknowledgements, which nobody waits for. 0, or -1 where it is gone. */
static int hear(int channel) {
  char bytes[4096];
  ssize_t got;
  do got = recv(channel, bytes, sizeof bytes, MSG_DONTWAIT);
  while (got > 0 || (got < 0 && errno == EINTR));
  return got < 0 && errno == EAGAIN ? 0 : -1;
}

/* Until the container, its guard or the worker ends. */
static void serve(void *what) {
  struct acceptor *a = what;
  for (;;) {
    struct pollfd pollers[5] = {
        {.fd = a->channel, .events = (short)(POLLIN | (a->count > 0 ? POLLOUT : 0))},
        {.fd = a->listeners[0], .events = POLLIN},
        {.fd = a->listeners[1], .events = POLLIN},
        {.fd = a->init, .events = POLLIN},
        {.fd = a->guard, .events = POLLIN},
    };
    if (poll(pollers, 5, -1) < 0 && errno != EINTR) return;
    if (pollers[3].revents != 0 || pollers[4].revents != 0) return;
    for (int i = 0; i < 2; i++)
      if (pollers[1 + i].revents != 0) accept_from(a, a->listeners[i]);
    if ((pollers[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && hear(a->channel) != 0) return;
    if (pass_on(a) != 0) return;
  }
}

int run_http_accept(struct executor *ex, const struct op_http_accept *op, struct buf *result) {
  (void)result;
  static struct acceptor acceptor; /* too large for a stack */
  _cleanup_fd_ int init = process_open(ex->pid, ex->start_time), pidfd = -1;
  if (init < 0) return fail_sys(&ex->fail, "pidfd_open", "the container's process");
  acceptor = (struct acceptor){
      .listeners = {slot_fd(ex, op->ip4), ex->slots[op->ip6 % SLOTS]},
      .connections = slot_fd(ex, op->connections),
      .channel = slot_fd(ex, op->channel),
      .init = init,
      .guard = slot_fd(ex, op->guard),
  };
  if (acceptor.listeners[0] < 0 || acceptor.connections < 0 || acceptor.channel < 0 || acceptor.guard < 0) return -1;
  int *const mine[] = {&acceptor.channel, &acceptor.connections, &acceptor.init, &acceptor.guard, &acceptor.listeners[0], &acceptor.listeners[1]};
  const struct aside aside = {
      .name = "berth-accept", .record = op->record, .mine = mine, .count = sizeof mine / sizeof *mine, .work = serve, .what = &acceptor};
  return aside_start(ex, &aside, &pidfd) < 0 ? -1 : 0;
}
