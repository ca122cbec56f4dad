#define _GNU_SOURCE
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/xattr.h>

#include "fd.h"
#include "whole.h"

/* XATTR_LIST_MAX and XATTR_SIZE_MAX of the kernel. */
#define XATTR_MAX 65536u

static int copy_bytes(int from, int to) {
  char chunk[16384];
  ssize_t len;
  while ((len = read(from, chunk, sizeof chunk)) != 0) {
    if (len < 0 && errno == EINTR) continue;
    if (len < 0) return -1;
    if (write_whole(to, chunk, (size_t)len) != 0) return -1;
  }
  return 0;
}

/* An attribute that the new file system has no place for, or whose kind this process may not set, stays behind, as with cp(1). The label
 * is the new mount's own affair, and so is what an overlay notes down of its layers. */
static int copy_xattr(const char *from, const char *to, const char *name, char *value) {
  static const char *const own[] = {"security.selinux", "trusted.overlay.", "user.overlay."};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (strncmp(name, own[i], strlen(own[i])) == 0) return 0;
  ssize_t len = getxattr(from, name, value, XATTR_MAX);
  if (len < 0) return errno == ENODATA ? 0 : -1;
  return setxattr(to, name, value, (size_t)len, 0) == 0 || errno == EOPNOTSUPP || errno == EPERM ? 0 : -1;
}

/* ACLs are extended attributes too. Through /proc, as descriptors opened with O_PATH take no other way. */
static int copy_xattrs(int from_fd, int to_fd) {
  char from[FD_PATH_SIZE], to[FD_PATH_SIZE];
  (void)fd_path(&from, from_fd);
  (void)fd_path(&to, to_fd);
  ssize_t len = listxattr(from, NULL, 0);
  if (len <= 0) return len == 0 || errno == EOPNOTSUPP ? 0 : -1;
  _cleanup_free_ char *names = malloc(2 * (size_t)XATTR_MAX);
  if (names == NULL) return -1;
  len = listxattr(from, names, XATTR_MAX);
  for (char *name = names; len > 0 && name < names + len; name += strlen(name) + 1)
    if (copy_xattr(from, to, name, names + XATTR_MAX) != 0) return -1;
  return len < 0 ? -1 : 0;
}

/* Owner first: a change of owner takes set-id bits and file capabilities away again. Times last: all else changes them. */
int copy_metadata(int from, int to, const struct stat *info) {
  char path[FD_PATH_SIZE];
  (void)fd_path(&path, to);
  if (fchownat(to, "", info->st_uid, info->st_gid, AT_EMPTY_PATH) != 0) return -1;
  if (!S_ISLNK(info->st_mode) && chmod(path, info->st_mode & 07777) != 0) return -1;
  if (copy_xattrs(from, to) != 0) return -1;
  const struct timespec times[2] = {info->st_atim, info->st_mtim};
  return utimensat(AT_FDCWD, path, times, 0);
}

int copy_file(int from, int to_dir, const char *name) {
  char path[FD_PATH_SIZE];
  _cleanup_fd_ int source = open(fd_path(&path, from), O_RDONLY | O_CLOEXEC);
  _cleanup_fd_ int to = source < 0 ? -1 : openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  return to < 0 ? -1 : copy_bytes(source, to);
}

int copy_symlink(int from, int to_dir, const char *name) {
  char target[PATH_MAX];
  ssize_t len = readlinkat(from, "", target, sizeof target - 1);
  if (len < 0) return -1;
  target[len] = '\0';
  return symlinkat(target, to_dir, name);
}
