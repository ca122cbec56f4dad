/* A mount of config.json: made or cloned detached, then attached to a descriptor below the root. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "copy_up.h"
#include "mount.h"
#include "ops.gen.h"
#include "resolve.h"

/* Where the host has the file systems that a user namespace may not make a new one of. */
static const char *host_place(const char *type) {
  static const struct {
    const char *type, *path;
  } places[] = {
    {"sysfs", "/sys"}, {"proc", "/proc"}, {"mqueue", "/dev/mqueue"}, {"cgroup2", "/sys/fs/cgroup"}, {"cgroup", "/sys/fs/cgroup"},
  };
  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    if (strcmp(type, places[i].type) == 0) return places[i].path;
  return NULL;
}

static int open_target(struct executor *ex, const struct op_mount_in *op, bool dir, bool *made) {
  uint64_t resolve = (op->flags & MOUNT_NO_SYMLINK) != 0 ? RESOLVE_NO_SYMLINKS : 0;
  *made = false;
  if ((op->flags & MOUNT_MAKE_TARGET) != 0)
    return dir ? root_make_dir(ex, op->target, resolve, made) : root_make_file(ex, op->target, resolve);
  int target = root_open(ex, op->target, O_PATH, resolve);
  return target >= 0 ? target : fail_path(ex, "openat2", op->target);
}

/* A symlink of the image may lead a destination to where labels and sysctls are written, and masked paths are looked for (S4). */
static int check_target(struct executor *ex, const struct op_mount_in *op, int target) {
  struct statfs fs;
  if ((op->flags & MOUNT_NOT_ON_PROC) == 0) return 0;
  if (fstatfs(target, &fs) != 0) return fail_sys(&ex->fail, "fstatfs", op->target);
  return fs.f_type != PROC_SUPER_MAGIC ? 0 : fail_msg(&ex->fail, EPERM, op->target, "the path leads into /proc through a symlink");
}

/* What is to be done to a mount before and after it is attached: the whole tree first, then its top. */
static int finish(struct executor *ex, const struct op_mount_in *op, int mount, int target, uint64_t set) {
  if (check_target(ex, op, target) != 0) return -1;
  if (op->userns != NO_SLOT && mount_idmap(ex, mount, op->userns, false, op->target) != 0)
    return mount_idmap_fail(ex, op->type, false);
  if (mount_attrs(ex, mount, true, op->rec_attr_set, op->rec_attr_clear, op->target) != 0) return -1;
  if (mount_attrs(ex, mount, false, set, op->attr_clear, op->target) != 0) return -1;
  if (mount_propagation(ex, mount, op->propagation, op->target) != 0) return -1;
  return mount_attach(ex, mount, target, op->target);
}

/* Attaches a clone of what is at `source` on the host. */
static int bind(struct executor *ex, const struct op_mount_in *op, int mount, const char *source) {
  struct stat from, to;
  if (fstat(mount, &from) != 0) return fail_sys(&ex->fail, "fstat", source);
  bool made;
  _cleanup_fd_ int target = open_target(ex, op, S_ISDIR(from.st_mode), &made);
  if (target < 0) return -1;
  if (fstat(target, &to) != 0) return fail_sys(&ex->fail, "fstat", op->target);
  if (S_ISDIR(from.st_mode) != S_ISDIR(to.st_mode))
    return fail_msg(&ex->fail, ENOTDIR, op->target, S_ISDIR(to.st_mode) ? "a file cannot be mounted on a directory"
                                                                         : "a directory cannot be mounted on a file");
  return finish(ex, op, mount, target, op->attr_set);
}

/* A tmpfs over a directory of the image takes the directory's mode over where it is given none: /tmp stays 1777. */
static int tmpfs_options(struct executor *ex, const struct op_mount_in *op, int target, char *options, size_t size) {
  struct stat info;
  if (fstat(target, &info) != 0) return fail_sys(&ex->fail, "fstat", op->target);
  int len = snprintf(options, size, "%s%smode=%o", op->options, *op->options == '\0' ? "" : ",", (unsigned)info.st_mode & 07777);
  if (len > 0 && (size_t)len < size) return 0;
  errno = E2BIG;
  return fail_sys(&ex->fail, "fsconfig", op->target);
}

/* Keeps a procfs that was just made for operations of our own (S7): it is known to be one, and shows this process's namespaces.
 * What is mounted over parts of it is not walked into (lsm.c). */
