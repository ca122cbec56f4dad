/* Why containers end, and when they have to. */
#ifndef BERTH_ENDING_H
#define BERTH_ENDING_H

#include <stddef.h>
#include <stdint.h>

#define ENDED_TIMEOUT "timeout"
#define ENDED_POLICY "policy"

/* The init of `key` is about to be killed for this reason (a literal), which its exit is to tell; the first one stays. */
void ending_because(const char *key, const char *reason);
/* What ended it, as exit.json has it: what was recorded, else "oom", "signal" or "exit". */
const char *ending_reason(const char *key, int wait_status);

/* Runs the plan `ms` after the init has been let go: it is to kill the container. Replaces another for the same key. 0, or -1 with errno. */
int ending_deadline(const char *key, uint64_t ms, const uint8_t *plan, size_t len);
/* The time begins. */
void ending_started(const char *key);
/* It has ended, or is forgotten: no plan runs any more. */
void ending_forget(const char *key);

#endif
