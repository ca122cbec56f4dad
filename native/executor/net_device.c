/* Moves a network device from our network namespace into that of a process, with its addresses. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/fd.h"
#include "executor.h"
#include "netlink.h"
#include "ops.gen.h"
#include "process.h"

/* What of an address's flags is somebody's choice; the others say how it fares. */
#define CHOSEN_FLAGS (IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE)

/* Both ends of the move; `addresses` are messages that add them. */
struct move {
  const char *name; /* in there; may end in %d */
  int here, there;  /* netlink sockets */
  int index, new_index;
  bool taken; /* there is a device of that name, or of the new index */
  bool index_taken;
  int last_index;
  struct buf addresses;
};

/* The process's network namespace, which must not be ours: there a move would be a new name on the host. */
static int open_namespace(struct executor *ex, int own) {
  char path[40];
  (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)ex->pid);
  _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_sys(&ex->fail, "open", path);
  /* The process that had the pid then is still there: so it is that one's. */
  _cleanup_fd_ int process = process_open(ex->pid, ex->start_time);
  if (process < 0) return fail_sys(&ex->fail, "pidfd_open", path);
  struct stat theirs, ours;
  if (fstat(fd, &theirs) != 0 || fstat(own, &ours) != 0) return fail_sys(&ex->fail, "fstat", path);
  if (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino)
    return fail_msg(&ex->fail, EINVAL, path, "the container has no network namespace of its own");
  return fd_steal(&fd);
}

/* A netlink socket in another namespace. The process that could not come back has failed, and ends with its plan. */
static int open_socket_in(struct executor *ex, int namespace, int own) {
  if (setns(namespace, CLONE_NEWNET) != 0) return fail_sys(&ex->fail, "setns", "network namespace of the container");
  _cleanup_fd_ int sock = netlink_open();
  int error = errno;
  if (setns(own, CLONE_NEWNET) != 0) return fail_sys(&ex->fail, "setns", "network namespace of our own");
  errno = error;
  return sock >= 0 ? fd_steal(&sock) : fail_sys(&ex->fail, "socket", "netlink");
}

static int see_index(const struct nlmsghdr *message, void *context) {
  if (message->nlmsg_type == RTM_NEWLINK && message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)))
    ((struct move *)context)->index = ((const struct ifinfomsg *)NLMSG_DATA(message))->ifi_index;
  return 0;
}

static int find_device(struct executor *ex, struct move *move, const char *device) {
  struct netlink_message message;
  netlink_begin(&message, RTM_GETLINK, 0, &(struct ifinfomsg){.ifi_family = AF_UNSPEC}, sizeof(struct ifinfomsg));
  netlink_attribute(&message, IFLA_IFNAME, device, strlen(device) + 1);
  if (netlink_talk(move->here, &message.header, see_index, move) == 0 && move->index > 0) return 0;
  if (errno == ENODEV) return fail_msg(&ex->fail, ENODEV, device, "there is no such network device");
  return fail_sys(&ex->fail, "RTM_GETLINK", device);
}

static bool same_name(const void *data, size_t len, const char *name) {
  return data != NULL && len == strlen(name) + 1 && memcmp(data, name, len) == 0;
}

static int see_neighbour(const struct nlmsghdr *message, void *context) {
  struct move *move = context;
  size_t len, size = sizeof(struct ifinfomsg);
  if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(size)) return 0;
  int index = ((const struct ifinfomsg *)NLMSG_DATA(message))->ifi_index;
  const void *name = netlink_find(message, size, IFLA_IFNAME, &len);
  if (same_name(name, len, move->name)) move->taken = true;
  if (index == move->index) move->index_taken = true;
  if (index > move->last_index) move->last_index = index;
  return 0;
}

/* Once it is moved an error would come too late, so that names are looked at before; and its index in there is our choice, as it may have
 * a name then that we do not know. */
static int look_there(struct executor *ex, struct move *move) {
  struct netlink_message message;
  netlink_begin(&message, RTM_GETLINK, NLM_F_DUMP, &(struct ifinfomsg){.ifi_family = AF_UNSPEC}, sizeof(struct ifinfomsg));
  if (netlink_talk(move->there, &message.header, see_neighbour, move) != 0) return fail_sys(&ex->fail, "RTM_GETLINK", move->name);
  if (move->taken) return fail_msg(&ex->fail, EEXIST, move->name, "the container's network namespace has a device of this name");
  move->new_index = move->index_taken ? (move->last_index > move->index ? move->last_index : move->index) + 1 : move->index;
  return 0;
}

