/* Addresses of UNIX sockets. */
#ifndef BERTH_ADDRESS_H
#define BERTH_ADDRESS_H

#include <sys/un.h>

/* The address of a socket at `path`. One that is longer than an address can be (S24) is named through its directory, opened into *dir
 * (-1 where that was not needed), which has to stay open while the address is used. 0 or -1 with errno. */
int unix_address(const char *path, struct sockaddr_un *address, int *dir);

#endif
