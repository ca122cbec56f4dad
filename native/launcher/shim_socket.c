#define _GNU_SOURCE
#include "shim_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../common/fd.h"

/* What Linux allows unless it is told otherwise (net.core.somaxconn); SOMAXCONN is 128 with some C libraries. */
#define BACKLOG 4096

static int lock(const char *dir) {
  _cleanup_fd_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -1;
  while (flock(fd, LOCK_EX) < 0)
    if (errno != EINTR) return -1;
  return fd_steal(&fd);
}

static int address_of(struct sockaddr_un *at, const char *dir, const char *name) {
  *at = (struct sockaddr_un){.sun_family = AF_UNIX};
  int n = snprintf(at->sun_path, sizeof at->sun_path, "%s/%s", dir, name);
  if (n > 0 && (size_t)n < sizeof at->sun_path) return 0;
  errno = ENAMETOOLONG;
  return -1;
}

/* Whether a socket is there that nobody listens on. One whose backlog is full is alive (EAGAIN). */
static bool dead(const struct sockaddr_un *at) {
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) < 0 && errno == ECONNREFUSED;
}

int shim_socket_listen(const char *dir, const char *name) {
  struct sockaddr_un at;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  _cleanup_fd_ int locked = lock(dir);
  if (fd < 0 || locked < 0 || address_of(&at, dir, name) < 0) return -1;
  mode_t mask = umask(0177);
  int done = bind(fd, (struct sockaddr *)&at, sizeof at);
  if (done < 0 && errno == EADDRINUSE) {
    if (!dead(&at)) errno = EEXIST;
    else if (unlink(at.sun_path) == 0) done = bind(fd, (struct sockaddr *)&at, sizeof at);
  }
  int error = errno;
  (void)umask(mask);
  errno = error;
  return done < 0 || listen(fd, BACKLOG) < 0 ? -1 : fd_steal(&fd);
}

void shim_socket_remove_dead(const char *dir, const char *name) {
  struct sockaddr_un at;
  _cleanup_fd_ int locked = lock(dir);
  if (locked >= 0 && address_of(&at, dir, name) == 0 && dead(&at)) (void)unlink(at.sun_path);
}
