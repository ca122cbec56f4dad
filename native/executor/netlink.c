#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_ROOM 32768 /* the kernel makes no larger ones of a dump */

void netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags, const void *body, size_t size) {
  memset(message, 0, sizeof *message);
  message->header = (struct nlmsghdr){
      .nlmsg_len = (uint32_t)NLMSG_LENGTH(size), .nlmsg_type = type, .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST | NLM_F_ACK)};
  memcpy(NLMSG_DATA(&message->header), body, size);
}

void netlink_attribute(struct netlink_message *message, uint16_t type, const void *data, size_t size) {
  size_t at = NLMSG_ALIGN(message->header.nlmsg_len);
  if (size > NETLINK_ROOM || at + RTA_SPACE(size) > NETLINK_ROOM) {
    message->too_long = 1;
    return;
  }
  struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = type};
  memcpy(message->bytes + at, &attribute, sizeof attribute);
  memcpy(message->bytes + at + RTA_LENGTH(0), data, size);
  message->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(size));
}

int netlink_open(void) {
  return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

const void *netlink_find(const struct nlmsghdr *message, size_t size, uint16_t type, size_t *len) {
  if (message->nlmsg_len < NLMSG_LENGTH(size)) return NULL;
  int left = (int)(message->nlmsg_len - NLMSG_LENGTH(size));
  const struct rtattr *attribute = (const struct rtattr *)((const char *)NLMSG_DATA(message) + NLMSG_ALIGN(size));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if ((attribute->rta_type & NLA_TYPE_MASK) != type) continue;
    *len = RTA_PAYLOAD(attribute);
    return RTA_DATA(attribute);
  }
  return NULL;
}

/* How the request went: NLMSG_ERROR (with 0 as well) and NLMSG_DONE both start with it, the latter not on old kernels. 1, or -1 with
 * errno. */
static int conclude(const struct nlmsghdr *message) {
  int error = 0;
  if (message->nlmsg_len >= NLMSG_LENGTH(sizeof error))
    memcpy(&error, NLMSG_DATA(message), sizeof error);
  else if (message->nlmsg_type == NLMSG_ERROR)
    error = -EBADMSG;
  if (error >= 0) return 1;
  errno = -error;
  return -1;
}

/* One datagram. 1: it was the last, 0, or -1 with errno. `left` is signed, as NLMSG_NEXT takes it below 0 where the last message is not
 * aligned. */
static int take(const void *data, int left, netlink_visit *visit, void *context) {
  const struct nlmsghdr *message = data;
  for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
    if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) return conclude(message);
    if (visit != NULL && visit(message, context) != 0) return -1;
  }
  return 0;
}

/* The kernel's next datagram: who has CAP_NET_ADMIN over a network namespace can send to every netlink socket in there. Its length, or -1
 * with errno. */
static ssize_t receive(int socket, void *data, size_t size) {
  for (;;) {
    struct sockaddr_nl from = {.nl_pid = 0};
    socklen_t from_len = sizeof from;
    ssize_t got = recvfrom(socket, data, size, MSG_TRUNC, (struct sockaddr *)&from, &from_len);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || from.nl_pid == 0) return got;
  }
}

int netlink_talk(int socket, struct nlmsghdr *message, netlink_visit *visit, void *context) {
  ssize_t sent;
  do sent = send(socket, message, message->nlmsg_len, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return -1;
  union {
    struct nlmsghdr align;
    uint8_t bytes[ANSWER_ROOM];
  } answer;
  for (;;) {
    ssize_t got = receive(socket, answer.bytes, sizeof answer.bytes);
    if (got < 0) return -1;
    if (got == 0 || (size_t)got > sizeof answer.bytes) {
      errno = EMSGSIZE;
      return -1;
    }
    int done = take(answer.bytes, (int)got, visit, context);
    if (done != 0) return done < 0 ? -1 : 0;
  }
}
