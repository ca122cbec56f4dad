/* What the operations on files and directories share. */
#ifndef BERTH_PATHS_H
#define BERTH_PATHS_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "executor.h"
#include "ops.gen.h"

/* Whether errno says that there is no such file, and the flags that this is no failure. Operations that make nothing take the bit of
 * either table (READ_FLAGS, DIR_FLAGS). */
static inline bool missing(uint32_t flags) {
  return (errno == ENOENT || errno == ENOTDIR) && (flags & (READ_MISSING_OK | DIR_MISSING_OK)) != 0;
}

/* Appends what is left of the file; EFBIG where that is more than `max`. Files of unknown size (procfs, cgroup) too. 0 or -1. */
int read_whole(int fd, size_t max, struct buf *out);
/* 0 or -1 with errno. */
int write_whole(int fd, const void *data, size_t len);

/* Sleeps, for what the kernel has no event for. */
void pause_ms(unsigned ms);
uint64_t now_ms(void); /* CLOCK_MONOTONIC */
int left_ms(uint64_t until); /* as poll(2) takes it; 0: it is that late */

enum tree { TREE_ALL, TREE_DIRECTORIES /* cgroups: their files go with them */ };
/* Empties the directory: follows no symlink, crosses no mount. 0, or -1 (fail set). */
int tree_empty(struct executor *ex, int dir, const char *subject, enum tree what);

#endif
