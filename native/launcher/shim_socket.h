/* The sockets that shims of a host answer on. Calls for the members of one group come at the same time: whatever looks at such a
 * socket and then changes it holds the lock of its directory meanwhile. */
#ifndef BERTH_SHIM_SOCKET_H
#define BERTH_SHIM_SOCKET_H

/* A socket that listens on dir/name, replacing one that nobody answers on; -1 with errno, EEXIST where a shim answers. */
int shim_socket_listen(const char *dir, const char *name);
/* Removes dir/name if nobody answers on it. */
void shim_socket_remove_dead(const char *dir, const char *name);

#endif
