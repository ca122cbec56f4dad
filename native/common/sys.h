/* System calls that older C libraries have no function for, and constants that older headers lack. <sys/mount.h> is not used
 * beside this: some versions of it redefine what <linux/mount.h> has. */
#ifndef BERTH_SYS_H
#define BERTH_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef SYS_landlock_create_ruleset /* the same numbers on every architecture */
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#ifndef SYS_pidfd_getfd /* the same number on every architecture */
#define SYS_pidfd_getfd 438
#endif
#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef UMOUNT_NOFOLLOW
#define UMOUNT_NOFOLLOW 8
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static inline int sys_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

static inline int sys_open_tree(int dir, const char *path, unsigned flags) {
  return (int)syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC);
}

/* Attaches the mount `from` on the directory or file `to`, both descriptors. */
static inline int sys_move_mount(int from, int to) {
  return (int)syscall(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static inline int sys_mount_setattr(int dir, const char *path, unsigned flags, const struct mount_attr *attr) {
  return (int)syscall(SYS_mount_setattr, dir, path, flags, attr, sizeof *attr);
}

static inline int sys_fsopen(const char *type) {
  return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

/* For changes to the file system of a mount. */
static inline int sys_fspick(int mount) {
  return (int)syscall(SYS_fspick, mount, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
}

static inline int sys_fsconfig(int fs, unsigned command, const char *key, const void *value, int aux) {
  return (int)syscall(SYS_fsconfig, fs, command, key, value, aux);
}

static inline int sys_fsmount(int fs, uint64_t attrs) {
  return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attrs);
}

static inline int sys_mount(const char *source, const char *target, const char *type, uint64_t flags, const void *data) {
  return (int)syscall(SYS_mount, source, target, type, (unsigned long)flags, data);
}

static inline int sys_umount2(const char *path, int flags) {
  return (int)syscall(SYS_umount2, path, flags);
}

/* As fork(2) with these flags: the child goes on with a copy of the stack, and 0. Seccomp profiles of containers have clone3 missing
 * as a rule, as they can't see its flags: what clone(2) has room for goes by that then. */
static inline pid_t sys_clone3(struct clone_args *args) {
  pid_t pid = (pid_t)syscall(SYS_clone3, args, sizeof *args);
  if (pid >= 0 || errno != ENOSYS || args->flags >> 32 != 0 || (args->flags & CSIGNAL) != 0) return pid;
  return (pid_t)syscall(SYS_clone, (unsigned long)(args->flags | args->exit_signal), NULL, (void *)(uintptr_t)args->pidfd, NULL, NULL);
}

static inline int sys_pidfd_open(pid_t pid) {
  return (int)syscall(SYS_pidfd_open, pid, 0);
}

static inline int sys_pidfd_send_signal(int pidfd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

static inline int sys_pidfd_getfd(int pidfd, int fd) {
  return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

static inline int sys_close_range(unsigned first, unsigned last, unsigned flags) {
  return (int)syscall(SYS_close_range, first, last, flags);
}

static inline int sys_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags) {
  return (int)syscall(SYS_execveat, dir, path, argv, envp, flags);
}

#endif
