#ifndef BERTH_PLACE_H
#define BERTH_PLACE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "../common/tracee.h"

/* Where a path of it leads: without symlinks, as seen in its root. */
struct place {
  char path[PATH_MAX];
  struct stat info;
  int fd; /* O_PATH */
};
#define _cleanup_place_ __attribute__((cleanup(place_cleanup)))
void place_cleanup(struct place *);

/* The path as given, from where it is relative to; not resolved. 0 or -1. */
int tracee_path(const struct call *, int dir, const char *path, char whole[PATH_MAX]);
/* 0, or -1 with errno: ENOENT where nothing is there. */
int tracee_resolve(const struct call *, const char *whole, bool follow, struct place *);

#endif
