/* What is connected to, sent to and bound: on the caller's own socket, by the address that was judged. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../common/fd.h"
#include "message.h"
#include "walk.h"

/* Kinds whose address says where everything goes: not raw sockets, whose packets say that themselves, nor those that connect in other ways too. */
static bool is_plain(const struct target *t) {
  if (t->domain == AF_UNIX || t->domain == AF_NETLINK) return true;
  if (t->domain != AF_INET && t->domain != AF_INET6) return false;
  static const int known[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (t->protocol == known[i]) return t->type == SOCK_STREAM || t->type == SOCK_DGRAM;
  return false;
}

int target_take(const struct caller *c, int number, struct target *t) {
  t->fd = caller_fd(c, number);
  if (t->fd < 0) return errno;
  socklen_t len = sizeof t->domain;
  if (getsockopt(t->fd, SOL_SOCKET, SO_DOMAIN, &t->domain, &len) != 0) return errno;
  len = sizeof t->type;
  if (getsockopt(t->fd, SOL_SOCKET, SO_TYPE, &t->type, &len) != 0) return errno;
  len = sizeof t->protocol;
  if (getsockopt(t->fd, SOL_SOCKET, SO_PROTOCOL, &t->protocol, &len) != 0) return errno;
  return is_plain(t) ? 0 : EPERM;
}

int target_address(const struct asked *a, uint64_t at, uint64_t len, struct target *t) {
  memset(&t->address, 0, sizeof t->address);
  if (len > sizeof t->address.room) return EINVAL;
  t->len = (socklen_t)len;
  return len == 0 || tracee_read(&a->call, at, &t->address, len) == 0 ? 0 : EFAULT;
}

/* UNIX sockets that have a name in a file system. */
static bool has_path(const struct target *t) {
  return t->address.any.sa_family == AF_UNIX && t->len > offsetof(struct sockaddr_un, sun_path) && t->address.un.sun_path[0] != '\0';
}

static void path_of(const struct target *t, char path[sizeof(struct sockaddr_un)]) {
  size_t len = t->len - offsetof(struct sockaddr_un, sun_path);
  if (len > sizeof t->address.un.sun_path) len = sizeof t->address.un.sun_path;
  memcpy(path, t->address.un.sun_path, len);
  path[len] = '\0';
}

static int judge(struct asked *a, const struct caller *c, const struct target *t, enum kind kind, const char *path) {
  _cleanup_buf_ struct buf event = {.data = NULL};
  const uint32_t numbers[] = {(uint32_t)t->domain, (uint32_t)t->type, (uint32_t)t->protocol};
  if (begin_event(&event, a, c, kind) != 0) return ENOMEM;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (buf_u32(&event, numbers[i]) != 0) return ENOMEM;
  if (buf_bytes(&event, &t->address, t->len) != 0 || buf_bytes(&event, path, strlen(path)) != 0) return ENOMEM;
  return ask(a, &event);
}

/* Makes the address one of what was found: a name of ours for the descriptor, in the directory that we are in from here on. */
static int point_to(const struct caller *c, const struct found *f, struct target *t) {
  if (fchdir(c->self) != 0) return EACCES;
  t->address.un = (struct sockaddr_un){.sun_family = AF_UNIX};
  int len = snprintf(t->address.un.sun_path, sizeof t->address.un.sun_path, "%d", f->fd);
  t->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len + 1);
  return 0;
}

int target_judge(struct asked *a, const struct caller *c, struct target *t) {
  if (t->domain == AF_NETLINK) return 0; /* only the kernel is there */
  if (!has_path(t)) return judge(a, c, t, KIND_CONNECT, "");
  char path[sizeof(struct sockaddr_un)];
  found_cleanup(&t->found);
  path_of(t, path);
  int error = walk(a, c, c->cwd, path, 0, &t->found);
  if (error == 0) error = judge(a, c, t, KIND_CONNECT, t->found.path);
  return error != 0 ? error : point_to(c, &t->found, t);
}

void target_cleanup(struct target *t) {
  fd_close(&t->fd);
  found_cleanup(&t->found);
}

