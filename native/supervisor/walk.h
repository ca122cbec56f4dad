/* Paths of the caller's, followed step by step as the kernel would, with every step pinned by a descriptor: what was judged is what is used. */
#ifndef BERTH_WALK_H
#define BERTH_WALK_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "caller.h"

enum walk {
  WALK_NOFOLLOW = 1,    /* a symlink at the end is what is meant */
  WALK_CREATE = 2,      /* the last name may be missing */
  WALK_BENEATH = 4,     /* as RESOLVE_BENEATH, …_NO_SYMLINKS, …_NO_MAGICLINKS and …_NO_XDEV have it (openat2(2)) */
  WALK_NO_SYMLINKS = 8,
  WALK_NO_MAGIC = 16,
  WALK_ONE_MOUNT = 32,
};

struct found {
  int fd;     /* O_PATH; -1: there is nothing yet */
  int parent; /* the directory that it is, or is to be, in; -1: unknown */
  char name[NAME_MAX + 1]; /* there; "" where that is unknown */
  bool directory;          /* it has to be one: a slash is at the end */
  struct stat info;        /* of what is there */
  char path[PATH_MAX];     /* without symlinks, from the container's root */
};
#define _cleanup_found_ __attribute__((cleanup(found_cleanup)))
#define NOTHING_FOUND ((struct found){.fd = -1, .parent = -1})
void found_cleanup(struct found *);

/* From the directory `base`, or the caller's root. 0, or the errno. */
int walk(struct asked *, const struct caller *, int base, const char *path, unsigned how, struct found *);
/* What the descriptor is called, for one that needs no walk. 0, or the errno. */
int found_of(const struct caller *, int fd, struct found *);
/* Opens what is pinned anew: with our rights of this moment. A descriptor, or -1 with errno. */
int found_open(const struct caller *, const struct found *, int flags, mode_t mode);

#endif
