/* Operations on single files: read, tail, write, readlink, stat, open, chown, rename, unlink. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"

#define ALWAYS (O_CLOEXEC | O_NOCTTY)
#define TEMPORARY_NAMES 100

/* A magic link (/proc/PID/fd/…, /proc/PID/root) leads wherever its process wants; only /proc itself has names that are meant so. */
static int open_path(const char *path, int flags, mode_t mode) {
  uint64_t resolve = strncmp(path, "/proc/", 6) == 0 ? 0 : RESOLVE_NO_MAGICLINKS;
  return sys_openat2(AT_FDCWD, path, (uint64_t)(unsigned)(flags | ALWAYS), mode, resolve);
}

int run_read(struct executor *ex, const struct op_read *op, struct buf *result) {
  _cleanup_fd_ int fd = open_path(op->path, O_RDONLY | (ex->busy ? O_NONBLOCK : 0), 0);
  if (fd < 0) return missing(op->flags) ? 0 : fail_sys(&ex->fail, "openat2", op->path);
  if (read_whole(fd, op->max, result) != 0) {
    /* A process's files answer so once it is gone. */
    if (errno == ESRCH && (op->flags & READ_MISSING_OK) != 0) return 0;
    return fail_sys(&ex->fail, "read", op->path);
  }
  return 1;
}

int run_read_stdin(struct executor *ex, const struct op_read_stdin *op, struct buf *result) {
  return read_whole(STDIN_FILENO, op->max, result) == 0 ? 1 : fail_sys(&ex->fail, "read", "standard input");
}

/* The mode is meant exactly, whatever the umask. */
static int create(const char *path, int flags, mode_t mode) {
  int fd = open_path(path, flags | O_CREAT | O_EXCL, mode & 07777);
  if (fd >= 0 && fchmod(fd, mode & 07777) != 0) fd_close(&fd);
  return fd;
}

static int open_to_write(const struct op_write *op) {
  int flags = O_WRONLY;
  if ((op->flags & WRITE_TRUNCATE) != 0) flags |= O_TRUNC;
  if ((op->flags & WRITE_APPEND) != 0) flags |= O_APPEND;
  if ((op->flags & WRITE_CREATE) != 0) {
    int fd = create(op->path, flags & ~O_TRUNC, op->mode);
    if (fd >= 0 || errno != EEXIST || (op->flags & WRITE_EXCL) != 0) return fd;
  }
  return open_path(op->path, flags, 0);
}

/* Whoever reads the file sees all of it or what was there before. */
static int write_atomic(struct executor *ex, const struct op_write *op, const struct buf *data) {
  const char *slash = strrchr(op->path, '/');
  size_t dir_len = slash == NULL ? 0 : (size_t)(slash + 1 - op->path);
  _cleanup_free_ char *temporary = malloc(strlen(op->path) + 32);
  if (temporary == NULL) return fail_sys(&ex->fail, "malloc", op->path);
  memcpy(temporary, op->path, dir_len);
  _cleanup_fd_ int fd = -1;
  for (int i = 0; fd < 0 && i < TEMPORARY_NAMES; i++) {
    (void)sprintf(temporary + dir_len, ".%s.%d.%d", op->path + dir_len, (int)getpid(), i);
    fd = create(temporary, O_WRONLY, op->mode);
    if (fd < 0 && errno != EEXIST) break;
  }
  if (fd < 0) return missing(op->flags & WRITE_MISSING_OK ? READ_MISSING_OK : 0) ? 0 : fail_sys(&ex->fail, "openat2", temporary);
  int done = write_whole(fd, data->data, data->len);
  if (done != 0) {
    (void)fail_sys(&ex->fail, "write", op->path);
  } else {
    done = sys_renameat2(AT_FDCWD, temporary, AT_FDCWD, op->path, (op->flags & WRITE_EXCL) != 0 ? RENAME_NOREPLACE : 0);
    if (done != 0) (void)fail_sys(&ex->fail, "rename", op->path);
  }
  if (done != 0) (void)unlink(temporary);
  return done;
}

