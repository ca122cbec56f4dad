/* Operations on directories: mkdir, rmdir, rmtree, list. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/fd.h"
#include "paths.h"

#define BUSY_MS 2000u
#define BUSY_STEP_MS 1u
#define PARENT_TRIES 100

/* The mode is meant exactly. */
static int make_one(const char *path, mode_t mode) {
  mode_t mask = umask(0);
  int done = mkdir(path, mode & 07777);
  (void)umask(mask);
  return done;
}

/* Up to the first that is there (most are, as a rule), then down again. */
static int make_parents(struct executor *ex, const char *path, mode_t mode) {
  _cleanup_free_ char *prefix = strdup(path);
  if (prefix == NULL) return fail_sys(&ex->fail, "malloc", path);
  char *end = prefix + strlen(prefix);
  for (char *slash; (slash = strrchr(prefix, '/')) != NULL && slash > prefix;) {
    *slash = '\0';
    if (make_one(prefix, mode) == 0 || errno == EEXIST) break;
    if (errno != ENOENT) return fail_sys(&ex->fail, "mkdir", prefix);
  }
  for (char *nul = prefix + strlen(prefix); nul < end; nul = prefix + strlen(prefix)) {
    *nul = '/';
    if (prefix + strlen(prefix) == end) break; /* the path itself */
    if (make_one(prefix, mode) != 0 && errno != EEXIST) return fail_sys(&ex->fail, "mkdir", prefix);
  }
  return 0;
}

int run_mkdir(struct executor *ex, const struct op_mkdir *op, struct buf *result) {
  (void)result;
  if (make_one(op->path, op->mode) == 0) return 0;
  /* Another container's end may take the common parent away between two calls (it was empty for a moment): again then. */
  for (int tries = 0; errno == ENOENT && (op->flags & DIR_PARENTS) != 0 && tries < PARENT_TRIES; tries++) {
    if (make_parents(ex, op->path, op->mode) != 0) {
      if (ex->fail.error != ENOENT) return -1;
      errno = ENOENT;
      continue;
    }
    if (make_one(op->path, op->mode) == 0) return 0;
  }
  struct stat st;
  int error = errno;
  if (error == EEXIST && (op->flags & DIR_EXIST_OK) != 0 && stat(op->path, &st) == 0 && S_ISDIR(st.st_mode)) return 0;
  errno = error;
  return fail_sys(&ex->fail, "mkdir", op->path);
}

/* A cgroup is busy until its last task is past its exit, which has no event; 2 s of patience then. */
static int remove_dir(const char *path, bool patient) {
  uint64_t until = now_ms() + BUSY_MS;
  while (rmdir(path) != 0) {
    if (errno != EBUSY || !patient || now_ms() >= until) return -1;
    pause_ms(BUSY_STEP_MS);
  }
  return 0;
}

int run_rmdir(struct executor *ex, const struct op_rmdir *op, struct buf *result) {
  (void)result;
  bool patient = (op->flags & DIR_BUSY_RETRY) != 0;
  /* Few have anything below. */
  if (rmdir(op->path) == 0 || missing(op->flags)) return 0;
  if ((op->flags & DIR_SUBDIRS) != 0) {
    _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) return missing(op->flags) ? 0 : fail_sys(&ex->fail, "open", op->path);
    uint64_t until = now_ms() + BUSY_MS;
    while (tree_empty(ex, dir, op->path, TREE_DIRECTORIES) != 0) {
      if (ex->fail.error != EBUSY || !patient || now_ms() >= until) return -1;
      pause_ms(BUSY_STEP_MS);
    }
  }
  if (remove_dir(op->path, patient) == 0 || missing(op->flags)) return 0;
  return fail_sys(&ex->fail, "rmdir", op->path);
}

int run_rmtree(struct executor *ex, const struct op_rmtree *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (dir < 0) return missing(op->flags) ? 0 : fail_sys(&ex->fail, "open", op->path);
  if (tree_empty(ex, dir, op->path, TREE_ALL) != 0) return -1;
  if (remove_dir(op->path, (op->flags & DIR_BUSY_RETRY) != 0) == 0 || missing(op->flags)) return 0;
  return fail_sys(&ex->fail, "rmdir", op->path);
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* `names` holds `count` NUL-terminated names: appends them in order. */
static int append_sorted(const struct buf *names, size_t count, struct buf *result) {
  if (count == 0) return 0;
  _cleanup_free_ const char **sorted = calloc(count, sizeof *sorted);
  if (sorted == NULL) return -1;
  const char *at = (const char *)names->data;
  for (size_t i = 0; i < count; i++, at += strlen(at) + 1) sorted[i] = at;
  qsort(sorted, count, sizeof *sorted, by_bytes);
  for (size_t i = 0; i < count; i++)
    if (buf_append(result, sorted[i], strlen(sorted[i]) + 1) != 0) return -1;
  return 0;
}

int run_list(struct executor *ex, const struct op_list *op, struct buf *result) {
  _cleanup_dir_ DIR *dir = opendir(op->path);
  if (dir == NULL) return missing(op->flags) ? 0 : fail_sys(&ex->fail, "open", op->path);
  _cleanup_buf_ struct buf names = {.data = NULL};
  size_t count = 0;
  const struct dirent *entry;
  while (errno = 0, (entry = readdir(dir)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (buf_append(&names, entry->d_name, strlen(entry->d_name) + 1) != 0) return fail_sys(&ex->fail, "mmap", op->path);
    count++;
  }
  if (errno != 0) return fail_sys(&ex->fail, "readdir", op->path);
  return append_sorted(&names, count, result) == 0 ? 1 : fail_sys(&ex->fail, "mmap", op->path);
}
