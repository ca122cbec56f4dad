/* Copying what a directory of the image held into the tmpfs that is about to cover it (mount option tmpcopyup). */
#ifndef BERTH_COPY_UP_H
#define BERTH_COPY_UP_H

#include <stdbool.h>

#include "../executor/executor.h"

/* Copies files of every kind with their hard links, owners, modes, extended attributes (ACLs among them) and times; of the directory itself
 * the owner only where `owner` says so. 0 or -1 (fail set with `subject`). */
int copy_up(struct executor *ex, int from, int to, bool owner, const char *subject);

#endif
