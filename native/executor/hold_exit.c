/* The operation hold-exit: an exit status that outlives whoever waits for it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"
#include "process.h"

int run_hold_exit(struct executor *ex, const struct op_hold_exit *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int pidfd = process_open(ex->pid, ex->start_time);
  if (pidfd < 0) return fail_sys(&ex->fail, "pidfd_open", op->path);
  /* A pidfd has no path to bind, and mount(2) refuses the one in /proc (EINVAL up to Linux 6.18). */
  _cleanup_fd_ int mount = sys_open_tree(pidfd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
  if (mount < 0) return fail_sys(&ex->fail, "open_tree", op->path);
  _cleanup_fd_ int file = open(op->path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return fail_sys(&ex->fail, "open", op->path);
  if (sys_move_mount(mount, file) == 0) return 0;
  (void)fail_sys(&ex->fail, "move_mount", op->path);
  (void)unlink(op->path);
  return -1;
}
