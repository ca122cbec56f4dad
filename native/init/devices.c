/* Device nodes and symlinks below the root. */
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

static bool same_node(const struct stat *info, const struct op_mknod *op) {
  if ((info->st_mode & S_IFMT) != op->type) return false;
  return op->type == S_IFIFO || info->st_rdev == makedev(op->major, op->minor);
}

/* Binds the host's node where making one is not allowed: in a user namespace. */
static int bind_node(struct executor *ex, const struct op_mknod *op, int parent, const char *name) {
  _cleanup_fd_ int mount = mount_clone(ex, AT_FDCWD, op->path, false, op->path);
  struct stat info;
  if (mount < 0) return -1;
  if (fstat(mount, &info) != 0) return fail_sys(&ex->fail, "fstat", op->path);
  if (!same_node(&info, op)) return fail_msg(&ex->fail, EPERM, op->path, "cannot be made here, and is another device on the host");
  _cleanup_fd_ int target = openat(parent, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (target < 0) return fail_sys(&ex->fail, "openat", op->path);
  return mount_attach(ex, mount, target, op->path);
}

/* Gives a node that was just made to its owner. What bears the name now is opened and looked at first: whoever shares the directory
 * may have put something else there, and the same device number does not make it ours (S9). Ours lies in that directory itself, has no
 * second name, and still belongs to us. */
static int own_node(struct executor *ex, const struct op_mknod *op, int parent, const char *name) {
  _cleanup_fd_ int node =
      sys_openat2(parent, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
  struct stat info;
  if (node < 0 || fstat(node, &info) != 0) return fail_path(ex, "openat2", op->path);
  if (!same_node(&info, op) || info.st_nlink != 1 || info.st_uid != geteuid())
    return fail_msg(&ex->fail, EEXIST, op->path, "was replaced while it was made");
  if (info.st_uid == op->uid && info.st_gid == op->gid) return 0;
  return fchownat(node, "", op->uid, op->gid, AT_EMPTY_PATH) == 0 ? 0 : fail_sys(&ex->fail, "fchownat", op->path);
}

int run_mknod(struct executor *ex, const struct op_mknod *op, struct buf *result) {
  (void)result;
  const char *name;
  _cleanup_fd_ int parent = root_parent(ex, op->path, &name);
  if (parent < 0) return -1;
  /* The mode has to be right from the first moment, and there is no chmod that does not follow names. */
  mode_t mask = umask(0);
  int made = mknodat(parent, name, (op->mode & 07777) | op->type, makedev(op->major, op->minor));
  (void)umask(mask);
  if (made == 0) return own_node(ex, op, parent, name);
  if (errno == EPERM) return bind_node(ex, op, parent, name);
  if (errno != EEXIST) return fail_sys(&ex->fail, "mknodat", op->path);
  struct stat info;
  if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return fail_sys(&ex->fail, "fstatat", op->path);
  return same_node(&info, op) ? 0 : fail_msg(&ex->fail, EEXIST, op->path, "exists and is not this device");
}

int run_symlink(struct executor *ex, const struct op_symlink *op, struct buf *result) {
  (void)result;
  const char *name;
  _cleanup_fd_ int parent = root_parent(ex, op->path, &name);
  if (parent < 0) return -1;
  /* One that the image brought stays, whatever it is: it is the image's own affair. */
  return symlinkat(op->target, parent, name) == 0 || errno == EEXIST ? 0 : fail_sys(&ex->fail, "symlinkat", op->path);
}
