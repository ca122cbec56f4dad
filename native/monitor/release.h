/* Starts of parked processes that need no executor: the process does all the work, and the end of its control socket tells. */
#ifndef BERTH_RELEASE_H
#define BERTH_RELEASE_H

#include "jobs.h"

/* Lets the process go that a plan names which does no more than that; `done` is called once it was executed, or failed or ended before.
 * False where the plan is another, no such process waits, or there is no memory: nothing has been done then. */
bool release_start(const uint8_t *plan, size_t len, job_done done, void *context);

#endif
