/* Moves bytes between descriptors that a container's process must not hold itself (trap 7: a pipe that can be cut, a terminal). */
#ifndef BERTH_PUMPS_H
#define BERTH_PUMPS_H

#include <stdbool.h>
#include <stdint.h>

/* Moves bytes from `from` to `to` until EOF, then closes both; takes them over. 0, or -1 with errno. */
int pump_start(const char *name, int from, int to);
/* Ends the pumps under `name`; what a pipe still holds is lost. */
void pump_drop(const char *name);
/* Whether a pump under `name` has bytes to move now. One whose source is open but empty has not: some background child of a
 * process that has ended may hold it for ever (trap 7). */
bool pump_busy(const char *name);
/* Called whenever a pump may have stopped being busy. */
void pump_on_idle(void (*idle)(void));

#endif
