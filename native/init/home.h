/* The home directory of a user as the container's own /etc/passwd has it. */
#ifndef BERTH_HOME_H
#define BERTH_HOME_H

#include <limits.h>
#include <stdint.h>

#include "../executor/executor.h"

#define HOME_NAME "HOME="
#define HOME_SIZE (sizeof HOME_NAME + PATH_MAX)

/* Puts `HOME=…` into `variable`: "/" where the user has no entry, or there is no such file. */
void home_find(const struct executor *ex, uint32_t uid, char variable[HOME_SIZE]);

#endif
