/* How a process ended that is not ours to wait for (trap 17). */
#ifndef BERTH_EXIT_STATUS_H
#define BERTH_EXIT_STATUS_H

#include <stdbool.h>
#include <sys/types.h>

/* The wait status: of a zombie, and from Linux 6.15 on of one that has been reaped. False where it lives, or where the kernel can't
 * tell any more. `pid` is that of the pidfd's process. */
bool exit_status_of(int pidfd, pid_t pid, int *wait_status);

/* Whether it has been reaped: then there will be no more to know than there is. */
bool exit_reaped(int pidfd);

#endif
