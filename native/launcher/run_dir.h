/* The directory for sockets and state of this user: /run/berth, or below XDG_RUNTIME_DIR. */
#ifndef BERTH_RUN_DIR_H
#define BERTH_RUN_DIR_H

#include <limits.h>

/* Writes the path; makes nothing. /run/berth for root; for everybody else, root of a user namespace that can't write to /run or goes by
 * another USER included, $XDG_RUNTIME_DIR/berth, or /run/user/UID/berth where that is not set. 0, or -1 with errno. */
int run_dir(char path[PATH_MAX]);
/* Why the last run_dir gave none, and what to do. */
const char *run_dir_trouble(void);
/* For a process without its caller's environment: what the caller found. */
void run_dir_is(const char *path);

#endif
