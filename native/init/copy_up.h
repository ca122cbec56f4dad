/* Copying what a directory of the image held into the tmpfs that is about to cover it (mount option tmpcopyup). */
#ifndef BERTH_COPY_UP_H
#define BERTH_COPY_UP_H

#include "../executor/executor.h"

/* Copies regular files, directories and symlinks with their modes and owners; nothing else. 0 or -1 (fail set with `subject`). */
int copy_up(struct executor *ex, int from, int to, const char *subject);

#endif
