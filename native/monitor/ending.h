/* Why containers end, and when they have to. */
#ifndef BERTH_ENDING_H
#define BERTH_ENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What ended the init of `key`, as exit.json has it: what was recorded, else what the kernel and its status tell. */
const char *ending_reason(const char *key, int wait_status);

/* Whether it has been killed for a reason that is recorded. */
bool ending_forced(const char *key);

/* Runs the plan `ms` after the init has been let go: it is to kill the container. Replaces another for the same key. 0, or -1 with errno. */
int ending_deadline(const char *key, uint64_t ms, const uint8_t *plan, size_t len);
/* The process of that key has been executed: nothing of it is to be let go any more, and its time begins. */
void ending_started(const char *key);
/* The container has a guard, which says a byte in `told` before it kills it, and whose end is EOF: then, and where ending_now wants it, the plan
 * is run. Takes the descriptor over. 0, or -1 with errno. */
int ending_guard(const char *key, int told, const uint8_t *plan, size_t len);
/* Ends a container that has a guard for this reason (ENDED_*, or another literal), unless one has been given before. */
void ending_now(const char *key, const char *reason);
/* It has ended, or is forgotten: no plan runs any more. */
void ending_forget(const char *key);

#endif
