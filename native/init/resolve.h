/* Paths inside the container's root. They belong to whoever made the image, and may change while we look (S3, S8, S10): each is
 * resolved by the kernel with the root as its bound, and what is made is made by single names on descriptors. */
#ifndef BERTH_RESOLVE_H
#define BERTH_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "../executor/executor.h"

/* Opens below ex->root. `resolve` adds RESOLVE_* to those that always hold. The descriptor, or -1 with errno. */
int root_open(const struct executor *ex, const char *path, uint64_t flags, uint64_t resolve);

/* Opens (O_PATH) a directory, making it and its missing parents with mode 0755. -1: fail set. */
int root_make_dir(struct executor *ex, const char *path, uint64_t resolve, bool *made);
/* The same for a file: an empty one where none is. Anything that is there already is opened as it is. */
int root_make_file(struct executor *ex, const char *path, uint64_t resolve);

/* Opens the parent directory (made where missing) for an entry that is to be made; *name is the last component, within `path`. Below
 * /dev no symlink is followed (S8). -1: fail set. */
int root_parent(struct executor *ex, const char *path, const char **name);

/* fail_sys for a path, with words of its own for a symlink that was refused. */
int fail_path(struct executor *ex, const char *syscall, const char *path);

#endif