static void keep_proc(struct executor *ex, const struct op_mount_in *op, int *mount) {
  bool whole = *op->options == '\0' && (op->sb_flags & MS_RDONLY) == 0 &&
               ((op->attr_set | op->rec_attr_set) & MOUNT_ATTR_RDONLY) == 0;
  if (whole && ex->proc < 0 && strcmp(op->type, "proc") == 0) ex->proc = fd_steal(mount);
}

/* Binds the host's instead. What comes along with it is confined as its top is: a writable cgroup of the host below a read-only /sys
 * would be no loss of the container's only (S12). */
static int bind_host(struct executor *ex, const struct op_mount_in *op) {
  const char *source = host_place(op->type);
  if ((op->flags & MOUNT_BIND_FALLBACK) == 0 || source == NULL) return -1;
  struct op_mount_in host = *op;
  host.rec_attr_set |= op->attr_set;
  host.rec_attr_clear |= op->attr_clear;
  /* The host's cgroups are not the container's, even where its user may write to them (S12). */
  if (strcmp(op->type, "cgroup2") == 0) host.rec_attr_set |= MOUNT_ATTR_RDONLY;
  struct fail why = ex->fail;
  _cleanup_fd_ int mount = mount_clone(ex, AT_FDCWD, source, true, source);
  if (mount >= 0) return bind(ex, &host, mount, source);
  ex->fail = why; /* the host has none either: what could not be mounted says more */
  return -1;
}

static int bind_source(struct executor *ex, const struct op_mount_in *op) {
  if (op->from < SLOTS && ex->slots[op->from] >= 0) return bind(ex, op, ex->slots[op->from], op->source);
  _cleanup_fd_ int mount = mount_clone(ex, AT_FDCWD, op->source, (op->flags & MOUNT_RECURSIVE) != 0, op->source);
  return mount < 0 ? -1 : bind(ex, op, mount, op->source);
}

/* Changes a mount that is there; its file system too unless it is a bind. */
static int remount(struct executor *ex, const struct op_mount_in *op) {
  _cleanup_fd_ int mount = root_open(ex, op->target, O_PATH, 0);
  if (mount < 0) return fail_path(ex, "openat2", op->target);
  if (check_target(ex, op, mount) != 0) return -1;
  bool writable = (op->attr_clear & MOUNT_ATTR_RDONLY) != 0;
  if (strcmp(op->type, "bind") != 0 && mount_reconfigure(ex, mount, op->type, op->options, op->sb_flags, writable, op->target) != 0)
    return -1;
  if (mount_attrs(ex, mount, true, op->rec_attr_set, op->rec_attr_clear, op->target) != 0) return -1;
  if (mount_attrs(ex, mount, false, op->attr_set, op->attr_clear, op->target) != 0) return -1;
  return mount_propagation(ex, mount, op->propagation, op->target);
}

int run_mount_in(struct executor *ex, const struct op_mount_in *op, struct buf *result) {
  (void)result;
  if ((op->flags & MOUNT_REMOUNT) != 0) return remount(ex, op);
  if (strcmp(op->type, "bind") == 0) return bind_source(ex, op);

  bool made, copies = (op->flags & MOUNT_COPY_UP) != 0, tmpfs = strcmp(op->type, "tmpfs") == 0;
  _cleanup_fd_ int target = open_target(ex, op, true, &made);
  if (target < 0) return -1;
  char options[8192];
  const char *wanted = op->options;
  if (tmpfs && !made && !mount_option(op->options, "mode")) {
    if (tmpfs_options(ex, op, target, options, sizeof options) != 0) return -1;
    wanted = options;
  }
  /* What is copied up has to be written before the mount is read-only, and so has to be the superblock. */
  uint64_t sb_flags = op->sb_flags, set = op->attr_set;
  if (copies && (sb_flags & MS_RDONLY) != 0) {
    sb_flags &= ~(uint64_t)MS_RDONLY;
    set |= MOUNT_ATTR_RDONLY;
  }
  _cleanup_fd_ int mount = mount_new(ex, op->type, op->source, wanted, sb_flags, copies ? 0 : set);
  if (mount < 0) return ex->fail.error == EPERM || ex->fail.error == EBUSY ? bind_host(ex, op) : -1;
  bool owner = !mount_option(op->options, "uid") && !mount_option(op->options, "gid");
  if (copies && !made && copy_up(ex, target, mount, owner, op->target) != 0) return -1;
  if (finish(ex, op, mount, target, copies ? set : 0) != 0) return -1;
  keep_proc(ex, op, &mount);
  return 0;
}
