/* Plans run by a forked executor: what can block, blocks the child, never the monitor. */
#ifndef BERTH_JOBS_H
#define BERTH_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/buf.h"

/* Called once with the outcome of the plan. */
typedef void (*job_done)(void *context, const struct buf *outcome);

/* Forks an executor for the plan, which is only read before this returns. 0, or -1 with errno (nothing runs then, and
 * `done` is not called). `context` is the callback's. */
int job_start(const uint8_t *plan, size_t len, job_done done, void *context);
/* The same for a plan whose holes stand for this process, which another plan has cloned. */
struct process_id {
  pid_t pid;
  uint64_t start_time;
};
int job_start_about(struct process_id, const uint8_t *plan, size_t len, job_done done, void *context);
/* Whether an executor runs: a process may then have ended that its executor has not reported yet. */
bool jobs_running(void);
/* Called after a job has ended and all it reported has been applied. */
void jobs_on_end(void (*ended)(void));
/* What is kept under this name or below it goes, and what watches or moves it. */
void job_drop(const char *name);
/* Appends the outcome of a plan that could not be run at all. */
void outcome_failed(struct buf *outcome, const char *syscall, int error, const char *detail);

#endif
