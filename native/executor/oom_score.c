/* own-oom-score */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "../common/fd.h"
#include "paths.h"

int run_own_oom_score(struct executor *ex, const struct op_own_oom_score *op, struct buf *result) {
  (void)result;
  static const char path[] = "/proc/self/oom_score_adj";
  char text[24];
  (void)snprintf(text, sizeof text, "%lld", (long long)op->value);
  _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 && errno == EACCES) {
    /* The file belongs to the host's root while we are not dumpable. Who could look at us in the meantime has this user's id, in a user
     * namespace that is not below ours (trap 2). */
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_sys(&ex->fail, "prctl", "PR_SET_DUMPABLE");
    fd = open(path, O_WRONLY | O_CLOEXEC);
    int error = errno;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_sys(&ex->fail, "prctl", "PR_SET_DUMPABLE");
    errno = error;
  }
  if (fd < 0) return fail_sys(&ex->fail, "open", path);
  return write_whole(fd, text, strlen(text)) == 0 ? 0 : fail_sys(&ex->fail, "write", path);
}
