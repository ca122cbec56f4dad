/* Calls with addresses: what is connected to, sent to, bound. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../common/fd.h"
#include "calls.h"
#include "observed.h"

/* Of one sendmmsg. */
#define MESSAGES_MAX 1024u

union address {
  struct sockaddr any;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
  struct sockaddr_un un;
  struct sockaddr_storage room;
};

/* "tcp", "udp" or "icmp"; NULL: none of these. */
static const char *scheme_of(int fd) {
  int type = 0, protocol = 0;
  socklen_t len = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0) return NULL;
  len = sizeof protocol;
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) != 0) return NULL;
  if (type == SOCK_STREAM) return "tcp";
  if (type != SOCK_DGRAM) return NULL;
  return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 ? "icmp" : "udp";
}

static int address_read(const struct call *call, uint64_t at, uint64_t len, union address *address) {
  memset(address, 0, sizeof *address);
  if (at == 0 || len < sizeof address->any.sa_family || len > sizeof *address) return -1;
  return tracee_read(call, at, address, len);
}

/* An address of internet sockets as rules write it, and its port. 0 or -1. */
static int address_text(const union address *address, char text[INET6_ADDRSTRLEN + 2], unsigned *port) {
  if (address->any.sa_family == AF_INET) {
    *port = ntohs(address->in.sin_port);
    return inet_ntop(AF_INET, &address->in.sin_addr, text, INET6_ADDRSTRLEN) != NULL ? 0 : -1;
  }
  if (address->any.sa_family != AF_INET6) return -1;
  *port = ntohs(address->in6.sin6_port);
  const struct in6_addr *in6 = &address->in6.sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(in6)) return inet_ntop(AF_INET, &in6->s6_addr[12], text, INET6_ADDRSTRLEN) != NULL ? 0 : -1;
  text[0] = '[';
  if (inet_ntop(AF_INET6, in6, text + 1, INET6_ADDRSTRLEN) == NULL) return -1;
  strcat(text, "]");
  return 0;
}

static int reached(const char *scheme, const union address *address) {
  char text[INET6_ADDRSTRLEN + 2], rule[INET6_ADDRSTRLEN + 32];
  unsigned port;
  if (scheme == NULL || address_text(address, text, &port) != 0) return 0;
  if (strcmp(scheme, "icmp") == 0) {
    (void)snprintf(rule, sizeof rule, "icmp://%s", text);
  } else {
    if (port == 0) return 0; /* nothing is there */
    (void)snprintf(rule, sizeof rule, "%s://%s:%u", scheme, text, port);
  }
  return observed(SEEN_CONNECT, rule);
}

static int look_connect(const struct call *call) {
  union address address;
  if (address_read(call, call->args[1], (uint32_t)call->args[2], &address) != 0) return 0;
  if (address.any.sa_family == AF_UNIX)
    return (uint32_t)call->args[2] > sizeof(sa_family_t) && address.un.sun_path[0] == '\0' ? observed(SEEN_ABSTRACT, "") : 0;
  _cleanup_fd_ int fd = tracee_fd(call, (int)(uint32_t)call->args[0]);
  const char *scheme = fd < 0 ? NULL : scheme_of(fd);
  /* Resolvers connect datagram sockets to see which of their own addresses the kernel would take, and send nothing. */
  return scheme != NULL && strcmp(scheme, "tcp") == 0 ? reached(scheme, &address) : 0;
}

/* To an address, or to where the socket is connected. */
static int sent(const struct call *call, int number, uint64_t name, uint64_t len) {
  union address address = {.any = {.sa_family = AF_UNSPEC}};
  bool named = name != 0 && len != 0;
  if (named && address_read(call, name, len, &address) != 0) return 0;
  if (named && address.any.sa_family == AF_UNIX)
    return len > sizeof(sa_family_t) && address.un.sun_path[0] == '\0' ? observed(SEEN_ABSTRACT, "") : 0;
  _cleanup_fd_ int fd = tracee_fd(call, number);
  const char *scheme = fd < 0 ? NULL : scheme_of(fd);
  if (scheme == NULL) return 0;
  if (named) return reached(scheme, &address);
  socklen_t size = sizeof address;
  if (strcmp(scheme, "tcp") == 0 || getpeername(fd, &address.any, &size) != 0) return 0;
  return reached(scheme, &address);
}

static int look_sendto(const struct call *call) {
  return sent(call, (int)(uint32_t)call->args[0], call->args[4], (uint32_t)call->args[5]);
}
static int look_send(const struct call *call) { return sent(call, (int)(uint32_t)call->args[0], 0, 0); }

/* struct msghdr begins with the name and its length. */
static int message(const struct call *call, int fd, uint64_t at) {
  uint64_t name;
  uint32_t len;
  if (tracee_word(call, at, &name) != 0 || tracee_read(call, at + tracee_word_size(call), &len, sizeof len) != 0) return 0;
  return sent(call, fd, name, len);
}

static int look_sendmsg(const struct call *call) { return message(call, (int)(uint32_t)call->args[0], call->args[1]); }

static int look_sendmmsg(const struct call *call) {
  /* struct msghdr of seven words (two of its members are padded to one), and a length beside it. */
  size_t size = call->narrow ? 7 * 4 + 4 : 7 * 8 + 8;
  uint32_t count = (uint32_t)call->args[2] < MESSAGES_MAX ? (uint32_t)call->args[2] : MESSAGES_MAX;
  for (uint32_t i = 0; i < count; i++)
    if (message(call, (int)(uint32_t)call->args[0], call->args[1] + i * size) != 0) return -1;
  return 0;
}

static int look_bind(const struct call *call) {
  union address address;
  char text[INET6_ADDRSTRLEN + 2], rule[32];
  unsigned port;
  if (address_read(call, call->args[1], (uint32_t)call->args[2], &address) != 0 || address_text(&address, text, &port) != 0) return 0;
  _cleanup_fd_ int fd = tracee_fd(call, (int)(uint32_t)call->args[0]);
  const char *scheme = fd < 0 ? NULL : scheme_of(fd);
  if (scheme == NULL || strcmp(scheme, "icmp") == 0) return 0;
  (void)snprintf(rule, sizeof rule, "%s://%u", scheme, port);
  return observed(SEEN_BIND, rule);
}

/* All of them by one call, on machines of 32 bits: its number (linux/net.h), and where its arguments are. */
static int look_socketcall(const struct call *call) {
  enum { BIND = 2, CONNECT = 3, SEND = 9, SENDTO = 11, SENDMSG = 16, SENDMMSG = 20 };
  static const struct {
    unsigned number, count;
    look *look;
  } calls[] = {{BIND, 3, look_bind},     {CONNECT, 3, look_connect}, {SEND, 4, look_send},
               {SENDTO, 6, look_sendto}, {SENDMSG, 3, look_sendmsg}, {SENDMMSG, 4, look_sendmmsg}};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (call->args[0] != calls[i].number) continue;
    uint32_t words[6] = {0};
    uint64_t args[6];
    if (tracee_read(call, call->args[1], words, calls[i].count * sizeof *words) != 0) return 0;
    for (size_t j = 0; j < 6; j++) args[j] = words[j];
    return calls[i].look(&(struct call){.pid = call->pid, .args = args, .narrow = true});
  }
  return 0;
}

const struct look_entry socket_looks[] = {
  {"connect", look_connect}, {"bind", look_bind},         {"sendto", look_sendto},         {"send", look_send},
  {"sendmsg", look_sendmsg}, {"sendmmsg", look_sendmmsg}, {"socketcall", look_socketcall}, {NULL, NULL},
};
