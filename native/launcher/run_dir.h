/* The directory for sockets and state of this user: /run/berth, or below XDG_RUNTIME_DIR. */
#ifndef BERTH_RUN_DIR_H
#define BERTH_RUN_DIR_H

#include <limits.h>
#include <stdbool.h>

/* Writes the path; makes nothing. As runc chooses: /run/berth for root of the initial user namespace, else $XDG_RUNTIME_DIR/berth
 * where that is set. 0, or -1 with errno. */
int run_dir(char path[PATH_MAX]);
/* Whether this process is in the initial user namespace: root there is root of the host. */
bool initial_user_namespace(void);

#endif
