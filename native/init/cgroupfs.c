/* What the process does about its cgroups of version 1: it enters them; and /sys/fs/cgroup, one tmpfs with the container's own groups bound into it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../common/whole.h"
#include "../executor/executor.h"
#include "mount.h"
#include "ops.gen.h"
#include "resolve.h"

#define CONFINED (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* What it may do itself is done at once: see native/executor/join.c. */
static int enter(const char *path) {
  _cleanup_fd_ int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  _cleanup_fd_ int tasks = dir < 0 ? -1 : openat(dir, "tasks", O_WRONLY | O_CLOEXEC);
  return tasks < 0 ? -1 : write_whole(tasks, "0", 1);
}

int run_enter_cgroups(struct executor *ex, const struct op_enter_cgroups *op, struct buf *result) {
  (void)result;
  struct reader paths = op->cgroups.items;
  for (uint32_t i = 0; i < op->cgroups.count; i++) {
    const char *path = reader_str(&paths);
    if (enter(path) != 0) return fail_sys(&ex->fail, "write", path);
  }
  return 0;
}

static int bind_hierarchy(struct executor *ex, int tmpfs, const char *name, const char *dir, bool readonly) {
  if (strchr(name, '/') != NULL) return fail_msg(&ex->fail, EINVAL, name, "a hierarchy's name has no slash");
  if (mkdirat(tmpfs, name, 0755) != 0) return fail_sys(&ex->fail, "mkdirat", name);
  _cleanup_fd_ int target = openat(tmpfs, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0) return fail_sys(&ex->fail, "openat", name);
  _cleanup_fd_ int mount = mount_clone(ex, AT_FDCWD, dir, false, dir);
  if (mount < 0) return -1;
  if (mount_attrs(ex, mount, false, CONFINED | (readonly ? MOUNT_ATTR_RDONLY : 0), 0, dir) != 0) return -1;
  return mount_attach(ex, mount, target, name);
}

/* `link` is "name=target": cpu=cpu,cpuacct. */
static int make_link(struct executor *ex, int tmpfs, const char *link) {
  char name[NAME_MAX + 1];
  size_t len = strcspn(link, "=");
  if (link[len] != '=' || len == 0 || len >= sizeof name) return fail_msg(&ex->fail, EINVAL, link, "not of the form name=target");
  memcpy(name, link, len);
  name[len] = '\0';
  return symlinkat(link + len + 1, tmpfs, name) == 0 ? 0 : fail_sys(&ex->fail, "symlinkat", name);
}

int run_mount_cgroups(struct executor *ex, const struct op_mount_cgroups *op, struct buf *result) {
  (void)result;
  if (op->names.count != op->dirs.count) return fail_msg(&ex->fail, EINVAL, op->target, "names and directories differ in number");
  bool made;
  _cleanup_fd_ int target = root_make_dir(ex, op->target, 0, &made);
  if (target < 0) return -1;
  _cleanup_fd_ int tmpfs = mount_new(ex, "tmpfs", "tmpfs", "mode=755", 0, CONFINED);
  /* Attached first: nothing can be attached to a mount that is detached itself. */
  if (tmpfs < 0 || mount_attach(ex, tmpfs, target, op->target) != 0) return -1;
  struct reader names = op->names.items, dirs = op->dirs.items, links = op->links.items;
  for (uint32_t i = 0; i < op->names.count; i++) {
    const char *name = reader_str(&names), *dir = reader_str(&dirs);
    if (bind_hierarchy(ex, tmpfs, name, dir, op->readonly != 0) != 0) return -1;
  }
  for (uint32_t i = 0; i < op->links.count; i++)
    if (make_link(ex, tmpfs, reader_str(&links)) != 0) return -1;
  return op->readonly != 0 ? mount_attrs(ex, tmpfs, false, MOUNT_ATTR_RDONLY, 0, op->target) : 0;
}
