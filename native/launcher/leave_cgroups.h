/* Out of the caller's cgroups: docker.service's die with it, a pod's are charged for what runs in them (trap 14). */
#ifndef BERTH_LEAVE_CGROUPS_H
#define BERTH_LEAVE_CGROUPS_H

#include <sys/types.h>

/* As fork(2); the child is in the root of each hierarchy, or in a group of controllers' own there. */
pid_t fork_outside_cgroups(void);

#endif
