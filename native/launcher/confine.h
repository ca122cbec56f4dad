/* Starts Node where it can do nothing but compute: no capability, no file system but its program, a pid namespace of its own, and none of
 * its caller's attributes (traps 12 and 14). The controller has no network either; a container's worker has its monitor's. */
#ifndef BERTH_CONFINE_H
#define BERTH_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "confine_rules.h"
#include "install.h"

struct confined {
  const char *who;         /* in messages */
  const char *const *argv; /* of Node */
  const char *scratch;     /* a directory that serves as a mount point in its mount namespace */
  const char *log;         /* the file that its output goes to */
  const char *record;      /* the file where it is noted down who it is, before it does anything; NULL: nowhere */
  const int *fds;          /* become 3 and up */
  size_t count;
  bool of_container; /* a worker: stays in the cgroups and the network of who starts it */
  const struct confine_rules *rules; /* NULL: none */
  bool alone; /* of a container, and without a network */
  bool bound; /* ends with who starts it, whatever it is doing; a process between the two is the starter's child */
};

/* Returns while it boots. 0, or -1 with errno. */
int confine_start(const struct install *, const struct confined *);
/* How long a controller that is started here may be idle, in seconds as text: BERTH_CONTROLLER_IDLE, or its default. */
const char *confine_idle(void);
/* For a process without its caller's environment: what the caller found. */
void confine_idle_is(const char *seconds);

#endif
