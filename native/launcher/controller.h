/* Reaching the controller: connect to the shared one, start it where there is none, or start one for a single request. */
#ifndef BERTH_CONTROLLER_H
#define BERTH_CONTROLLER_H

#include <stdbool.h>

/* A connected stream socket (close-on-exec), or -1 with errno. Blocks while a controller is being started, not while it
 * boots: the listening socket is there before Node is, and the caller waits in its backlog. Safe in a forked child. */
int controller_connect(bool own);
/* Whether one is there to be connected to. */
bool controller_runs(void);
/* Where to look when it failed: the directory it could not use, else the controller's log. "" before the first call. */
const char *controller_place(void);

#endif
