/* A file of the image with something added, mounted over it: the image itself stays as it is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../common/whole.h"
#include "../executor/executor.h"
#include "mount.h"
#include "ops.gen.h"
#include "resolve.h"

/* Bundles of certificates have some 200 kB. */
#define SIZE_MAX_KB 16384
#define NAME "file"

static int put(struct executor *ex, int to, const void *data, size_t len, const char *path) {
  return write_whole(to, data, len) == 0 ? 0 : fail_sys(&ex->fail, "write", path);
}

/* From where the descriptor stands: its offset is its own, so that others may read from the start too. */
static int put_all_of(struct executor *ex, int to, int from, const char *path) {
  char chunk[16384];
  off_t at = 0;
  for (ssize_t len; (len = pread(from, chunk, sizeof chunk, at)) != 0;) {
    if (len < 0 && errno == EINTR) continue;
    if (len < 0) return fail_sys(&ex->fail, "read", path);
    if (put(ex, to, chunk, (size_t)len, path) != 0) return -1;
    at += len;
  }
  return 0;
}

/* The file that is to be covered, as a descriptor; made empty where it is missing and may be. */
static int open_covered(struct executor *ex, const struct op_extend_file *op) {
  if (op->make != 0) return root_make_file(ex, op->path, 0);
  int fd = root_open(ex, op->path, O_PATH, 0);
  if (fd < 0 && errno == ENOENT) return fail_msg(&ex->fail, ENOENT, op->path, "is to be added to, but is not there");
  return fd >= 0 ? fd : fail_path(ex, "openat2", op->path);
}

static int fill(struct executor *ex, const struct op_extend_file *op, int file, int covered) {
  char path[FD_PATH_SIZE];
  _cleanup_fd_ int old = open(fd_path(&path, covered), O_RDONLY | O_CLOEXEC);
  if (old < 0) return fail_sys(&ex->fail, "open", op->path);
  if (put(ex, file, op->head.data, op->head.len, op->path) != 0 || put_all_of(ex, file, old, op->path) != 0) return -1;
  if (put(ex, file, op->tail.data, op->tail.len, op->path) != 0) return -1;
  if (op->from == NO_SLOT) return 0;
  int more = slot_fd(ex, op->from);
  return more < 0 ? -1 : put_all_of(ex, file, more, op->path);
}

/* A mount of the file alone. It can only be taken from a mount that is attached (before Linux 6.15), so for a moment the file system lies on
 * the root, where nobody walks into it: paths begin beneath. */
static int clone_of(struct executor *ex, int fs, int file, const char *path) {
  char place[FD_PATH_SIZE];
  if (mount_attach(ex, fs, ex->root, path) != 0) return -1;
  _cleanup_fd_ int mount = mount_clone(ex, file, "", false, path);
  if (sys_umount2(fd_path(&place, fs), MNT_DETACH) != 0) return fail_sys(&ex->fail, "umount2", path);
  return mount < 0 ? -1 : fd_steal(&mount);
}

int run_extend_file(struct executor *ex, const struct op_extend_file *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int covered = open_covered(ex, op);
  struct stat info;
  if (covered < 0) return -1;
  if (fstat(covered, &info) != 0) return fail_sys(&ex->fail, "fstat", op->path);
  if (!S_ISREG(info.st_mode)) return fail_msg(&ex->fail, EINVAL, op->path, "is no file");
  if (info.st_size > SIZE_MAX_KB * 1024L) return fail_msg(&ex->fail, EFBIG, op->path, "has more than %d kB", SIZE_MAX_KB);
  _cleanup_fd_ int fs = mount_new(ex, "tmpfs", "tmpfs", "mode=700,nr_inodes=2", 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (fs < 0) return -1;
  _cleanup_fd_ int file = openat(fs, NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return fail_sys(&ex->fail, "openat", op->path);
  if (fill(ex, op, file, covered) != 0) return -1;
  if (fchown(file, info.st_uid, info.st_gid) != 0 && errno != EINVAL) return fail_sys(&ex->fail, "fchown", op->path);
  if (fchmod(file, info.st_mode & 0777) != 0) return fail_sys(&ex->fail, "fchmod", op->path);
  _cleanup_fd_ int mount = clone_of(ex, fs, file, op->path);
  if (mount < 0 || mount_attrs(ex, mount, false, MOUNT_ATTR_RDONLY, 0, op->path) != 0) return -1;
  return mount_attach(ex, mount, covered, op->path);
}
