/* Plans in plans: those that another process runs, and those that lie on disk. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/userns.h"
#include "effects.h"
#include "paths.h"

#define PLAN_MAX (64u << 20)

int run_remote(struct executor *ex, const struct op_remote *op, struct buf *result) {
  if (!can(ex, ex->effects->remote != NULL)) return -1;
  if (ex->effects->remote(ex->effects->home, op->socket, op->plan.data, op->plan.len, result) != 0)
    return fail_sys(&ex->fail, "connect", op->socket);
  struct reader r = reader_of(result->data, result->len);
  uint8_t status = reader_u8(&r);
  struct fail inner;
  if (r.bad || status > 1 || (status == 1 && fail_decode(&inner, &r) != 0))
    return fail_msg(&ex->fail, EPROTO, op->socket, "malformed outcome");
  if (status != 0) return fail_nested(ex, &inner, ex->position[ex->depth - 1]);
  executor_take_cloned(ex, op->plan, (struct span){result->data, result->len});
  return 1;
}

/* Whether nobody but this user and root can have put it there (trap 10). */
static int trust(struct executor *ex, const char *path, const struct stat *st, bool directory) {
  uid_t self = geteuid();
  /* What is above it may be the host's, whose root is nobody in a user namespace. */
  if (st->st_uid != self && !(directory && (st->st_uid == 0 || not_ours_to_see(st->st_uid))))
    return fail_msg(&ex->fail, EPERM, path, "owned by uid %u, not trusted", (unsigned)st->st_uid);
  /* In a sticky directory others can make files, but not replace ours. */
  if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0 && !(directory && (st->st_mode & S_ISVTX) != 0))
    return fail_msg(&ex->fail, EPERM, path, "writable by others, not trusted");
  if (!directory && !S_ISREG(st->st_mode)) return fail_msg(&ex->fail, EPERM, path, "no regular file, not trusted");
  return 0;
}

/* Checks each directory from the path's own up to the root. `path` is absolute and has no symlink in it. */
static int trust_above(struct executor *ex, char *path) {
  for (;;) {
    struct stat st;
    if (lstat(path, &st) != 0) return fail_sys(&ex->fail, "lstat", path);
    if (trust(ex, path, &st, true) != 0) return -1;
    char *slash = strrchr(path, '/');
    if (slash == NULL || strcmp(path, "/") == 0) return 0;
    slash[slash == path] = '\0';
  }
}

int run_stored(struct executor *ex, const struct op_stored *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int fd = open(op->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return missing(op->flags) ? 0 : fail_sys(&ex->fail, "open", op->path);
  struct stat st;
  if (fstat(fd, &st) != 0) return fail_sys(&ex->fail, "fstat", op->path);
  if (trust(ex, op->path, &st, false) != 0) return -1;
  /* Of the file that is open, however the path leads to it. */
  char link[FD_PATH_SIZE];
  _cleanup_free_ char *real = realpath(fd_path(&link, fd), NULL);
  if (real == NULL) return fail_sys(&ex->fail, "realpath", op->path);
  char *slash = strrchr(real, '/');
  slash[slash == real] = '\0';
  if (trust_above(ex, real) != 0) return -1;
  _cleanup_buf_ struct buf plan = {.data = NULL}, outcome = {.data = NULL};
  if (read_whole(fd, PLAN_MAX, &plan) != 0) return fail_sys(&ex->fail, "read", op->path);
  int done = executor_run(ex, plan.data, plan.len, &outcome);
  return done < 0 ? fail_sys(&ex->fail, "mmap", op->path) : done == 0 ? 0 : -1;
}

int run_lock(struct executor *ex, const struct op_lock *op, struct buf *result) {
  (void)result;
  int fd = open(op->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
  if (fd < 0) return fail_sys(&ex->fail, "open", op->path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    (void)fail_sys(&ex->fail, "flock", op->path);
    fd_close(&fd);
    return -1;
  }
  return 0; /* the descriptor stays open for the life of this process: it is the lock */
}
