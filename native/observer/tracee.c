#define _GNU_SOURCE
#include "tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#define PAGE 4096u

int tracee_read(const struct call *call, uint64_t address, void *to, size_t len) {
  struct iovec here = {.iov_base = to, .iov_len = len};
  struct iovec there = {.iov_base = (void *)(uintptr_t)address, .iov_len = len};
  return process_vm_readv(call->pid, &here, 1, &there, 1, 0) == (ssize_t)len ? 0 : -1;
}

/* By pages: what lies behind the string may not be there. */
int tracee_string(const struct call *call, uint64_t address, char to[PATH_MAX]) {
  for (size_t len = 0; len < PATH_MAX;) {
    size_t part = PAGE - (size_t)((address + len) % PAGE);
    if (part > PATH_MAX - len) part = PATH_MAX - len;
    if (tracee_read(call, address + len, to + len, part) != 0) return -1;
    if (memchr(to + len, '\0', part) != NULL) return 0;
    len += part;
  }
  return -1;
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

int tracee_fd(const struct call *call, int fd) {
  pid_t pid = tracee_process(call);
  _cleanup_fd_ int pidfd = pid <= 0 ? -1 : sys_pidfd_open(pid);
  return pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

void place_cleanup(struct place *place) { fd_close(&place->fd); }

static int link_of(const char *path, char to[PATH_MAX]) {
  ssize_t len = readlink(path, to, PATH_MAX - 1);
  if (len < 0) return -1;
  to[len] = '\0';
  if (*to == '/') return 0;
  errno = ENOENT; /* a pipe, a socket … */
  return -1;
}

int tracee_path(const struct call *call, int dir, const char *path, char whole[PATH_MAX]) {
  char base[PATH_MAX], link[64];
  if (*path == '/') return snprintf(whole, PATH_MAX, "%s", path) < PATH_MAX ? 0 : -1;
  if (dir == AT_FDCWD) (void)snprintf(link, sizeof link, "/proc/%d/cwd", (int)call->pid);
  else (void)snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)call->pid, dir);
  if (link_of(link, base) != 0) return -1;
  return snprintf(whole, PATH_MAX, "%s%s%s", base, *path == '\0' ? "" : "/", path) < PATH_MAX ? 0 : -1;
}

int tracee_resolve(const struct call *call, const char *whole, bool follow, struct place *place) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/root", (int)call->pid);
  _cleanup_fd_ int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return -1;
  fd_close(&place->fd);
  place->fd = sys_openat2(root, whole, O_PATH | (follow ? 0 : O_NOFOLLOW), 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (place->fd < 0 || fstat(place->fd, &place->info) != 0) return -1;
  char link[FD_PATH_SIZE];
  return link_of(fd_path(&link, place->fd), place->path);
}
