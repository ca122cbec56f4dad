/* Changes of an overlay, one by one, applied to what it lies on. Each may be repeated. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/copy.h"
#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"

/* What is to replace a file lies beside it under this name; one that is left over is from a commit that was cut off. */
#define TEMPORARY ".berth-commit~"

/* Others may change the host's tree meanwhile: no symlink leads out of it, and no mount elsewhere. */
#define BELOW (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

/* An entry of a directory. */
struct entry {
  int dir; /* owned */
  char name[NAME_MAX + 1];
};

static int open_below(const char *root, const char *path) {
  _cleanup_fd_ int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return top < 0 ? -1 : sys_openat2(top, *path == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, BELOW);
}

/* Opens the directory that a path below `root` lies in. 0 or -1 with errno. */
static int entry_open(const char *root, const char *path, struct entry *entry) {
  const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
  char dir[PATH_MAX] = "";
  if (*name == '\0' || strlen(name) > NAME_MAX || strlen(path) >= sizeof dir) {
    errno = EINVAL;
    return -1;
  }
  if (slash != NULL) memcpy(dir, path, (size_t)(slash - path));
  strcpy(entry->name, name);
  return (entry->dir = open_below(root, dir)) < 0 ? -1 : 0;
}

#define _cleanup_entry_ __attribute__((cleanup(entry_cleanup)))
static void entry_cleanup(struct entry *entry) { fd_close(&entry->dir); }

/* 0 or -1 with errno. */
static int remove_temporary(const struct entry *entry) {
  return unlinkat(entry->dir, TEMPORARY, 0) == 0 || errno == ENOENT ? 0 : -1;
}

/* The entry is what the temporary name was. Of two names of one file rename(2) takes none away. */
static int take_place(const struct entry *entry) {
  return renameat(entry->dir, TEMPORARY, entry->dir, entry->name) == 0 ? remove_temporary(entry) : -1;
}

int run_layer_remove(struct executor *ex, const struct op_layer_remove *op, struct buf *result) {
  (void)result;
  _cleanup_entry_ struct entry at = {.dir = -1};
  if (entry_open(op->root, op->path, &at) != 0) return errno == ENOENT ? 0 : fail_sys(&ex->fail, "openat2", op->path);
  if (unlinkat(at.dir, at.name, 0) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR) return fail_sys(&ex->fail, "unlinkat", op->path);
  _cleanup_fd_ int dir = sys_openat2(at.dir, at.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, BELOW);
  if (dir < 0) return fail_sys(&ex->fail, "openat2", op->path);
  if (tree_empty(ex, dir, op->path, TREE_ALL) != 0) return -1;
  return unlinkat(at.dir, at.name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : fail_sys(&ex->fail, "unlinkat", op->path);
}

static int copy_content(int from, int to_dir, const struct stat *info) {
  if (S_ISREG(info->st_mode)) return copy_file(from, to_dir, TEMPORARY);
  if (S_ISLNK(info->st_mode)) return copy_symlink(from, to_dir, TEMPORARY);
  return mknodat(to_dir, TEMPORARY, (info->st_mode & S_IFMT) | 0600, info->st_rdev);
}

static int place_file(int from, const struct entry *to, const struct stat *info) {
  if (remove_temporary(to) != 0 || copy_content(from, to->dir, info) != 0) return -1;
  _cleanup_fd_ int file = openat(to->dir, TEMPORARY, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return file < 0 || copy_metadata(from, file, info) != 0 ? -1 : take_place(to);
}

static int place_directory(const struct entry *to) {
  struct stat info;
  if (mkdirat(to->dir, to->name, 0700) == 0) return 0;
  if (errno != EEXIST || fstatat(to->dir, to->name, &info, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  errno = ENOTDIR;
  return S_ISDIR(info.st_mode) ? 0 : -1;
}

int run_layer_place(struct executor *ex, const struct op_layer_place *op, struct buf *result) {
  (void)result;
  _cleanup_entry_ struct entry from = {.dir = -1}, to = {.dir = -1};
  if (entry_open(op->upper, op->path, &from) != 0) return fail_sys(&ex->fail, "openat2", op->upper);
  if (entry_open(op->root, op->path, &to) != 0) return fail_sys(&ex->fail, "openat2", op->path);
  _cleanup_fd_ int file = openat(from.dir, from.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) return fail_sys(&ex->fail, "openat", op->upper);
  if ((S_ISDIR(info.st_mode) ? place_directory(&to) : place_file(file, &to, &info)) == 0) return 0;
  (void)fail_sys(&ex->fail, "copy", op->path);
  (void)unlinkat(to.dir, TEMPORARY, 0); /* as good as it goes: the failure above is what counts */
  return -1;
}

int run_layer_link(struct executor *ex, const struct op_layer_link *op, struct buf *result) {
  (void)result;
  _cleanup_entry_ struct entry from = {.dir = -1}, to = {.dir = -1};
  if (entry_open(op->root, op->path, &from) != 0) return fail_sys(&ex->fail, "openat2", op->path);
  if (entry_open(op->root, op->to, &to) != 0) return fail_sys(&ex->fail, "openat2", op->to);
  if (remove_temporary(&to) == 0 && linkat(from.dir, from.name, to.dir, TEMPORARY, 0) == 0 && take_place(&to) == 0) return 0;
  return fail_sys(&ex->fail, "linkat", op->to);
}

int run_layer_attributes(struct executor *ex, const struct op_layer_attributes *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int from = open_below(op->upper, op->path);
  if (from < 0) return fail_sys(&ex->fail, "openat2", op->upper);
  _cleanup_fd_ int to = open_below(op->root, op->path);
  struct stat info;
  if (to < 0 || fstat(from, &info) != 0 || copy_metadata(from, to, &info) != 0) return fail_sys(&ex->fail, "copy", op->path);
  return 0;
}
