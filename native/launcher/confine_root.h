/* The controller's root file system: its own program, read-only, and nothing else. */
#ifndef BERTH_CONFINE_ROOT_H
#define BERTH_CONFINE_ROOT_H

#include "install.h"

/* In a mount and pid namespace of the caller's own: builds the root on the directory `scratch` and enters it. 0 or -1. */
int confine_root(const struct install *, const char *scratch);
/* What confine_root failed on. */
const char *confine_root_failed(void);

#endif
