/* The operation mount-point: where something is to be mounted in a root that no process of ours is in. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>

#include "../common/fd.h"
#include "../init/resolve.h"
#include "paths.h"

int run_mount_point(struct executor *ex, const struct op_mount_point *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int root = open(op->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return fail_sys(&ex->fail, "open", op->root);
  struct stat source;
  if (op->source[0] != '\0' && stat(op->source, &source) != 0) return fail_sys(&ex->fail, "stat", op->source);
  bool file = op->source[0] != '\0' && !S_ISDIR(source.st_mode), made = false;
  int outer = ex->root;
  ex->root = root;
  _cleanup_fd_ int target = file ? root_make_file(ex, op->target, 0) : root_make_dir(ex, op->target, 0, &made);
  ex->root = outer;
  return target < 0 ? -1 : 0;
}
