#define _GNU_SOURCE
#include "exit_status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fd.h"
#include "sys.h"

/* Linux 6.15: kept with the pidfd's inode, for as long as anyone holds that. */
#ifndef PIDFD_INFO_EXIT
#define PIDFD_INFO_EXIT (1UL << 3)
#endif
struct pidfd_info_6_15 {
  uint64_t mask, cgroupid;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
};
#define PIDFD_GET_INFO_6_15 _IOWR(0xFF, 11, struct pidfd_info_6_15)

/* Field 52 of /proc/PID/stat while the process is a zombie. */
static bool zombie_status(pid_t pid, int *status) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n <= 0) return false;
  text[n] = 0;
  char *p = strrchr(text, ')');
  if (!p || p[1] != ' ' || (p[2] != 'Z' && p[2] != 'X')) return false;
  p += 2; /* field 3 */
  for (int field = 3; field < 52; field++) {
    p = strchr(p, ' ');
    if (!p) return false;
    p++;
  }
  *status = atoi(p);
  return true;
}

static bool kept_status(int pidfd, int *status) {
  struct pidfd_info_6_15 info = {.mask = PIDFD_INFO_EXIT};
  if (ioctl(pidfd, PIDFD_GET_INFO_6_15, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT)) return false;
  *status = info.exit_code;
  return true;
}

/* A zombie still takes a signal. Any other error is an answer of one that is there (EPERM), or of a kernel that can't say. */
static bool there(int pidfd) { return !exit_reaped(pidfd); }

bool exit_status_of(int pidfd, pid_t pid, int *wait_status) {
  int status;
  /* In this order: a number whose process was not reaped by then was its own when it was looked at. */
  if (zombie_status(pid, &status) && there(pidfd)) {
    *wait_status = status;
    return true;
  }
  return kept_status(pidfd, wait_status);
}

bool exit_reaped(int pidfd) { return sys_pidfd_send_signal(pidfd, 0) < 0 && errno == ESRCH; }
