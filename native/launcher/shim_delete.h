#ifndef BERTH_SHIM_DELETE_H
#define BERTH_SHIM_DELETE_H

#include "shim_call.h"

/* `delete`: removes what is left of the container, whatever is there, and prints a DeleteResponse. Needs no controller and no
 * monitor. Touches no other member of the group. The exit code. */
int shim_delete(const struct shim_call *);

#endif
