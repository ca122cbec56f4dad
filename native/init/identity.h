#ifndef BERTH_IDENTITY_H
#define BERTH_IDENTITY_H

#include "../executor/executor.h"

/* Keeps others from reading or tracing this process: to be called after every change of credentials, each of which may undo it (trap
 * 2). 0 or -1 (fail set). */
int identity_hide(struct executor *ex);

/* Becomes root of the user namespace that was just entered: there the ids are still those of before, and what has no mapping cannot
 * own a file. Stays as it is where root is not mapped, or where this is no new namespace. 0 or -1 (fail set). */
int identity_root(struct executor *ex);

/* Brings every capability into force that a change of user has left permitted only; `caps` follows and sets them as asked. */
int identity_raise(struct executor *ex);

#endif
