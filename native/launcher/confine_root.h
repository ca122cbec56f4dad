/* The controller's root file system: its own program, read-only, and nothing else. */
#ifndef BERTH_CONFINE_ROOT_H
#define BERTH_CONFINE_ROOT_H

#include <stdbool.h>

#include "install.h"

/* In a mount and pid namespace of the caller's own: builds the root on the directory `scratch` and enters it. 0 or -1. */
int confine_root(const struct install *, const char *scratch);
/* What confine_root failed on. */
const char *confine_root_failed(void);

/* What of the host's files it has, beside two devices and a procfs: the program, Node's directory, libraries. Calls `each` of them until one returns
 * less than 0, which it returns. */
int confine_files(const struct install *, int (*each)(const char *path, bool optional, void *context), void *context);

#endif
