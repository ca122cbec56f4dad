/* maskedPaths and readonlyPaths, and what a policy denies. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "mount.h"
#include "ops.gen.h"
#include "resolve.h"

/* Opens the null device in the root, and nothing that only bears its name (S5): a mask that can be read or written would be none. */
static int open_null(struct executor *ex) {
  _cleanup_fd_ int null = root_open(ex, "/dev/null", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
  if (null < 0) return fail_path(ex, "openat2", "/dev/null");
  struct stat info;
  if (fstat(null, &info) != 0) return fail_sys(&ex->fail, "fstat", "/dev/null");
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3))
    return fail_msg(&ex->fail, ENODEV, "/dev/null", "is not the null device, so it cannot mask a file");
  return fd_steal(&null);
}

static int mask_file(struct executor *ex, int target, int *null, const char *path) {
  if (*null < 0 && (*null = open_null(ex)) < 0) return -1;
  _cleanup_fd_ int mount = mount_clone(ex, *null, "", false, "/dev/null");
  return mount < 0 ? -1 : mount_attach(ex, mount, target, path);
}

/* All masked directories share one file system: the first gets it, the others clones, which have to be taken from a mount that is
 * attached. */
static int mask_dir(struct executor *ex, int target, int *empty, const char *path) {
  if (*empty >= 0) {
    _cleanup_fd_ int mount = mount_clone(ex, *empty, "", false, path);
    return mount < 0 ? -1 : mount_attach(ex, mount, target, path);
  }
  uint64_t attrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  _cleanup_fd_ int mount = mount_new(ex, "tmpfs", "tmpfs", "mode=755,size=4k,nr_inodes=2", MS_RDONLY, attrs);
  if (mount < 0 || mount_attach(ex, mount, target, path) != 0) return -1;
  *empty = fd_steal(&mount);
  return 0;
}

int run_mask(struct executor *ex, const struct op_mask *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int null = -1, empty = -1;
  struct reader paths = op->paths.items;
  for (uint32_t i = 0; i < op->paths.count; i++) {
    const char *path = reader_str(&paths);
    _cleanup_fd_ int target = root_open(ex, path, O_PATH, 0);
    if (target < 0 && errno == ENOENT) continue;
    struct stat info;
    if (target < 0 || fstat(target, &info) != 0) return fail_path(ex, "openat2", path);
    if ((S_ISDIR(info.st_mode) ? mask_dir(ex, target, &empty, path) : mask_file(ex, target, &null, path)) != 0) return -1;
  }
  return 0;
}

/* The null device on a mount without devices: whoever opens it has EACCES, root too. */
static int deny_file(struct executor *ex, int target, const char *path) {
  _cleanup_fd_ int null = open_null(ex);
  if (null < 0) return -1;
  _cleanup_fd_ int mount = mount_clone(ex, null, "", false, "/dev/null");
  if (mount < 0 || mount_attrs(ex, mount, false, MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY, 0, path) != 0) return -1;
  return mount_attach(ex, mount, target, path);
}

int run_deny(struct executor *ex, const struct op_deny *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int empty = -1;
  struct reader paths = op->paths.items;
  for (uint32_t i = 0; i < op->paths.count; i++) {
    const char *path = reader_str(&paths);
    _cleanup_fd_ int target = root_open(ex, path, O_PATH, 0);
    if (target < 0 && errno == ENOENT)
      return fail_msg(&ex->fail, ENOENT, path, "is to be denied, but is not there: what comes later could not be kept from it");
    struct stat info;
    if (target < 0 || fstat(target, &info) != 0) return fail_path(ex, "openat2", path);
    if ((S_ISDIR(info.st_mode) ? mask_dir(ex, target, &empty, path) : deny_file(ex, target, path)) != 0) return -1;
  }
  return 0;
}

int run_readonly(struct executor *ex, const struct op_readonly *op, struct buf *result) {
  (void)result;
  struct reader paths = op->paths.items;
  for (uint32_t i = 0; i < op->paths.count; i++) {
    const char *path = reader_str(&paths);
    _cleanup_fd_ int target = root_open(ex, path, O_PATH, 0);
    if (target < 0 && errno == ENOENT) continue;
    if (target < 0) return fail_path(ex, "openat2", path);
    _cleanup_fd_ int mount = mount_clone(ex, target, "", true, path);
    if (mount < 0 || mount_attrs(ex, mount, false, MOUNT_ATTR_RDONLY, 0, path) != 0 || mount_attach(ex, mount, target, path) != 0)
      return -1;
  }
  return 0;
}