/* A call of a socket, an address and its length, whose caller's rights are ours from there on. */
static int begin(struct asked *a, struct caller *c, struct target *t) {
  int error = caller_open(a, c);
  if (error == 0) error = target_take(c, (int)(uint32_t)a->call.args[0], t);
  if (error == 0) error = target_address(a, a->call.args[1], (uint32_t)a->call.args[2], t);
  return error != 0 ? error : caller_become(a, c);
}

static void deal_connect(struct asked *a) {
  _cleanup_caller_ struct caller c = NOBODY;
  _cleanup_target_ struct target t = NO_TARGET;
  int error = begin(a, &c, &t);
  /* AF_UNSPEC undoes a connection. */
  bool undoes = t.len >= sizeof t.address.any.sa_family && t.address.any.sa_family == AF_UNSPEC;
  if (error == 0 && !undoes) error = target_judge(a, &c, &t);
  if (error == 0 && connect(t.fd, &t.address.any, t.len) != 0) error = errno;
  answer_error(a, error);
}

/* A socket of a file system is made in the directory that was judged, whatever leads there by now. */
static int bind_path(struct asked *a, const struct caller *c, struct target *t) {
  char path[sizeof(struct sockaddr_un)];
  path_of(t, path);
  int error = walk(a, c, c->cwd, path, WALK_CREATE | WALK_NOFOLLOW, &t->found);
  if (error != 0) return error;
  if (t->found.fd >= 0) return EADDRINUSE;
  error = judge(a, c, t, KIND_BIND, t->found.path);
  size_t len = strlen(t->found.name);
  if (error != 0) return error;
  if (fchdir(t->found.parent) != 0) return EACCES;
  if (len >= sizeof t->address.un.sun_path) return ENAMETOOLONG;
  t->address.un = (struct sockaddr_un){.sun_family = AF_UNIX};
  memcpy(t->address.un.sun_path, t->found.name, len);
  t->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
  return 0;
}

static void deal_bind(struct asked *a) {
  _cleanup_caller_ struct caller c = NOBODY;
  _cleanup_target_ struct target t = NO_TARGET;
  int error = begin(a, &c, &t);
  if (error == 0 && has_path(&t)) error = bind_path(a, &c, &t);
  else if (error == 0 && t.domain != AF_NETLINK) error = judge(a, &c, &t, KIND_BIND, "");
  if (error == 0 && bind(t.fd, &t.address.any, t.len) != 0) error = errno;
  answer_error(a, error);
}

/* All of them by one call, on machines of 32 bits: its number (linux/net.h), and where its arguments are. */
static void deal_socketcall(struct asked *a) {
  enum { BIND = 2, CONNECT = 3, SENDTO = 11, SENDMSG = 16, SENDMMSG = 20 };
  static const struct {
    unsigned number, count;
    const char *name;
    deal *deal;
  } calls[] = {{BIND, 3, "bind", deal_bind},
               {CONNECT, 3, "connect", deal_connect},
               {SENDTO, 6, "sendto", deal_sendto},
               {SENDMSG, 3, "sendmsg", deal_sendmsg},
               {SENDMMSG, 4, "sendmmsg", deal_sendmmsg}};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if ((uint32_t)a->call.args[0] != calls[i].number) continue;
    uint32_t words[6] = {0};
    uint64_t args[6];
    if (tracee_read(&a->call, a->call.args[1], words, calls[i].count * sizeof *words) != 0) return answer_error(a, EFAULT);
    for (size_t j = 0; j < 6; j++) args[j] = words[j];
    struct asked inner = *a;
    inner.call = (struct call){.pid = a->call.pid, .args = args, .narrow = true};
    inner.name = calls[i].name;
    return calls[i].deal(&inner);
  }
  answer_error(a, EPERM); /* nothing else is asked for */
}

const struct deal_entry socket_deals[] = {{"connect", deal_connect}, {"bind", deal_bind},         {"sendto", deal_sendto},
                                          {"sendmsg", deal_sendmsg}, {"sendmmsg", deal_sendmmsg}, {"socketcall", deal_socketcall},
                                          {NULL, NULL}};
