/* What containerd says on a shim's command line, and the paths that follow from it. */
#ifndef BERTH_SHIM_CALL_H
#define BERTH_SHIM_CALL_H

#include <limits.h>
#include <stdbool.h>

#include "../common/buf.h"

struct shim_call {
  const char *namespace, *address, *publish_binary, *id, *bundle, *verb;
  bool debug, version, info;
  const char *bad; /* what can't be used; NULL where all can */
};

struct shim_call shim_call_parse(int argc, char **argv);
/* Appends what is on standard input. 0 or -1. */
int shim_stdin(struct buf *in);
/* Where the shim's state lies: /run/berth/.shim/HASH/NAMESPACE, HASH from containerd's address (trap 11). 0 or -1. */
int shim_state_dir(const struct shim_call *, char path[PATH_MAX]);
/* The file name of a group's socket, as the reference names it: 64 hex digits. 0 or -1. */
int shim_socket_name(const struct shim_call *, const char *group, char name[65]);
/* The group of the container in the current directory's config.json, to be freed; its id where it has none or there is no such
 * file. NULL with errno. */
char *shim_group(const struct shim_call *, char **problem);

#define SHIM_SOCKETS "/run/containerd/s"

#endif
