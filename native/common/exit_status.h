/* How a process ended that is not ours to wait for (trap 17). */
#ifndef BERTH_EXIT_STATUS_H
#define BERTH_EXIT_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The wait status: of a zombie, and from Linux 6.15 on of one that has been reaped. False where it lives, or where the kernel can't
 * tell any more. `pid` is that of the pidfd's process. */
bool exit_status_of(int pidfd, pid_t pid, int *wait_status);

/* Whether it has been reaped: then there will be no more to know than there is. */
bool exit_reaped(int pidfd);

/* Why a container has ended, as exit.json has it, where it is more than the status tells. */
#define ENDED_OOM "oom"
#define ENDED_TIMEOUT "timeout"
#define ENDED_OUTPUT "output"
#define ENDED_POLICY "policy"
/* What the status tells. */
const char *exit_reason(int wait_status);
/* Writes exit.json; `time` in nanoseconds since the epoch. 0 or -1 with errno. */
int exit_write(const char *path, pid_t pid, int wait_status, uint64_t time, const char *reason);

#endif
