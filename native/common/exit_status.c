#define _GNU_SOURCE
#include "exit_status.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "proc_stat.h"
#include "replace.h"
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

static bool zombie_status(pid_t pid, int *status) {
  struct proc_stat stat;
  if (proc_stat_read(pid, &stat) != 0 || (stat.state != 'Z' && stat.state != 'X')) return false;
  *status = stat.exit_code;
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

const char *exit_reason(int wait_status) { return WIFSIGNALED(wait_status) ? "signal" : "exit"; }

int exit_write(const char *path, pid_t pid, int wait_status, uint64_t time, const char *reason) {
  char text[160];
  int len = snprintf(text, sizeof text, "{\"pid\":%d,\"status\":%d,\"time\":%llu,\"reason\":\"%s\"}\n", pid, wait_status,
                     (unsigned long long)time, reason);
  return file_replace(path, text, (size_t)len);
}
