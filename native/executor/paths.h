/* What the operations on files and directories share. */
#ifndef BERTH_PATHS_H
#define BERTH_PATHS_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "../common/clock.h"
#include "../common/whole.h"
#include "executor.h"
#include "ops.gen.h"

/* Whether errno says that there is no such file, and the flags that this is no failure. Operations that make nothing take the bit of
 * either table (READ_FLAGS, DIR_FLAGS). */
static inline bool missing(uint32_t flags) {
  return (errno == ENOENT || errno == ENOTDIR) && (flags & (READ_MISSING_OK | DIR_MISSING_OK)) != 0;
}

enum tree { TREE_ALL, TREE_DIRECTORIES /* cgroups: their files go with them */ };
/* Empties the directory: follows no symlink, crosses no mount. 0, or -1 (fail set). */
int tree_empty(struct executor *ex, int dir, const char *subject, enum tree what);

#endif
