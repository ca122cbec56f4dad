/* Whether a descriptor is of a mount's root. */
#ifndef BERTH_MOUNT_ROOT_H
#define BERTH_MOUNT_ROOT_H

#include <stdint.h>

/* 1, 0, or -1 with errno (statx(2), Linux 5.8). */
int is_mount_root(int fd);
/* The mount that the descriptor is of. 0, or -1 with errno. */
int mount_id(int fd, uint64_t *id);

#endif
