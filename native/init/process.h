/* The last steps: what is executed, with which descriptors, where. */
#ifndef BERTH_PROCESS_H
#define BERTH_PROCESS_H

#include <stddef.h>

/* Reserves room for the argument vectors of a plan of `len` bytes: at `exec` no system call for memory may be needed (trap 21). */
int process_reserve(size_t len);

#endif
