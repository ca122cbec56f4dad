/* The process that is being prepared: from the clone to the execve of what the bundle asks for. */
#ifndef BERTH_INIT_H
#define BERTH_INIT_H

#include <stddef.h>
#include <stdint.h>

#include "../executor/executor.h"

/* Called in the child right after the clone, with ex->control connected to who made it. Waits for the first `g`, unshares the
 * cgroup namespace where ex->unshare_cgroup says so, and runs the plan. A failure is reported on ex->control. */
_Noreturn void init_main(struct executor *ex, const uint8_t *plan, size_t len);

/* Reports (REPORT_*) with a descriptor riding along (-1: none). 0 or -1 (fail set). */
int init_report(struct executor *ex, uint8_t report, int fd);
/* Waits for the next `g`; leaves the process when the other end is gone (trap 18). */
void init_wait_go(struct executor *ex);
/* Reports ex->fail and leaves. Needs no system call but write and exit_group, so it works behind a seccomp filter (trap 21). */
_Noreturn void init_die(struct executor *ex);

#endif
