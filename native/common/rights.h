/* Descriptors that ride on messages (SCM_RIGHTS, unix(7)). */
#ifndef BERTH_RIGHTS_H
#define BERTH_RIGHTS_H

#include <stddef.h>
#include <sys/types.h>

#define RIGHTS_MAX 4

/* Sends the bytes with these descriptors, at most RIGHTS_MAX, which may be none. What sendmsg(2) returns; never raises SIGPIPE, and goes on
 * after a signal. Safe after fork. */
ssize_t rights_send(int to, const void *data, size_t len, const int *fds, size_t count, int flags);
/* Receives a message and the one descriptor that it may have, close-on-exec, or -1. What recvmsg(2) returns; goes on after a signal. */
ssize_t rights_receive(int from, void *data, size_t len, int *fd, int flags);

#endif
