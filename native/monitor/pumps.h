/* Moves bytes between descriptors that a container's process must not hold itself (trap 7: a pipe that can be cut, a terminal). */
#ifndef BERTH_PUMPS_H
#define BERTH_PUMPS_H

#include <stdbool.h>
#include <stdint.h>

/* Moves bytes from `from` to `to` until EOF, then closes both; takes them over. 0, or -1 with errno. */
int pump_start(const char *name, int from, int to);
/* Ends the pumps under `name`; what a pipe still holds is lost. */
void pump_drop(const char *name);
/* Once their process has ended, the pumps under `name` end when nothing has come for `quiet_ms`, or after `limit_ms`: some background
 * child may hold their source for ever, and clients wait for the end of the output before they ask for a Delete that would cut it (trap 7). */
void pump_linger(const char *name, uint32_t quiet_ms, uint32_t limit_ms);
/* The pumps under `name` move at most so many bytes together. With the next one the container `key`, which has a guard, is ended; what comes then is
 * thrown away. 0, or -1 with errno. */
int pump_meter(const char *name, const char *key, uint64_t bytes);
/* The process of this key has ended. */
void pump_process_ended(const char *key);
/* Whether a pump under `name` has bytes to move now, or lingers. One whose source is open but empty has not: see above. */
bool pump_busy(const char *name);
/* Whether a pump has bytes to move now into the FIFO that this is an end of. */
bool pump_owes(int fifo);
/* Called whenever a pump may have stopped being busy. */
void pump_on_idle(void (*idle)(void));

#endif
