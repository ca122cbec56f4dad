/* A program that is run to its end: a hook, or a helper of the host's. */
#ifndef BERTH_PROGRAM_H
#define BERTH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "executor.h"

#define PROGRAM_FDS 16

struct program {
  const char *path;
  char **argv, **envp;
  const char *cwd;     /* NULL: ours; where it is gone, too */
  uint32_t timeout_ms; /* killed then; 0: never */
  const int *fds;      /* its descriptors from 3 on */
  size_t n_fds;        /* at most PROGRAM_FDS */
  const int *cgroups;  /* of each cgroup that it is in from its first instruction on, cgroup.procs */
  size_t n_cgroups;
  bool own_mounts;     /* in a mount namespace of its own, which follows ours */
};

/* Runs it with `input` as its standard input and nothing else of ours but `fds`. 0, or -1 (fail set) where its status is not 0: with the last line
 * of what it wrote. */
int program_run(struct executor *ex, const struct program *program, int input);

#endif
