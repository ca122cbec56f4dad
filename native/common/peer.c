#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int peer_check(int fd, bool or_root) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -1;
  if (peer.uid == geteuid() || (or_root && peer.uid == 0)) return 0;
  errno = EPERM;
  return -1;
}
