/* Writes to procfs that decide over the process's confinement: always to a procfs of our own, never to what is mounted on the
 * container's /proc (S4, S7). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "identity.h"
#include "mount.h"
#include "ops.gen.h"

/* The inode of a procfs's root (PROC_ROOT_INO in the kernel). */
#define PROC_ROOT_INODE 1

static int check_proc(struct executor *ex, int fd, const char *subject) {
  struct statfs fs;
  if (fstatfs(fd, &fs) != 0) return fail_sys(&ex->fail, "fstatfs", subject);
  return fs.f_type == PROC_SUPER_MAGIC ? 0 : fail_msg(&ex->fail, EINVAL, subject, "is not on a procfs");
}

/* /proc as it is mounted, if it is the root of a real one. */
static int host_proc(struct executor *ex) {
  _cleanup_fd_ int proc = sys_openat2(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS);
  if (proc < 0) return fail_sys(&ex->fail, "openat2", "/proc");
  struct stat info;
  if (check_proc(ex, proc, "/proc") != 0) return -1;
  if (fstat(proc, &info) != 0) return fail_sys(&ex->fail, "fstat", "/proc");
  if (info.st_ino != PROC_ROOT_INODE) return fail_msg(&ex->fail, EINVAL, "/proc", "is not the root of a procfs");
  return fd_steal(&proc);
}

/* Opens the procfs to use into ex->proc: a detached one, or in a user namespace that may not make one the one that is there. */
static int need_proc(struct executor *ex) {
  if (ex->proc >= 0) return 0;
  ex->proc = mount_new(ex, "proc", "proc", "", 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (ex->proc < 0 && (ex->fail.error == EPERM || ex->fail.error == EBUSY)) ex->proc = host_proc(ex);
  return ex->proc >= 0 ? 0 : -1;
}

/* Opens `path` for writing below `dir`. Nothing mounted over a part of the procfs is walked into. */
static int open_below(int dir, const char *path) {
  return sys_openat2(dir, path, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

/* Opens a directory at the top of the procfs. Where the procfs is the container's own and something covers that directory (a read-only
 * /proc/sys), a clone of it that nothing is mounted on takes its place. */
static int open_top(struct executor *ex, const char *name, uint64_t resolve, const char *subject) {
  if (need_proc(ex) != 0) return -1;
  int dir = sys_openat2(ex->proc, name, O_PATH | O_DIRECTORY, 0, resolve | RESOLVE_BENEATH | RESOLVE_NO_XDEV);
  if (dir < 0 && errno == EXDEV) {
    int bare = mount_clone(ex, ex->proc, "", false, "/proc");
    if (bare < 0) return -1;
    fd_close(&ex->proc);
    ex->proc = bare;
    dir = sys_openat2(ex->proc, name, O_PATH | O_DIRECTORY, 0, resolve | RESOLVE_BENEATH | RESOLVE_NO_XDEV);
  }
  return dir >= 0 ? dir : fail_sys(&ex->fail, "openat2", subject);
}

static int write_value(struct executor *ex, int fd, const char *value, const char *subject) {
  if (check_proc(ex, fd, subject) != 0) return -1;
  /* In one piece: these files take each write for a whole value. */
  ssize_t written;
  do written = write(fd, value, strlen(value));
  while (written < 0 && errno == EINTR);
  return written >= 0 ? 0 : fail_sys(&ex->fail, "write", subject);
}

/* The directory of this process, which "self" (a link, but of the procfs's own) leads to in whichever pid namespace it shows. */
static int open_self(struct executor *ex) {
  return open_top(ex, "self", RESOLVE_NO_MAGICLINKS, "/proc/self");
}

int run_lsm_exec(struct executor *ex, const struct op_lsm_exec *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int self = open_self(ex);
  if (self < 0) return -1;
  _cleanup_fd_ int dir = sys_openat2(self, "attr", O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  if (dir < 0) return fail_sys(&ex->fail, "openat2", "/proc/self/attr");
  _cleanup_fd_ int file = open_below(dir, op->attr);
  if (file < 0) return fail_sys(&ex->fail, "openat2", op->attr);
  if (write_value(ex, file, op->value, op->attr) == 0) return 0;
  /* AppArmor and SELinux each have their own errno for a label that is not loaded. */
  return ex->fail.error == ENOENT || ex->fail.error == EINVAL
             ? fail_msg(&ex->fail, ex->fail.error, op->attr, "the kernel has no such label: \"%s\"", op->value)
             : -1;
}

int run_oom_score(struct executor *ex, const struct op_oom_score *op, struct buf *result) {
  (void)result;
  static const char name[] = "oom_score_adj";
  _cleanup_fd_ int self = open_self(ex);
  if (self < 0) return -1;
  _cleanup_fd_ int file = open_below(self, name);
  if (file < 0 && errno == EACCES && (getpid() == 1 || !ex->joined_user)) {
    /* The files of a process that is not dumpable belong to the host's root. We may not be that, so for this one lookup we are
     * dumpable: the first of a pid namespace has nobody else in there, and before we join a user namespace those who are in it have no
     * right to look at us (trap 2). */
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_sys(&ex->fail, "prctl", "PR_SET_DUMPABLE");
    file = open_below(self, name);
    int error = errno;
    if (identity_hide(ex) != 0) return -1;
    errno = error;
  }
  if (file < 0) return fail_sys(&ex->fail, "openat2", name);
  char value[24];
  (void)snprintf(value, sizeof value, "%lld", (long long)op->value);
  if (write_value(ex, file, value, name) == 0) return 0;
  if (ex->fail.error == EACCES)
    fail_copy(ex->fail.detail, sizeof ex->fail.detail, "to lower it takes CAP_SYS_RESOURCE on the host: leave it out, or ask for no less than the caller's");
  return -1;
}

/* "net.ipv4.ip_forward" or "net/ipv4/ip_forward" as a path; whichever separator comes first is the separator, and the other one stands
 * for itself ("net/ipv4/conf/eth0.1/forwarding", "net.ipv4.conf.eth0/1.forwarding"), as sysctl(8) has it. */
static int sysctl_path(const char *key, char *path, size_t size) {
  size_t len = strlen(key);
  if (len == 0 || len >= size) return -1;
  bool dotted = key[strcspn(key, "./")] == '.';
  for (size_t i = 0; i <= len; i++)
    path[i] = !dotted || (key[i] != '.' && key[i] != '/') ? key[i] : key[i] == '.' ? '/' : '.';
  return 0;
}

int run_sysctl(struct executor *ex, const struct op_sysctl *op, struct buf *result) {
  (void)result;
  char path[512];
  if (sysctl_path(op->key, path, sizeof path) != 0) return fail_msg(&ex->fail, EINVAL, op->key, "is no name of a sysctl");
  _cleanup_fd_ int sys = open_top(ex, "sys", RESOLVE_NO_SYMLINKS, "/proc/sys");
  if (sys < 0) return -1;
  _cleanup_fd_ int file = open_below(sys, path);
  return file < 0 ? fail_sys(&ex->fail, "openat2", op->key) : write_value(ex, file, op->value, op->key);
}
