#define _GNU_SOURCE
#include "copy_up.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "../common/fd.h"

/* Deeper than any sane image, and few enough descriptors. */
#define DEPTH_MAX 128
/* XATTR_LIST_MAX and XATTR_SIZE_MAX of the kernel. */
#define XATTR_MAX 65536u

/* A file with several names that has been copied under the first of them. */
struct link {
  struct link *next;
  dev_t dev;
  ino_t ino;
  char path[]; /* below the top */
};

struct copy {
  int top;             /* of the copy, which nobody else can reach yet: paths below it are ours */
  char path[PATH_MAX]; /* of what is at hand, below the top */
  struct link *links;
};

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

/* An attribute that the new file system has no place for, or whose kind this process may not set, stays behind, as with cp(1). The label
 * is the new mount's own affair. */
static int copy_xattr(const char *from, const char *to, const char *name, char *value) {
  if (strcmp(name, "security.selinux") == 0) return 0;
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
static int copy_metadata(int from, int to, const struct stat *info) {
  char path[FD_PATH_SIZE];
  (void)fd_path(&path, to);
  if (fchownat(to, "", info->st_uid, info->st_gid, AT_EMPTY_PATH) != 0) return -1;
  if (!S_ISLNK(info->st_mode) && chmod(path, info->st_mode & 07777) != 0) return -1;
  if (copy_xattrs(from, to) != 0) return -1;
  const struct timespec times[2] = {info->st_atim, info->st_mtim};
  return utimensat(AT_FDCWD, path, times, 0);
}

static int copy_file(int from, int to_dir, const char *name) {
  char path[FD_PATH_SIZE];
  _cleanup_fd_ int source = open(fd_path(&path, from), O_RDONLY | O_CLOEXEC);
  _cleanup_fd_ int to = source < 0 ? -1 : openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  return to < 0 ? -1 : copy_bytes(source, to);
}

static int copy_symlink(int from, int to_dir, const char *name) {
  char target[PATH_MAX];
  ssize_t len = readlinkat(from, "", target, sizeof target - 1);
  if (len < 0) return -1;
  target[len] = '\0';
  return symlinkat(target, to_dir, name);
}

static int copy_tree(struct copy *copy, int from, int to, int depth);

static int copy_dir(struct copy *copy, int from, int to_dir, const char *name, int depth) {
  if (mkdirat(to_dir, name, 0700) != 0) return -1;
  _cleanup_fd_ int source = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  _cleanup_fd_ int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return source < 0 || to < 0 ? -1 : copy_tree(copy, source, to, depth + 1);
}

/* Whether the file was copied under another name: 1, 0, or -1. Remembers the name at hand where it was not. */
static int copy_link(struct copy *copy, int to_dir, const char *name, const struct stat *info) {
  if (S_ISDIR(info->st_mode) || info->st_nlink < 2) return 0;
  for (const struct link *link = copy->links; link != NULL; link = link->next)
    if (link->dev == info->st_dev && link->ino == info->st_ino)
      return linkat(copy->top, link->path, to_dir, name, 0) == 0 ? 1 : -1;
  struct link *link = malloc(sizeof *link + strlen(copy->path) + 1);
  if (link == NULL) return -1;
  *link = (struct link){.next = copy->links, .dev = info->st_dev, .ino = info->st_ino};
  strcpy(link->path, copy->path);
  copy->links = link;
  return 0;
}

static int copy_content(struct copy *copy, int from, int to_dir, const char *name, const struct stat *info, int depth) {
  if (S_ISDIR(info->st_mode)) return copy_dir(copy, from, to_dir, name, depth);
  if (S_ISREG(info->st_mode)) return copy_file(from, to_dir, name);
  if (S_ISLNK(info->st_mode)) return copy_symlink(from, to_dir, name);
  return mknodat(to_dir, name, (info->st_mode & S_IFMT) | 0600, info->st_rdev);
}

static int copy_entry(struct copy *copy, int from_dir, int to_dir, const char *name, int depth) {
  /* Opened once: the image's author has no second chance to put something else there. */
  _cleanup_fd_ int from = openat(from_dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;
  if (from < 0) return errno == ENOENT ? 0 : -1;
  if (fstat(from, &info) != 0) return -1;
  int linked = copy_link(copy, to_dir, name, &info);
  if (linked != 0) return linked < 0 ? -1 : 0;
  if (copy_content(copy, from, to_dir, name, &info, depth) != 0) return -1;
  _cleanup_fd_ int to = openat(to_dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return to < 0 ? -1 : copy_metadata(from, to, &info);
}

/* On failure copy->path stays where it happened. */
static int copy_tree(struct copy *copy, int from, int to, int depth) {
  if (depth > DEPTH_MAX) {
    errno = ELOOP;
    return -1;
  }
  _cleanup_fd_ int again = fcntl(from, F_DUPFD_CLOEXEC, 3);
  if (again < 0) return -1;
  _cleanup_dir_ DIR *dir = fdopendir(again);
  if (dir == NULL) return -1;
  again = -1; /* the stream's now */
  size_t len = strlen(copy->path);
  struct dirent *entry;
  while (errno = 0, (entry = readdir(dir)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (len + 1 + strlen(entry->d_name) >= sizeof copy->path) {
      errno = ENAMETOOLONG;
      return -1;
    }
    (void)sprintf(copy->path + len, "%s%s", len == 0 ? "" : "/", entry->d_name);
    if (copy_entry(copy, from, to, entry->d_name, depth) != 0) return -1;
    copy->path[len] = '\0';
  }
  return errno == 0 ? 0 : -1;
}

static void forget_links(struct copy *copy) {
  for (struct link *link = copy->links, *next; link != NULL; link = next) {
    next = link->next;
    free(link);
  }
}

int copy_up(struct executor *ex, int from, int to, bool owner, const char *subject) {
  /* Both may be O_PATH. */
  _cleanup_fd_ int source = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  _cleanup_fd_ int target = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat info, own;
  if (source < 0 || target < 0) return fail_sys(&ex->fail, "openat", subject);
  if (fstat(source, &info) != 0 || fstat(target, &own) != 0) return fail_sys(&ex->fail, "fstat", subject);
  struct copy copy = {.top = target};
  int done = copy_tree(&copy, source, target, 0);
  if (done == 0) {
    /* The mode is the mount's: the directory's own unless its options say otherwise. */
    info.st_mode = own.st_mode;
    if (!owner) info.st_uid = own.st_uid, info.st_gid = own.st_gid;
    done = copy_metadata(source, target, &info);
  }
  int error = errno;
  forget_links(&copy);
  errno = error;
  if (done == 0) return 0;
  (void)fail_sys(&ex->fail, "copy", subject);
  if (copy.path[0] != '\0') (void)snprintf(ex->fail.detail, sizeof ex->fail.detail, "at \"%.400s\" in it", copy.path);
  return -1;
}
