/* Answers of rtnetlink that the kernel does not give, over a socket pair: cut off, not aligned, failed half-way, sent by somebody else.
 *
 *   fuzz-netlink ROUNDS */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "executor/netlink.h"
#include "seed.h"

struct seen {
  uint32_t messages;
  size_t bytes;
};

/* Every attribute that is found lies within its message. */
static int see(const struct nlmsghdr *message, void *context) {
  struct seen *seen = context;
  const uint8_t *start = (const uint8_t *)message, *end = start + message->nlmsg_len;
  seen->messages++;
  for (uint16_t type = 0; type < 8; type++) {
    size_t len = 0;
    const uint8_t *data = netlink_find(message, sizeof(struct ifinfomsg), type, &len);
    if (data != NULL && (data < start || len > (size_t)(end - data))) abort();
    seen->bytes += data == NULL ? 0 : len;
  }
  return 0;
}

static void queue(int socket, const void *data, size_t len) {
  if (send(socket, data, len, 0) == (ssize_t)len) return;
  perror("send");
  exit(1);
}

/* A message with that much behind its header: `word` first. */
static void append(struct buf *to, uint16_t type, size_t len, int word) {
  uint8_t bytes[NLMSG_SPACE(64)] = {0};
  struct nlmsghdr header = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(len), .nlmsg_type = type};
  memcpy(bytes, &header, sizeof header);
  memcpy(bytes + NLMSG_HDRLEN, &word, len < sizeof word ? len : sizeof word);
  put(to, bytes, header.nlmsg_len);
}

/* What becomes of a request that is answered so: 0, or errno. */
static int talk(const struct buf *first, const struct buf *second, struct seen *seen) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  if (first->len > 0) queue(ends[1], first->data, first->len);
  if (second->len > 0) queue(ends[1], second->data, second->len);
  if (shutdown(ends[1], SHUT_WR) != 0) return -1;
  struct netlink_message message;
  netlink_begin(&message, RTM_GETLINK, 0, &(struct ifinfomsg){.ifi_family = AF_UNSPEC}, sizeof(struct ifinfomsg));
  int done = netlink_talk(ends[0], &message.header, see, seen) == 0 ? 0 : errno;
  (void)close(ends[0]);
  (void)close(ends[1]);
  return done;
}

static int answered(uint16_t type, size_t len, int word) {
  struct seen seen = {0};
  struct buf answer = {.data = NULL}, none = {.data = NULL};
  append(&answer, type, len, word);
  int done = talk(&answer, &none, &seen);
  buf_free(&answer);
  return done;
}

static void ends(void) {
  expect(answered(NLMSG_ERROR, sizeof(struct nlmsgerr), 0) == 0, "an acknowledgement");
  expect(answered(NLMSG_ERROR, sizeof(struct nlmsgerr), -ENODEV) == ENODEV, "an error");
  expect(answered(NLMSG_ERROR, 2, 0) == EBADMSG, "an error that is cut off");
  expect(answered(NLMSG_DONE, 0, 0) == 0 && answered(NLMSG_DONE, sizeof(int), 0) == 0, "the end of a dump");
  expect(answered(NLMSG_DONE, sizeof(int), -ENOMEM) == ENOMEM, "a dump that failed half-way");
  expect(answered(RTM_NEWLINK, sizeof(struct ifinfomsg), 0) == EMSGSIZE, "an answer without end");
}

/* Behind a last message that is not aligned lies what came before, and that has been seen. */
static void unaligned(void) {
  struct seen seen = {0};
  struct buf first = {.data = NULL}, second = {.data = NULL};
  append(&first, RTM_NEWLINK, 4, 0);
  append(&first, RTM_NEWLINK, 4, 0);
  append(&second, RTM_NEWLINK, 2, 0);
  expect(talk(&first, &second, &seen) == EMSGSIZE && seen.messages == 3, "a last message that is not aligned");
  buf_free(&first);
  buf_free(&second);
}

/* Takes CAP_NET_ADMIN over the network namespace, like whoever might do it to us. */
static void forged(void) {
  struct sockaddr_nl to = {.nl_family = AF_NETLINK};
  socklen_t len = sizeof to;
  int ours = netlink_open(), theirs = netlink_open();
  struct buf answer = {.data = NULL};
  append(&answer, NLMSG_ERROR, sizeof(struct nlmsgerr), -ENOTSUP);
  bool bound = ours >= 0 && theirs >= 0 && bind(ours, (struct sockaddr *)&to, sizeof to) == 0 &&
               getsockname(ours, (struct sockaddr *)&to, &len) == 0;
  expect(bound, "netlink sockets");
  ssize_t sent = bound ? sendto(theirs, answer.data, answer.len, 0, (struct sockaddr *)&to, sizeof to) : 0;
  expect(sent > 0 || errno == EPERM, "a message to another's netlink socket");
  struct netlink_message message;
  struct seen seen = {0};
  netlink_begin(&message, RTM_GETLINK, 0, &(struct ifinfomsg){.ifi_family = AF_UNSPEC}, sizeof(struct ifinfomsg));
  netlink_attribute(&message, IFLA_IFNAME, "lo", 3);
  expect(!bound || (netlink_talk(ours, &message.header, see, &seen) == 0 && seen.messages == 1), "only the kernel's answer counts");
  buf_free(&answer);
  if (ours >= 0) (void)close(ours);
  if (theirs >= 0) (void)close(theirs);
}

/* A dump with attributes, of which some bytes are others. */
static void round_of_chance(void) {
  struct seen seen = {0};
  struct buf first = {.data = NULL}, second = {.data = NULL};
  for (uint16_t i = 0; i < 4; i++) {
    struct netlink_message message;
    netlink_begin(&message, RTM_NEWLINK, 0, &(struct ifinfomsg){.ifi_index = i}, sizeof(struct ifinfomsg));
    netlink_attribute(&message, IFLA_IFNAME, "name", 5);
    netlink_attribute(&message, (uint16_t)next_random(8), &i, sizeof i);
    put(&first, message.bytes, NLMSG_ALIGN(message.header.nlmsg_len));
  }
  for (uint32_t changes = 1 + next_random(6); changes > 0; changes--)
    first.data[next_random((uint32_t)first.len)] = (uint8_t)(next_random(2) == 0 ? next_random(32) : next_random(256));
  first.len = next_random(4) == 0 ? 1 + next_random((uint32_t)first.len) : first.len;
  append(&second, NLMSG_DONE, sizeof(int), 0);
  (void)talk(&first, &second, &seen);
  buf_free(&first);
  buf_free(&second);
}

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
  ends();
  unaligned();
  forged();
  if (wrong) return 1;
  for (uint32_t round = 0; round < rounds; round++) round_of_chance();
  printf("%" PRIu32 " rounds\n", rounds);
  return 0;
}
