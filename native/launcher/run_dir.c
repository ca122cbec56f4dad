#define _GNU_SOURCE
#include "run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"

/* The initial user namespace maps every id onto itself. */
bool initial_user_namespace(void) {
  char text[64];
  _cleanup_fd_ int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n <= 0) return true; /* no user namespaces in this kernel */
  text[n] = 0;
  unsigned long inside, outside, count;
  return sscanf(text, "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 && outside == 0 && count == 4294967295ul;
}

int run_dir(char path[PATH_MAX]) {
  const char *xdg = getenv("XDG_RUNTIME_DIR");
  bool of_root = geteuid() == 0 && initial_user_namespace();
  int n = !of_root && xdg && *xdg == '/' ? snprintf(path, PATH_MAX, "%s/berth", xdg) : snprintf(path, PATH_MAX, "/run/berth");
  if (n > 0 && n < PATH_MAX) return 0;
  errno = ENAMETOOLONG;
  return -1;
}
