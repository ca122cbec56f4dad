/* The root of the container: bound over itself, opened, and in the end made "/". */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "../common/fd.h"
#include "../common/mount_root.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "mount.h"
#include "ops.gen.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

int run_propagation(struct executor *ex, const struct op_propagation *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int mount = open(op->path, O_PATH | O_CLOEXEC);
  if (mount < 0) return fail_sys(&ex->fail, "open", op->path);
  return mount_propagation(ex, mount, op->flags, op->path);
}

/* Makes the mount that the directory lies in private: what is attached below it would show on the host otherwise, and pivot_root(2)
 * refuses a new root whose parent mount is shared. */
static int make_parent_private(struct executor *ex, int dir, const char *subject) {
  _cleanup_fd_ int at = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0) return fail_sys(&ex->fail, "openat", subject);
  for (;;) {
    int found = is_mount_root(at);
    if (found < 0) return fail_sys(&ex->fail, "statx", subject);
    if (found) return mount_propagation(ex, at, MS_PRIVATE, subject);
    int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (up < 0) return fail_sys(&ex->fail, "openat", subject);
    fd_close(&at);
    at = up;
  }
}

/* Takes the directory as the root from now on. */
static int take_root(struct executor *ex, int *root, const char *subject) {
  if (fchdir(*root) != 0) return fail_sys(&ex->fail, "fchdir", subject);
  fd_close(&ex->root);
  ex->root = fd_steal(root);
  return 0;
}

int run_rootfs(struct executor *ex, const struct op_rootfs *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int dir = open(op->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", op->path);
  /* MS_SHARED itself has to wait until after the pivot, which refuses a shared root: `remount-root` sets it. */
  bool shared = (op->propagation & MS_SHARED) != 0;
  if (shared && make_parent_private(ex, dir, op->path) != 0) return -1;
  _cleanup_fd_ int root = mount_clone(ex, dir, "", true, op->path);
  if (root < 0) return -1;
  if (!shared && mount_propagation(ex, root, op->propagation, op->path) != 0) return -1;
  return mount_attach(ex, root, dir, op->path) == 0 ? take_root(ex, &root, op->path) : -1;
}

int run_host_root(struct executor *ex, const struct op_host_root *op, struct buf *result) {
  (void)result;
  bool overlay = op->options[0] != '\0';
  _cleanup_fd_ int dir = open(op->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", op->path);
  _cleanup_fd_ int root = overlay ? mount_new(ex, "overlay", "overlay", op->options, 0, op->attrs) : mount_clone(ex, AT_FDCWD, "/", true, "/");
  if (root < 0 || (!overlay && mount_attrs(ex, root, true, op->attrs, 0, "/") != 0)) return -1;
  return mount_attach(ex, root, dir, op->path) == 0 ? take_root(ex, &root, op->path) : -1;
}

int run_open_root(struct executor *ex, const struct op_open_root *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int root = open(op->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return root < 0 ? fail_sys(&ex->fail, "open", op->path) : take_root(ex, &root, op->path);
}

int run_enter_root(struct executor *ex, const struct op_enter_root *op, struct buf *result) {
  (void)result;
  int slot = slot_fd(ex, op->slot);
  if (slot < 0) return -1;
  _cleanup_fd_ int root = fcntl(slot, F_DUPFD_CLOEXEC, 3);
  if (root < 0) return fail_sys(&ex->fail, "fcntl", "/");
  if (take_root(ex, &root, "/") != 0) return -1;
  return chroot(".") == 0 ? 0 : fail_sys(&ex->fail, "chroot", "/");
}

/* Swaps the roots, and lets go of the host's: it ends up mounted over the new root at ".", see pivot_root(2). */
static int swap_roots(struct executor *ex) {
  _cleanup_fd_ int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old < 0) return fail_sys(&ex->fail, "open", "/");
  if (syscall(SYS_pivot_root, ".", ".") != 0) {
    (void)fail_sys(&ex->fail, "pivot_root", "/");
    if (ex->fail.error == EINVAL)
      fail_copy(ex->fail.detail, sizeof ex->fail.detail, "a root on an initramfs cannot be swapped: try --no-pivot");
    return -1;
  }
  if (fchdir(old) != 0) return fail_sys(&ex->fail, "fchdir", "/");
  /* Its unmounting must not travel to the host. */
  if (mount_propagation(ex, old, MS_SLAVE | MS_REC, "/") != 0) return -1;
  return sys_umount2(".", MNT_DETACH) == 0 ? 0 : fail_sys(&ex->fail, "umount2", "/");
}

static int change_root(struct executor *ex) {
  return chroot(".") == 0 ? 0 : fail_sys(&ex->fail, "chroot", ".");
}

/* For an initramfs, whose root cannot be swapped: the new root is moved over it, and the process locked into it. */
static int cover_root(struct executor *ex) {
  _cleanup_fd_ int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old < 0) return fail_sys(&ex->fail, "open", "/");
  if (mount_attach(ex, ex->root, old, "/") != 0) return -1;
  return change_root(ex);
}

int run_pivot(struct executor *ex, const struct op_pivot *op, struct buf *result) {
  (void)result;
  if (ex->root < 0) return fail_msg(&ex->fail, EBADF, "/", "no root file system was opened");
  if (fchdir(ex->root) != 0) return fail_sys(&ex->fail, "fchdir", "/");
  bool chroots = (op->flags & PIVOT_CHROOT) != 0, covers = (op->flags & PIVOT_NO_PIVOT) != 0;
  if ((chroots ? change_root(ex) : covers ? cover_root(ex) : swap_roots(ex)) != 0) return -1;
  if (chdir("/") != 0) return fail_sys(&ex->fail, "chdir", "/");
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return fail_sys(&ex->fail, "open", "/");
  fd_close(&ex->root);
  ex->root = root;
  return 0;
}

int run_remount_root(struct executor *ex, const struct op_remount_root *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return fail_sys(&ex->fail, "open", "/");
  if (mount_propagation(ex, root, op->propagation, "/") != 0) return -1;
  return mount_attrs(ex, root, false, op->attr_set, 0, "/");
}
