/* Detached mounts: made or cloned, given their attributes, and only then attached to a descriptor (S3). */
#ifndef BERTH_MOUNT_H
#define BERTH_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "../executor/executor.h"

/* Clones the mount at a descriptor (path "" ) or path. The mount's descriptor, or -1: fail set with `subject`. */
int mount_clone(struct executor *ex, int dir, const char *path, bool recursive, const char *subject);
/* Sets and clears MOUNT_ATTR_* on a mount. 0 or -1. Nothing asked for is no system call. */
int mount_attrs(struct executor *ex, int mount, bool recursive, uint64_t set, uint64_t clear, const char *subject);
/* Changes the propagation (one of MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, with MS_REC or not; 0: leaves it). */
int mount_propagation(struct executor *ex, int mount, uint64_t propagation, const char *subject);
/* Maps the ids of a detached mount, or of its whole tree, by the user namespace in a slot. 0 or -1. */
int mount_idmap(struct executor *ex, int mount, uint32_t userns, bool recursive, const char *subject);
/* After that failed: says what the file system of this type lacks. Always -1. */
int mount_idmap_fail(struct executor *ex, const char *type, bool recursive);
/* Attaches. 0 or -1. */
int mount_attach(struct executor *ex, int mount, int target, const char *subject);

/* Makes a new file system of `type`: options as in mount(8), flags of mount(2) for the superblock, attributes for the mount. -1 with
 * errno, and fail set with what the kernel said. */
int mount_new(struct executor *ex, const char *type, const char *source, const char *options, uint64_t sb_flags, uint64_t attrs);
/* Changes the file system of a mount that is there. `writable`: says so too, instead of leaving it as it is. 0 or -1. */
int mount_reconfigure(struct executor *ex, int mount, const char *type, const char *options, uint64_t sb_flags, bool writable,
                      const char *subject);
/* Whether the comma-separated options have this key. */
bool mount_option(const char *options, const char *key);

#endif
