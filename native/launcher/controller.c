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
#include <sys/time.h>
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
#define EARLY_US 4000 /* a step that only reads takes a quarter of it */
/* No flag here that V8 counts among those that its compiled code depends on (--expose-gc is one): it would throw away what comes compiled,
 * Node's own modules too, and boot 15 milliseconds later. test/integration/boot.test.ts looks. */
#define NODE_ARGS "berth-controller", "--max-semi-space-size=4"

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

/* Whoever starts one is its first client, by a socket pair: what it asks is answered before the listening socket is looked at (for which
 * Node loads another dozen of modules). `listener`: -1 for a controller of this client alone. */
static int start(const struct install *in, const struct place *p, int listener) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -1;
  _cleanup_fd_ int ours = pair[0], theirs = pair[1];
  /* It reads its first request, and the outcome of the first step, before it has an event loop for that: it may wait for them, not for ever. */
  struct timeval early = {.tv_usec = EARLY_US};
  if (setsockopt(theirs, SOL_SOCKET, SO_RCVTIMEO, &early, sizeof early) < 0 || setsockopt(theirs, SOL_SOCKET, SO_SNDTIMEO, &early, sizeof early) < 0)
    return -1;
  const char *const shared[] = {NODE_ARGS, in->controller, "--listen-fd", "3", "--serve-fd", "4", "--idle", confine_idle(), NULL};
  const char *const own[] = {NODE_ARGS, in->controller, "--serve-fd", "3", "--idle", confine_idle(), NULL};
  const int fds[] = {listener, theirs};
  bool alone = listener < 0;
  const struct confined what = {.who = "controller",
                                .argv = alone ? own : shared,
                                .scratch = p->dir,
                                .log = p->log,
                                .fds = alone ? &theirs : fds,
                                .count = alone ? 1 : 2};
  return confine_start(in, &what) < 0 ? -1 : fd_steal(&ours);
}

int controller_connect(bool own) {
  struct install in;
  struct place place;
  char why[PATH_MAX + 256];
  if (install_find(&in, why, sizeof why) < 0 || find_place(&place, &in) < 0) return -1;
  if (own) return start(&in, &place, -1);
  int fd = connect_shared(&place);
  if (fd >= 0 || (errno != ENOENT && errno != ECONNREFUSED)) return fd;
  /* One starts it; the others wait here and find it. */
  _cleanup_fd_ int lock = open(place.lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0 || flock(lock, LOCK_EX) < 0) return -1;
  fd = connect_shared(&place);
  if (fd >= 0 || (errno != ENOENT && errno != ECONNREFUSED)) return fd;
  _cleanup_fd_ int listener = listen_shared(&place);
  return listener < 0 ? -1 : start(&in, &place, listener);
}

bool controller_runs(void) {
  struct install in;
  struct place place;
  char why[PATH_MAX + 256];
  if (install_find(&in, why, sizeof why) < 0 || find_place(&place, &in) < 0) return false;
  _cleanup_fd_ int fd = connect_shared(&place);
  return fd >= 0;
}