int run_write(struct executor *ex, const struct op_write *op, struct buf *result) {
  (void)result;
  _cleanup_buf_ struct buf data = {.data = NULL};
  if (template_render(ex, op->data, &data) != 0) return -1;
  if ((op->flags & WRITE_ATOMIC) != 0) return write_atomic(ex, op, &data);
  _cleanup_fd_ int fd = open_to_write(op);
  if (fd < 0) return missing(op->flags & WRITE_MISSING_OK ? READ_MISSING_OK : 0) ? 0 : fail_sys(&ex->fail, "openat2", op->path);
  return write_whole(fd, data.data, data.len) == 0 ? 0 : fail_sys(&ex->fail, "write", op->path);
}

int run_readlink(struct executor *ex, const struct op_readlink *op, struct buf *result) {
  char target[PATH_MAX]; /* the kernel's own bound for a link's text */
  ssize_t len = readlink(op->path, target, sizeof target);
  if (len < 0) return missing(op->flags) ? 0 : fail_sys(&ex->fail, "readlink", op->path);
  return buf_append(result, target, (size_t)len) == 0 ? 1 : fail_sys(&ex->fail, "mmap", op->path);
}

int run_tail(struct executor *ex, const struct op_tail *op, struct buf *result) {
  _cleanup_fd_ int fd = open_path(op->path, O_RDONLY, 0);
  struct stat st;
  if (fd < 0) return missing(op->flags) ? 0 : fail_sys(&ex->fail, "openat2", op->path);
  if (fstat(fd, &st) != 0) return fail_sys(&ex->fail, "fstat", op->path);
  if (st.st_size > (off_t)op->max && lseek(fd, st.st_size - (off_t)op->max, SEEK_SET) < 0) return fail_sys(&ex->fail, "lseek", op->path);
  return read_whole(fd, op->max, result) == 0 ? 1 : fail_sys(&ex->fail, "read", op->path);
}

int run_stat(struct executor *ex, const struct op_stat *op, struct buf *result) {
  /* One descriptor, so that both calls speak of the same file. */
  _cleanup_fd_ int fd = open(op->path, O_PATH | O_CLOEXEC);
  if (fd < 0) return missing(op->flags) ? 0 : fail_sys(&ex->fail, "open", op->path);
  struct stat st;
  struct statfs fs;
  if (fstat(fd, &st) != 0) return fail_sys(&ex->fail, "fstat", op->path);
  if (fstatfs(fd, &fs) != 0) return fail_sys(&ex->fail, "fstatfs", op->path);
  bool good = buf_u32(result, st.st_mode) == 0 && buf_u32(result, st.st_uid) == 0 && buf_u32(result, st.st_gid) == 0 &&
              buf_u32(result, 0) == 0 && buf_u64(result, st.st_dev) == 0 && buf_u64(result, st.st_ino) == 0 &&
              buf_u64(result, (uint64_t)st.st_size) == 0 && buf_u64(result, (uint64_t)fs.f_type & UINT32_MAX) == 0;
  return good ? 1 : fail_sys(&ex->fail, "mmap", op->path);
}

int run_access(struct executor *ex, const struct op_access *op, struct buf *result) {
  int error = faccessat(AT_FDCWD, op->path, (int)op->mode, AT_EACCESS) == 0 ? 0 : errno;
  return buf_u32(result, (uint32_t)error) == 0 ? 1 : fail_sys(&ex->fail, "mmap", op->path);
}

int run_open(struct executor *ex, const struct op_open *op, struct buf *result) {
  (void)result;
  int fd = open(op->path, (int)op->oflags | ALWAYS, (mode_t)op->mode);
  return fd < 0 ? fail_sys(&ex->fail, "open", op->path) : slot_put(ex, op->slot, fd);
}

int run_chown(struct executor *ex, const struct op_chown *op, struct buf *result) {
  (void)result;
  return chown(op->path, op->uid, op->gid) == 0 ? 0 : fail_sys(&ex->fail, "chown", op->path);
}

int run_rename(struct executor *ex, const struct op_rename *op, struct buf *result) {
  (void)result;
  return rename(op->from, op->to) == 0 ? 0 : fail_sys(&ex->fail, "rename", op->from);
}

int run_unlink(struct executor *ex, const struct op_unlink *op, struct buf *result) {
  (void)result;
  if (unlink(op->path) == 0 || missing(op->flags)) return 0;
  return fail_sys(&ex->fail, "unlink", op->path);
}
