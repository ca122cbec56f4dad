#define _GNU_SOURCE
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "fd.h"
#include "whole.h"

int file_replace(const char *path, const void *data, size_t len) {
  char temporary[PATH_MAX];
  int n = snprintf(temporary, sizeof temporary, "%s.new", path);
  if (n < 0 || (size_t)n >= sizeof temporary) {
    errno = ENAMETOOLONG;
    return -1;
  }
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  _cleanup_fd_ int fd = open(temporary, flags, 0600);
  if (fd < 0 && errno == EEXIST) { /* of somebody who died over it */
    if (unlink(temporary) != 0) return -1;
    fd = open(temporary, flags, 0600);
  }
  if (fd < 0) return -1;
  if (write_whole(fd, data, len) == 0 && rename(temporary, path) == 0) return 0;
  int error = errno;
  (void)unlink(temporary);
  errno = error;
  return -1;
}
