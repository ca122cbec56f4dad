/* Processes by pid: a number that is reused, so it is believed only together with the start time. */
#ifndef BERTH_EXECUTOR_PROCESS_H
#define BERTH_EXECUTOR_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Clock ticks after boot (/proc/PID/stat, field 22). 0, or -1 with errno (ESRCH: no such process). */
int process_start_time(pid_t pid, uint64_t *start);
/* A pidfd of the process that started then (0: any). -1 with errno; ESRCH where the pid is another's by now. */
int process_open(pid_t pid, uint64_t start);
/* Notes down at `record` who it is, for `end-spawned`. 0, or -1 with errno. */
int process_record(pid_t pid, const char *record);
/* Whether the process has ended, within `timeout_ms` (-1: however long it takes). 1, 0 when time ran out, -1 with errno. */
int process_ended(int pidfd, int timeout_ms);
/* To be called in a forked child before it runs something else: no blocked signal, no handler, no ignored one. */
void signals_reset(void);

#endif
