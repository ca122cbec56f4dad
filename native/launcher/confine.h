/* Starts the controller where it can do nothing but compute: no capability, no file system but its program, no network, a pid
 * namespace of its own, and none of its caller's attributes (traps 12 and 14). */
#ifndef BERTH_CONFINE_H
#define BERTH_CONFINE_H

#include "install.h"

/* Starts Node with `socket` as descriptor 3 and `mode` (--listen-fd, --serve-fd) in its arguments, and returns while it boots.
 * `scratch` is a directory that serves as a mount point in its mount namespace; its output goes to the file `log`. 0, or -1 with errno. */
int confine_start(const struct install *, const char *mode, int socket, const char *scratch, const char *log);
/* How long a controller that is started here may be idle, in seconds as text: BERTH_CONTROLLER_IDLE, or its default. */
const char *confine_idle(void);
/* For a process without its caller's environment: what the caller found. */
void confine_idle_is(const char *seconds);

#endif
