/* Who is at the other end of a UNIX socket: for a listener's side who connected, for the other who called listen. */
#ifndef BERTH_PEER_H
#define BERTH_PEER_H

#include <stdbool.h>

/* 0 where the peer has this process's effective uid, or, if `or_root`, is root; else -1 with EPERM, or why it can't be told. */
int peer_check(int fd, bool or_root);

#endif
