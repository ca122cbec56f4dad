#define _GNU_SOURCE
#include "controller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/fd.h"
#include "../common/peer.h"
#include "confine.h"
#include "install.h"
#include "run_dir.h"
#include "sha256.h"

#define BACKLOG 128
#define BACKLOG_S 20 /* in it */

struct place {
  char dir[PATH_MAX];
  char socket[PATH_MAX + 64], lock[PATH_MAX + 64], log[PATH_MAX + 64];
};

static char looked_at[PATH_MAX + 64];

const char *controller_place(void) { return looked_at; }

static unsigned long long inode_of(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

static int make_dir(const char *path) {
  struct stat st;
  snprintf(looked_at, sizeof looked_at, "%s", path);
  if (mkdir(path, 0700) < 0 && errno != EEXIST) return -1;
  if (lstat(path, &st) < 0) return -1;
  /* Somebody else's directory could hold somebody else's socket. */
  if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)) {
    errno = EPERM;
    return -1;
  }
  return 0;
}

/* One controller for callers of one build, installation (its directory: one made anew in its place is another, whose files the
 * controller of the old one cannot read), user, user namespace and mount namespace (trap 14). */
static int find_place(struct place *p, const struct install *in) {
  char run[PATH_MAX], text[PATH_MAX + 256], key[65];
  if (run_dir(run) < 0) return -1;
  int n = snprintf(text, sizeof text, "%s\n%s\n%llu\n%u\n%llu\n%llu\n", BUILD_ID, in->dist, inode_of(in->dist), (unsigned)geteuid(),
                   inode_of("/proc/self/ns/user"), inode_of("/proc/self/ns/mnt"));
  sha256_hex(text, (size_t)n, key);
  if (make_dir(run) < 0) return -1;
  if (snprintf(p->dir, sizeof p->dir, "%s/.controller", run) >= (int)sizeof p->dir) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (make_dir(p->dir) < 0) return -1;
  snprintf(p->socket, sizeof p->socket, "%s/controller-%.16s.sock", p->dir, key);
  snprintf(p->lock, sizeof p->lock, "%s/controller-%.16s.lock", p->dir, key);
  snprintf(p->log, sizeof p->log, "%s/controller-%.16s.log", p->dir, key);
  snprintf(looked_at, sizeof looked_at, "%s", p->log);
  return 0;
}

/* The backlog of one that takes no connection is full at some point; connect(2) would wait for ever. */
static int connect_in_time(int fd, const struct sockaddr_un *at) {
  struct timeval limit = {.tv_sec = BACKLOG_S}, none = {0};
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0) return -1;
  if (connect(fd, (const struct sockaddr *)at, sizeof *at) < 0) {
    if (errno == EAGAIN) errno = ETIMEDOUT;
    return -1;
  }
  return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
}

static int connect_shared(const struct place *p) {
  struct sockaddr_un at;
  _cleanup_fd_ int dir = -1;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || unix_address(p->socket, &at, &dir) < 0 || connect_in_time(fd, &at) < 0) return -1;
  /* The peer is who called listen: nobody else's controller gets our requests. */
  return peer_check(fd, true) < 0 ? -1 : fd_steal(&fd);
}

static int listen_shared(const struct place *p) {
  struct sockaddr_un at;
  _cleanup_fd_ int dir = -1;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || unix_address(p->socket, &at, &dir) < 0) return -1;
  if (unlink(p->socket) < 0 && errno != ENOENT) return -1;
  mode_t mask = umask(0177);
  int done = bind(fd, (struct sockaddr *)&at, sizeof at);
  int error = errno;
  umask(mask);
  errno = error;
  return done < 0 || listen(fd, BACKLOG) < 0 ? -1 : fd_steal(&fd);
}

static int start(const struct install *in, const struct place *p, const char *mode, int socket) {
  const char *const argv[] = {"berth-controller", "--expose-gc", "--max-semi-space-size=2", in->controller, mode, "3", "--idle", confine_idle(), NULL};
  return confine_start(in, &(struct confined){.who = "controller", .argv = argv, .scratch = p->dir, .log = p->log, .fds = &socket, .count = 1});
}

static int start_own(const struct install *in, const struct place *p) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -1;
  _cleanup_fd_ int ours = pair[0], theirs = pair[1];
  return start(in, p, "--serve-fd", theirs) < 0 ? -1 : fd_steal(&ours);
}

int controller_connect(bool own) {
  struct install in;
  struct place place;
  char why[PATH_MAX + 256];
  if (install_find(&in, why, sizeof why) < 0 || find_place(&place, &in) < 0) return -1;
  if (own) return start_own(&in, &place);
  int fd = connect_shared(&place);
  if (fd >= 0 || (errno != ENOENT && errno != ECONNREFUSED)) return fd;
  /* One starts it; the others wait here and find it. */
  _cleanup_fd_ int lock = open(place.lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0 || flock(lock, LOCK_EX) < 0) return -1;
  fd = connect_shared(&place);
  if (fd >= 0 || (errno != ENOENT && errno != ECONNREFUSED)) return fd;
  _cleanup_fd_ int listener = listen_shared(&place);
  if (listener < 0 || start(&in, &place, "--listen-fd", listener) < 0) return -1;
  return connect_shared(&place);
}
