/* Where the caller is. */
#ifndef BERTH_WORKING_DIR_H
#define BERTH_WORKING_DIR_H

#include <limits.h>

/* 0, or -1 with errno. */
int working_dir(char path[PATH_MAX]);

#endif