/* Keeps a permanent address of global scope, as a message that adds it again. */
static int see_address(const struct nlmsghdr *message, void *context) {
  static const uint16_t kept[] = {IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST, IFA_RT_PRIORITY};
  struct move *move = context;
  struct ifaddrmsg address;
  size_t len, size = sizeof address;
  if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(size)) return 0;
  memcpy(&address, NLMSG_DATA(message), size);
  uint32_t flags = address.ifa_flags;
  const void *wide = netlink_find(message, size, IFA_FLAGS, &len);
  if (wide != NULL && len == sizeof flags) memcpy(&flags, wide, len);
  if ((int)address.ifa_index != move->index || address.ifa_scope != RT_SCOPE_UNIVERSE || (flags & IFA_F_PERMANENT) == 0) return 0;
  flags &= CHOSEN_FLAGS;
  address.ifa_flags = 0;
  address.ifa_index = (unsigned)move->new_index;
  struct netlink_message again;
  netlink_begin(&again, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, size);
  netlink_attribute(&again, IFA_FLAGS, &flags, sizeof flags);
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    const void *value = netlink_find(message, size, kept[i], &len);
    if (value != NULL) netlink_attribute(&again, kept[i], value, len);
  }
  if (again.too_long) {
    errno = EMSGSIZE;
    return -1;
  }
  return buf_append(&move->addresses, again.bytes, NLMSG_ALIGN(again.header.nlmsg_len));
}

static int read_addresses(struct executor *ex, struct move *move, const char *device) {
  struct netlink_message message;
  netlink_begin(&message, RTM_GETADDR, NLM_F_DUMP, &(struct ifaddrmsg){.ifa_family = AF_UNSPEC}, sizeof(struct ifaddrmsg));
  return netlink_talk(move->here, &message.header, see_address, move) == 0 ? 0 : fail_sys(&ex->fail, "RTM_GETADDR", device);
}

static int change_namespace(struct executor *ex, const struct move *move, int namespace, const char *device) {
  struct netlink_message message;
  uint32_t fd = (uint32_t)namespace;
  int32_t index = move->new_index;
  netlink_begin(&message, RTM_NEWLINK, 0, &(struct ifinfomsg){.ifi_family = AF_UNSPEC, .ifi_index = move->index},
                sizeof(struct ifinfomsg));
  netlink_attribute(&message, IFLA_NET_NS_FD, &fd, sizeof fd);
  netlink_attribute(&message, IFLA_NEW_IFINDEX, &index, sizeof index);
  netlink_attribute(&message, IFLA_IFNAME, move->name, strlen(move->name) + 1);
  if (netlink_talk(move->here, &message.header, NULL, NULL) == 0) return 0;
  if (errno == EINVAL) return fail_msg(&ex->fail, EINVAL, device, "the kernel does not let this device out of its network namespace");
  return fail_sys(&ex->fail, "RTM_NEWLINK", device);
}

static int add_addresses(struct executor *ex, const struct move *move, const char *device) {
  for (size_t at = 0; at < move->addresses.len;) {
    struct nlmsghdr *message = (struct nlmsghdr *)(move->addresses.data + at);
    if (netlink_talk(move->there, message, NULL, NULL) != 0) return fail_sys(&ex->fail, "RTM_NEWADDR", device);
    at += NLMSG_ALIGN(message->nlmsg_len);
  }
  return 0;
}

static int set_up(struct executor *ex, const struct move *move, const char *device) {
  struct netlink_message message;
  const struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = move->new_index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  netlink_begin(&message, RTM_NEWLINK, 0, &link, sizeof link);
  return netlink_talk(move->there, &message.header, NULL, NULL) == 0 ? 0 : fail_sys(&ex->fail, "RTM_NEWLINK", device);
}

static int do_move(struct executor *ex, struct move *move, int namespace, const char *device) {
  if (find_device(ex, move, device) != 0 || look_there(ex, move) != 0 || read_addresses(ex, move, device) != 0) return -1;
  if (change_namespace(ex, move, namespace, device) != 0) return -1;
  return add_addresses(ex, move, device) == 0 ? set_up(ex, move, device) : -1;
}

int run_net_device(struct executor *ex, const struct op_net_device *op, struct buf *result) {
  (void)result;
  if (strlen(op->device) >= IFNAMSIZ || strlen(op->name) >= IFNAMSIZ)
    return fail_msg(&ex->fail, ENAMETOOLONG, op->device, "names of network devices have at most %d bytes", IFNAMSIZ - 1);
  _cleanup_fd_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return fail_sys(&ex->fail, "open", "/proc/self/ns/net");
  _cleanup_fd_ int namespace = open_namespace(ex, own);
  if (namespace < 0) return -1;
  _cleanup_fd_ int here = netlink_open();
  if (here < 0) return fail_sys(&ex->fail, "socket", "netlink");
  _cleanup_fd_ int there = open_socket_in(ex, namespace, own);
  if (there < 0) return -1;
  struct move move = {.name = op->name, .here = here, .there = there};
  int done = do_move(ex, &move, namespace, op->device);
  buf_free(&move.addresses);
  return done;
}
