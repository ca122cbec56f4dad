/* The few things on berth's own command line that the launcher must know before TypeScript reads it: who is to serve the command,
 * and which inherited descriptors are the container's, as they are inherited and not sent. */
#ifndef BERTH_LAUNCHER_ARGUMENTS_H
#define BERTH_LAUNCHER_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

struct arguments {
  bool own_controller; /* --no-controller, taken out of argv: nobody else has a use for it */
  bool makes_process;  /* a verb that will want a process beside this one: `remote` in src/plan/ops.ts */
  const char *about_controller; /* `status` or `stop`: of the one that runs, and none is started for it; or NULL */
  unsigned preserve;   /* descriptors from 3 on, those of LISTEN_FDS among them; all are open */
  unsigned listen_fds;
};

/* Reads (and shortens) argv. 0, or -1 with a sentence in `why`. */
int arguments_read(char **argv, struct arguments *, char *why, size_t size);

#endif
