/* Plans that run in another process: a monitor that is there, or one made for this command (docs/internals.md). */
#ifndef BERTH_REMOTE_H
#define BERTH_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"

/* A connection to the monitor that listens on `socket`; of this user, or with `or_root` of root. -1 with errno. */
int remote_connect(const char *socket, bool or_root);
/* How many descriptors from 3 on the container is to inherit; set before the first remote_run. */
void remote_preserve(unsigned count);
/* Starts the process for this command that a plan will want, so that it is there by then; where that fails it is told then. */
void remote_early(void);
/* Runs the plan in the monitor that listens on `socket`, or for "" in one started for this command, and appends its outcome. 0 or -1
 * with errno. */
int remote_run(const char *socket, const uint8_t *plan, size_t len, struct buf *outcome);
/* A descriptor that a remote plan gave under `name`; the caller owns it. -1 where there is none. */
int remote_take(const char *name);

#endif
