/* rtnetlink(7): one request at a time, and what the kernel answers. */
#ifndef BERTH_NETLINK_H
#define BERTH_NETLINK_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#define NETLINK_ROOM 512

/* A message that is being put together; it fits, or `too_long` says that it did not. */
struct netlink_message {
  union {
    struct nlmsghdr header;
    uint8_t bytes[NETLINK_ROOM];
  };
  int too_long;
};

void netlink_begin(struct netlink_message *, uint16_t type, uint16_t flags, const void *body, size_t size);
void netlink_attribute(struct netlink_message *, uint16_t type, const void *data, size_t size);

/* Called with each message of an answer. 0, or -1 with errno, which ends it. */
typedef int netlink_visit(const struct nlmsghdr *message, void *context);

/* A socket in the network namespace that the process is in now. -1 with errno. */
int netlink_open(void);
/* Sends the message and reads up to the end of the answer (`visit` NULL: of no interest). 0, or -1 with errno. */
int netlink_talk(int socket, struct nlmsghdr *message, netlink_visit *visit, void *context);

/* The attribute of this type behind a body of `size` bytes; NULL where there is none. *len is that of its data. */
const void *netlink_find(const struct nlmsghdr *message, size_t size, uint16_t type, size_t *len);

#endif
