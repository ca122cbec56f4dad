#define _GNU_SOURCE
#include "copy_up.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/fd.h"

/* Deeper than any sane image, and few enough descriptors. */
#define DEPTH_MAX 128

static int copy_bytes(int from, int to) {
  char chunk[16384];
  ssize_t len;
  while ((len = read(from, chunk, sizeof chunk)) != 0) {
    if (len < 0 && errno == EINTR) continue;
    if (len < 0) return -1;
    for (ssize_t done = 0; done < len;) {
      ssize_t written = write(to, chunk + done, (size_t)(len - done));
      if (written < 0 && errno != EINTR) return -1;
      if (written > 0) done += written;
    }
  }
  return 0;
}

/* Owner first: a change of owner takes set-id bits away again. */
static int copy_owner_mode(int to, const struct stat *info) {
  return fchown(to, info->st_uid, info->st_gid) != 0 ? -1 : fchmod(to, info->st_mode & 07777);
}

static int copy_file(int from_dir, int to_dir, const char *name) {
  _cleanup_fd_ int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat info;
  if (from < 0 || fstat(from, &info) != 0) return -1;
  if (!S_ISREG(info.st_mode)) return 0; /* swapped since it was listed */
  _cleanup_fd_ int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (to < 0 || copy_bytes(from, to) != 0) return -1;
  return copy_owner_mode(to, &info);
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *info) {
  char target[PATH_MAX];
  ssize_t len = readlinkat(from_dir, name, target, sizeof target - 1);
  if (len < 0) return -1;
  target[len] = '\0';
  if (symlinkat(target, to_dir, name) != 0) return -1;
  return fchownat(to_dir, name, info->st_uid, info->st_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_tree(int from, int to, int depth);

static int copy_dir(int from_dir, int to_dir, const char *name, int depth) {
  _cleanup_fd_ int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;
  if (from < 0 || fstat(from, &info) != 0 || mkdirat(to_dir, name, 0700) != 0) return -1;
  _cleanup_fd_ int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (to < 0 || copy_tree(from, to, depth + 1) != 0) return -1;
  return copy_owner_mode(to, &info);
}

static int copy_entry(int from, int to, const char *name, int depth) {
  struct stat info;
  if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : -1;
  if (S_ISDIR(info.st_mode)) return copy_dir(from, to, name, depth);
  if (S_ISREG(info.st_mode)) return copy_file(from, to, name);
  return S_ISLNK(info.st_mode) ? copy_link(from, to, name, &info) : 0;
}

static int copy_tree(int from, int to, int depth) {
  if (depth > DEPTH_MAX) {
    errno = ELOOP;
    return -1;
  }
  _cleanup_fd_ int copy = fcntl(from, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return -1;
  _cleanup_dir_ DIR *dir = fdopendir(copy);
  if (dir == NULL) return -1;
  copy = -1; /* the stream's now */
  struct dirent *entry;
  while (errno = 0, (entry = readdir(dir)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (copy_entry(from, to, entry->d_name, depth) != 0) return -1;
  }
  return errno == 0 ? 0 : -1;
}

int copy_up(struct executor *ex, int from, int to, const char *subject) {
  /* Both may be O_PATH. */
  _cleanup_fd_ int source = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  _cleanup_fd_ int target = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (source < 0 || target < 0) return fail_sys(&ex->fail, "openat", subject);
  return copy_tree(source, target, 0) == 0 ? 0 : fail_sys(&ex->fail, "copy", subject);
}
