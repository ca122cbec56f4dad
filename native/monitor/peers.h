/* Launchers that ask a monitor to run plans (docs/internals.md, "Launcher and monitor"). */
#ifndef BERTH_PEERS_H
#define BERTH_PEERS_H

#include <stdbool.h>

#include "../executor/executor.h"

/* The connection that this process was started with; plans with the inline flag run in this process, in `executor`. */
int peers_first(int fd, struct executor *executor);
/* Accepts peers of the same uid, or root, on `listener` (taken over). What is prepared for their verbs and can't block runs in `executor`. */
int peers_listen(int listener, struct executor *executor);
/* Sends `fd` (taken over) under `name` on the connection whose plan runs inline now. 0 or -1 with errno. */
int peer_give(const char *name, int fd);
bool peers_connected(void);
/* Whether an outcome still has to go out. */
bool peers_unsent(void);
/* Called after a connection has ended, or has nothing more to send. */
void peers_on_end(void (*ended)(void));

#endif
