#define _GNU_SOURCE
#include "userns.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fd.h"

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

bool not_ours_to_see(uid_t uid) {
  char text[16];
  _cleanup_fd_ int fd = open("/proc/sys/kernel/overflowuid", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  text[n > 0 ? n : 0] = 0;
  return uid == (n > 0 ? (uid_t)strtoul(text, NULL, 10) : 65534) && !initial_user_namespace();
}
