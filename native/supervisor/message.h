/* Messages that have an address, and whom they are for. */
#ifndef BERTH_MESSAGE_H
#define BERTH_MESSAGE_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "walk.h"

/* A socket of the caller's, and an address that it named for it. */
struct target {
  int fd, domain, type, protocol;
  union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage room;
  } address;
  socklen_t len;
  struct found found; /* of a UNIX socket with a path */
};
#define _cleanup_target_ __attribute__((cleanup(target_cleanup)))
#define NO_TARGET ((struct target){.fd = -1, .found = {.fd = -1, .parent = -1}})
void target_cleanup(struct target *);

/* Each 0, or the errno. The caller's socket; a copy of the address: what it is at this moment is what is judged and used; whether it may be
 * reached. The first two take rights that caller_become gives up. */
int target_take(const struct caller *, int number, struct target *);
int target_address(const struct asked *, uint64_t at, uint64_t len, struct target *);
int target_judge(struct asked *, const struct caller *, struct target *);

deal deal_sendto, deal_sendmsg, deal_sendmmsg;

#endif
