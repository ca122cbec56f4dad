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
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/rights.h"
#include "../common/sys.h"
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
  int init;   /* pidfd of the container's first process: it ends with that */
  int cgroup; /* its v2 directory */
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

/* No process of the container goes on without the proxy that its policy wants (trap 18). */
static void kill_container(const struct acceptor *a) {
  _cleanup_fd_ int all = openat(a->cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC); /* Linux 5.14 */
  if (all >= 0) (void)!write(all, "1", 1);
  (void)sys_pidfd_send_signal(a->init, SIGKILL);
}

/* Until the container or the worker ends. */
static void serve(struct acceptor *a) {
  for (;;) {
    struct pollfd pollers[4] = {
        {.fd = a->channel, .events = (short)(POLLIN | (a->count > 0 ? POLLOUT : 0))},
        {.fd = a->listeners[0], .events = POLLIN},
        {.fd = a->listeners[1], .events = POLLIN},
        {.fd = a->init, .events = POLLIN},
    };
    if (poll(pollers, 4, -1) < 0 && errno != EINTR) return;
    if (pollers[3].revents != 0) return;
    for (int i = 0; i < 2; i++)
      if (pollers[1 + i].revents != 0) accept_from(a, a->listeners[i]);
    if ((pollers[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && hear(a->channel) != 0) return;
    if (pass_on(a) != 0) return;
  }
}

/* Moves the descriptors out of each other's way and then to 3 and up; all others go. 0 or -1. */
static int keep_only(struct acceptor *a) {
  int *mine[] = {&a->channel, &a->connections, &a->init, &a->cgroup, &a->listeners[0], &a->listeners[1]};
  int next = 3;
  for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
    if (*mine[i] >= 0 && (*mine[i] = fcntl(*mine[i], F_DUPFD_CLOEXEC, 16)) < 0) return -1;
  for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) {
    if (*mine[i] < 0) continue;
    if (dup3(*mine[i], next, O_CLOEXEC) < 0) return -1;
    *mine[i] = next++;
  }
  return sys_close_range((unsigned)next, ~0u, 0);
}

/* Ends with its guard, as nobody would see its own end then. */
static _Noreturn void accept_all(struct acceptor *a, pid_t guard) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == guard) serve(a);
  _exit(0);
}

/* Accepts in a process of its own, and sees to it that the container has ended when that ends, for whatever reason (trap 18). */
static _Noreturn void live(struct acceptor *a) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  signals_reset();
  bool ready = null >= 0 && setsid() >= 0 && prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  for (int i = 0; i < 3; i++) ready = ready && dup2(null, i) >= 0;
  (void)prctl(PR_SET_NAME, "berth-accept");
  ready = ready && chdir("/") == 0 && keep_only(a) == 0;
  pid_t guard = getpid(), pid = ready ? fork() : -1;
  if (pid == 0) accept_all(a, guard);
  int *accepting[] = {&a->channel, &a->connections, &a->listeners[0], &a->listeners[1]};
  for (size_t i = 0; i < sizeof accepting / sizeof *accepting; i++) fd_close(accepting[i]);
  while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
  if (process_ended(a->init, 0) == 0) kill_container(a);
  _exit(0);
}

/* Nobody's child for long: who reaps orphans is there for it. */
static _Noreturn void leave(struct acceptor *a) {
  pid_t pid = fork();
  if (pid == 0) live(a);
  _exit(pid < 0 ? 1 : 0);
}

int run_http_accept(struct executor *ex, const struct op_http_accept *op, struct buf *result) {
  (void)result;
  static struct acceptor acceptor; /* too large for a stack */
  _cleanup_fd_ int init = process_open(ex->pid, ex->start_time), cgroup = open(op->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (init < 0) return fail_sys(&ex->fail, "pidfd_open", "the container's process");
  if (cgroup < 0) return fail_sys(&ex->fail, "open", op->cgroup);
  acceptor = (struct acceptor){
      .listeners = {slot_fd(ex, op->ip4), ex->slots[op->ip6 % SLOTS]},
      .connections = slot_fd(ex, op->connections),
      .channel = slot_fd(ex, op->channel),
      .init = init,
      .cgroup = cgroup,
  };
  if (acceptor.listeners[0] < 0 || acceptor.connections < 0 || acceptor.channel < 0) return -1;
  pid_t pid = fork();
  if (pid < 0) return fail_sys(&ex->fail, "fork", "acceptor");
  if (pid == 0) leave(&acceptor);
  int status;
  pid_t got;
  do got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR);
  if (got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  return fail_msg(&ex->fail, EAGAIN, "acceptor", "could not be started");
}
