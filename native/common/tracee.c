#define _GNU_SOURCE
#include "tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fd.h"
#include "sys.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif
#define PAGE 4096u

int tracee_read(const struct call *call, uint64_t address, void *to, size_t len) {
  struct iovec here = {.iov_base = to, .iov_len = len};
  struct iovec there = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};
  ssize_t got = process_vm_readv(call->pid, &here, 1, &there, 1, 0);
  if (got == (ssize_t)len) return 0;
  if (got >= 0) errno = EFAULT;
  return -1;
}

/* By pages: what lies behind the string may not be there. With its NUL: its length, or -1 with errno. */
static ssize_t read_string(const struct call *call, uint64_t address, char *to, size_t max) {
  for (size_t len = 0; len < max;) {
    size_t part = PAGE - (size_t)((address + len) % PAGE);
    if (part > max - len) part = max - len;
    if (tracee_read(call, address + len, to + len, part) != 0) return -1;
    const char *end = memchr(to + len, '\0', part);
    if (end != NULL) return end + 1 - to;
    len += part;
  }
  errno = ENAMETOOLONG;
  return -1;
}

int tracee_string(const struct call *call, uint64_t address, char to[PATH_MAX]) {
  return read_string(call, address, to, PATH_MAX) < 0 ? -1 : 0;
}

int tracee_text(const struct call *call, uint64_t address, size_t max, struct buf *to) {
  if (buf_reserve(to, max) != 0) return -1;
  ssize_t len = read_string(call, address, (char *)to->data + to->len, max);
  if (len < 0) return -1;
  to->len += (size_t)len;
  return 0;
}

size_t tracee_word_size(const struct call *call) { return call->narrow ? 4 : 8; }

int tracee_word(const struct call *call, uint64_t address, uint64_t *value) {
  *value = 0; /* little-endian, as all that we run on */
  return tracee_read(call, address, value, tracee_word_size(call));
}

pid_t tracee_process(const struct call *call) {
  char path[64], line[128];
  (void)snprintf(path, sizeof path, "/proc/%d/status", (int)call->pid);
  FILE *file = fopen(path, "re");
  long pid = -1;
  while (file != NULL && pid < 0 && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, "Tgid:", 5) == 0) pid = strtol(line + 5, NULL, 10);
  if (file != NULL) (void)fclose(file);
  return (pid_t)pid;
}

int tracee_pidfd(const struct call *call) {
  /* Of the thread itself, whose table of descriptors need not be its process's (Linux 6.9). */
  int thread = (int)syscall(SYS_pidfd_open, call->pid, PIDFD_THREAD);
  if (thread >= 0 || errno != EINVAL) return thread;
  pid_t pid = tracee_process(call);
  if (pid > 0) return sys_pidfd_open(pid);
  errno = ESRCH;
  return -1;
}

int tracee_fd(const struct call *call, int fd) {
  _cleanup_fd_ int pidfd = tracee_pidfd(call);
  return pidfd < 0 ? -1 : sys_pidfd_getfd(pidfd, fd);
}
