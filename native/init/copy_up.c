#define _GNU_SOURCE
#include "copy_up.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/copy.h"
#include "../common/fd.h"

/* Deeper than any sane image, and few enough descriptors. */
#define DEPTH_MAX 128

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
