/* Files that others read while we write them. */
#ifndef BERTH_REPLACE_H
#define BERTH_REPLACE_H

#include <stddef.h>

/* Puts a new file (0600) in the place of `path`: whoever reads it sees all of it or what was there before. What bears the temporary name
 * (`path`.new) is a process's of ours that was killed meanwhile: it is removed, never written to. 0 or -1 with errno. */
int file_replace(const char *path, const void *data, size_t len);

#endif
