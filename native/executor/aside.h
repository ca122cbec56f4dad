/* Processes that stay beside a container without being anything new: copies of this one that keep nothing of it but what they are given. */
#ifndef BERTH_ASIDE_H
#define BERTH_ASIDE_H

#include <stddef.h>
#include <sys/types.h>

#include "executor.h"

#define ASIDE_FDS 640

struct aside {
  const char *name;
  const char *record; /* the file where it is noted down who it is, for `end-spawned` */
  int *const *mine; /* the descriptors that it keeps: they become 3 and up, -1 stays; at most ASIDE_FDS */
  size_t count;
  void (*work)(void *what); /* it ends with this */
  void *what;
};

/* Makes one, which sees nothing of the plan, and waits until it has left everything of ours; it is noted down before it begins. Its parent is our own, so that nobody has to reap
 * it here. Its pid, with a pidfd of it, or -1 (fail set). */
pid_t aside_start(struct executor *ex, const struct aside *, int *pidfd);

#endif
