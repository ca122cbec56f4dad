#define _GNU_SOURCE
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/fd.h"
#include "../common/sys.h"

/* As many symlinks as the kernel follows in one path. */
#define LINKS_MAX 40
/* A rename or mount anywhere on the host during a lookup through ".." makes it EAGAIN (openat2(2)). */
#define TRIES_MAX 4096

int root_open(const struct executor *ex, const char *path, uint64_t flags, uint64_t resolve) {
  if (ex->root < 0) {
    errno = EBADF;
    return -1;
  }
  for (int tries = 0;; tries++) {
    int fd = sys_openat2(ex->root, *path == '\0' ? "." : path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || tries == TRIES_MAX) return fd;
  }
}

int fail_path(struct executor *ex, const char *syscall, const char *path) {
  if (errno == ELOOP) return fail_msg(&ex->fail, ELOOP, path, "the path leads through a symlink that is not to be followed");
  return fail_sys(&ex->fail, syscall, path);
}

/* Replaces the first `used` bytes of `path`, whose last component is a dangling symlink in `parent`, by where that points. 1 done, 0 no
 * symlink, -1 errno. The new path is resolved from its start, so ".." in it cannot leave the root either. Where no symlink is to be
 * followed, one that came since the kernel looked is not either (S4, S8). */
static int follow_dangling(int parent, const char *name, char path[PATH_MAX], size_t before, size_t used, uint64_t resolve) {
  char target[PATH_MAX], next[PATH_MAX];
  ssize_t len = readlinkat(parent, name, target, sizeof target - 1);
  if (len < 0) return errno == ENOENT || errno == EINVAL ? 0 : -1;
  if ((resolve & RESOLVE_NO_SYMLINKS) != 0) {
    errno = ELOOP;
    return -1;
  }
  target[len] = '\0';
  int total = target[0] == '/' ? snprintf(next, sizeof next, "%s%s", target, path + used)
                               : snprintf(next, sizeof next, "%.*s/%s%s", (int)before, path, target, path + used);
  if (total < 0 || (size_t)total >= sizeof next) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(path, next, (size_t)total + 1);
  return 1;
}

/* One walk over the components of `path`. The directory; -2 when `path` was replaced; -1 with errno. */
static int walk(const struct executor *ex, char path[PATH_MAX], uint64_t resolve, bool *made) {
  _cleanup_fd_ int at = root_open(ex, "/", O_PATH | O_DIRECTORY, resolve);
  if (at < 0) return -1;
  for (size_t begin = 0, end; path[begin] != '\0'; begin = end) {
    begin += strspn(path + begin, "/");
    end = begin + strcspn(path + begin, "/");
    if (end == begin) break;
    char name[NAME_MAX + 1], prefix[PATH_MAX];
    if (end - begin > NAME_MAX) {
      errno = ENAMETOOLONG;
      return -1;
    }
    memcpy(name, path + begin, end - begin);
    name[end - begin] = '\0';
    memcpy(prefix, path, end);
    prefix[end] = '\0';
    int next = root_open(ex, prefix, O_PATH | O_DIRECTORY, resolve);
    if (next < 0 && errno == ENOENT && strcmp(name, "..") != 0) {
      int followed = follow_dangling(at, name, path, begin, end, resolve);
      if (followed != 0) return followed < 0 ? -1 : -2;
      if (mkdirat(at, name, 0755) == 0)
        *made = true;
      else if (errno != EEXIST)
        return -1;
      next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (next < 0) return -1;
    fd_close(&at);
    at = next;
  }
  return fd_steal(&at);
}

static int make_dir(struct executor *ex, char path[PATH_MAX], uint64_t resolve, bool *made, const char *subject) {
  for (int links = 0; links < LINKS_MAX; links++) {
    int fd = root_open(ex, path, O_PATH | O_DIRECTORY, resolve);
    if (fd >= 0) return fd;
    if (errno != ENOENT) return fail_path(ex, "openat2", subject);
    fd = walk(ex, path, resolve, made);
    if (fd >= 0) return fd;
    if (fd == -1) return fail_path(ex, "mkdirat", subject);
  }
  errno = ELOOP;
  return fail_path(ex, "openat2", subject);
}

static int copy_path(struct executor *ex, char to[PATH_MAX], const char *path) {
  if (strlen(path) < PATH_MAX) {
    memcpy(to, path, strlen(path) + 1);
    return 0;
  }
  errno = ENAMETOOLONG;
  return fail_sys(&ex->fail, "openat2", path);
}

int root_make_dir(struct executor *ex, const char *path, uint64_t resolve, bool *made) {
  char wanted[PATH_MAX];
  *made = false;
  return copy_path(ex, wanted, path) != 0 ? -1 : make_dir(ex, wanted, resolve, made, path);
}

/* Cuts trailing slashes and returns the last component, which has to be a name. */
static char *last_component(struct executor *ex, char path[PATH_MAX], const char *subject) {
  size_t len = strlen(path);
  while (len > 0 && path[len - 1] == '/') path[--len] = '\0';
  char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
  if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
    (void)fail_msg(&ex->fail, EINVAL, subject, "the path does not end in a name");
    return NULL;
  }
  return name;
}

int root_make_file(struct executor *ex, const char *path, uint64_t resolve) {
  char wanted[PATH_MAX];
  if (copy_path(ex, wanted, path) != 0) return -1;
  for (int links = 0; links < LINKS_MAX; links++) {
    int fd = root_open(ex, wanted, O_PATH, resolve);
    if (fd >= 0) return fd;
    if (errno != ENOENT) return fail_path(ex, "openat2", path);
    char *name = last_component(ex, wanted, path), parent_path[PATH_MAX];
    if (name == NULL) return -1;
    size_t before = (size_t)(name - wanted);
    memcpy(parent_path, wanted, before);
    parent_path[before] = '\0';
    bool made = false;
    _cleanup_fd_ int parent = make_dir(ex, parent_path, resolve, &made, path);
    if (parent < 0) return -1;
    /* make_dir may have replaced a dangling symlink in parent_path; `name` still is the name in `parent`. */
    int file = openat(parent, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file >= 0) return file;
    if (errno != EEXIST) return fail_path(ex, "openat", path);
    if (follow_dangling(parent, name, wanted, before, strlen(wanted), resolve) < 0) return fail_path(ex, "readlinkat", path);
  }
  errno = ELOOP;
  return fail_path(ex, "openat2", path);
}

int root_parent(struct executor *ex, const char *path, const char **name) {
  char wanted[PATH_MAX];
  if (copy_path(ex, wanted, path) != 0) return -1;
  char *last = last_component(ex, wanted, path);
  if (last == NULL) return -1;
  *name = path + (last - wanted);
  if ((*name)[strlen(last)] != '\0') return fail_msg(&ex->fail, EINVAL, path, "the path does not end in a name");
  *last = '\0';
  bool in_dev = strncmp(path + strspn(path, "/"), "dev/", 4) == 0, made = false;
  return make_dir(ex, wanted, in_dev ? RESOLVE_NO_SYMLINKS : 0, &made, path);
}
