/* Copies of single files, from descriptors opened with O_PATH. All return 0, or -1 with errno. */
#ifndef BERTH_COPY_H
#define BERTH_COPY_H

#include <sys/stat.h>

/* The content of a regular file, into a new one of this name. */
int copy_file(int from, int to_dir, const char *name);
int copy_symlink(int from, int to_dir, const char *name);
/* Owner, mode, extended attributes and times, as far as the file system has a place for them. `info`: of `from`. */
int copy_metadata(int from, int to, const struct stat *info);

#endif
