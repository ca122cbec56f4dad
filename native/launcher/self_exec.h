/* Monitors execute this binary again from a copy that nobody can write to (trap 1, CVE-2019-5736): what is cloned from such a
 * process has that copy as its exe until it calls execve. */
#ifndef BERTH_SELF_EXEC_H
#define BERTH_SELF_EXEC_H

#include <stdbool.h>
#include <sys/types.h>

/* Starts a monitor as a child: its own session, cwd /, umask 022, no signal blocked or ignored, an empty environment; `argv` as
 * monitor.h says. Keeps descriptors 0 to keep-1 and nothing else; 0 to 2 are /dev/null unless `stdio`.
 * `oom_adj`: oom_score_adj one above this process's. The pid, or -1 with errno. */
pid_t spawn_monitor(char *const argv[], unsigned keep, bool stdio, bool oom_adj);
/* The system call in which the last one failed, NULL where none did. */
const char *spawn_failed_in(void);

#endif
