#ifndef BERTH_SHIM_START_H
#define BERTH_SHIM_START_H

#include "shim_call.h"

/* `start`: prints the address of the shim of this container's group, started if need be. Nothing else goes to standard output or
 * error but, on failure, one line. The exit code. */
int shim_start(const struct shim_call *);

#endif
