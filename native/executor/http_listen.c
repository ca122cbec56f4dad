/* The sockets that connections for the HTTP proxy are led to, and what its processes talk by. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "bpf.h"
#include "executor.h"
#include "ops.gen.h"
#include "process.h"

#define BACKLOG 1024

/* As they lie in the map: big endian, 0 where there is no socket. */
struct ports {
  uint32_t ip4, ip6;
};

static int listen_on(const struct sockaddr *address, socklen_t len, struct sockaddr_storage *bound) {
  _cleanup_fd_ int sock = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  const int yes = 1;
  if (sock < 0) return -1;
  if (address->sa_family == AF_INET6 && setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) != 0) return -1;
  if (bind(sock, address, len) != 0 || listen(sock, BACKLOG) != 0) return -1;
  len = sizeof *bound;
  return getsockname(sock, (struct sockaddr *)bound, &len) == 0 ? fd_steal(&sock) : -1;
}

static int listen4(uint32_t *port) {
  const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_storage bound;
  int sock = listen_on((const struct sockaddr *)&address, sizeof address, &bound);
  if (sock >= 0) *port = ((struct sockaddr_in *)&bound)->sin_port;
  return sock;
}

static int listen6(uint32_t *port) {
  const struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  struct sockaddr_storage bound;
  int sock = listen_on((const struct sockaddr *)&address, sizeof address, &bound);
  if (sock >= 0) *port = ((struct sockaddr_in6 *)&bound)->sin6_port;
  return sock;
}

/* Both, in this network namespace; -1 for `ip6` where that has no IPv6. 0, or -1 with errno. */
static int listen_both(int *ip4, int *ip6, struct ports *ports) {
  *ip4 = listen4(&ports->ip4);
  if (*ip4 < 0) return -1;
  *ip6 = listen6(&ports->ip6);
  return *ip6 >= 0 || errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT ? 0 : -1;
}

/* The same in the namespace of the process last cloned. The process that could not come back has failed, and ends with its plan. */
static int listen_there(struct executor *ex, int *ip4, int *ip6, struct ports *ports) {
  char path[40];
  (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)ex->pid);
  _cleanup_fd_ int there = open(path, O_RDONLY | O_CLOEXEC), own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (there < 0 || own < 0) return fail_sys(&ex->fail, "open", path);
  /* The process that had the pid then is still there: so it is that one's. */
  _cleanup_fd_ int process = process_open(ex->pid, ex->start_time);
  if (process < 0) return fail_sys(&ex->fail, "pidfd_open", path);
  if (setns(there, CLONE_NEWNET) != 0) return fail_sys(&ex->fail, "setns", "network namespace of the container");
  int done = listen_both(ip4, ip6, ports), error = errno;
  if (setns(own, CLONE_NEWNET) != 0) return fail_sys(&ex->fail, "setns", "network namespace of our own");
  errno = error;
  return done == 0 ? 0 : fail_sys(&ex->fail, "listen", "loopback of the container");
}

int run_http_listen(struct executor *ex, const struct op_http_listen *op, struct buf *result) {
  (void)result;
  int map = slot_fd(ex, op->map);
  if (map < 0) return -1;
  _cleanup_fd_ int ip4 = -1, ip6 = -1;
  struct ports ports = {0, 0};
  if (listen_there(ex, &ip4, &ip6, &ports) != 0) return -1;
  const uint32_t first = 0;
  union bpf_attr attr;
  bpf_clear(&attr);
  attr.map_fd = (uint32_t)map;
  attr.key = (uint64_t)(uintptr_t)&first;
  attr.value = (uint64_t)(uintptr_t)&ports;
  if (bpf(BPF_MAP_UPDATE_ELEM, &attr) != 0) return fail_sys(&ex->fail, "bpf", "the proxy's ports");
  if (slot_put(ex, op->ip4, fd_steal(&ip4)) != 0) return -1;
  return slot_put(ex, op->ip6, fd_steal(&ip6));
}

int run_socket_pair(struct executor *ex, const struct op_socket_pair *op, struct buf *result) {
  (void)result;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_sys(&ex->fail, "socketpair", "");
  if (slot_put(ex, op->one, ends[0]) == 0) return slot_put(ex, op->other, ends[1]);
  fd_close(&ends[1]);
  return -1;
}
