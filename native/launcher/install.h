/* Where what belongs to this binary lies: beside it, never found by a bare name on PATH. */
#ifndef BERTH_INSTALL_H
#define BERTH_INSTALL_H

#include <limits.h>

struct install {
  char dist[PATH_MAX];       /* DIR/dist, where the binary is DIR/bin/berth */
  char node[PATH_MAX];       /* the pinned Node, symlinks resolved */
  char controller[PATH_MAX]; /* the bundle */
};

/* For a process whose executable is a detached clone, which has no path any more: where its `dist` is. Must outlive all use. */
void install_is(const char *dist);

/* Finds them and checks that they can be used (trap 5). 0, or -1 with errno and a sentence in `why`. */
int install_find(struct install *, char *why, unsigned why_size);
/* The same where it is known which it is. */
int install_at(const char *dist, struct install *, char *why, unsigned why_size);

/* The path of a file in `dist`, which may not be there. 0, or -1 with errno. */
int install_file(const char *name, char path[PATH_MAX]);

#endif
