#define _GNU_SOURCE
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"

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
