/* /proc/PID/stat (proc_pid_stat(5)). */
#ifndef BERTH_PROC_STAT_H
#define BERTH_PROC_STAT_H

#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
  char state;          /* field 3 */
  unsigned long flags; /* field 9, PF_* of linux/sched.h */
  uint64_t start;      /* field 22, in clock ticks after boot */
  int exit_code;       /* field 52: the wait status of a zombie */
};

/* 0, or -1 with errno: ESRCH where there is no such process. */
int proc_stat_read(pid_t pid, struct proc_stat *);

#endif
