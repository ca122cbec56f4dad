/* Descriptors sent over UNIX sockets. */
#ifndef BERTH_EXECUTOR_SOCKET_H
#define BERTH_EXECUTOR_SOCKET_H

#include <stddef.h>
#include <sys/types.h>

/* Sends bytes, at least one, with a descriptor. As sendmsg(2). */
ssize_t socket_send_fd(int to, const void *data, size_t len, int fd);

#endif
