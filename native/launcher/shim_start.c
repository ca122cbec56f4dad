#define _GNU_SOURCE
#include "shim_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/fd.h"
#include "containerd.h"
#include "install.h"
#include "self_exec.h"

#define STDIN_MAX (4 << 20)
#define BACKLOG 128

static int fail(const char *what, const char *why) {
  fprintf(stderr, "berth: start: %s: %s\n", what, why);
  return 1;
}

static int read_stdin(struct buf *in) {
  for (;;) {
    if (in->len > STDIN_MAX || buf_reserve(in, 16 << 10) < 0) return -1;
    ssize_t n = read(0, in->data + in->len, 16 << 10);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EBADF ? 0 : -1;
    if (n == 0) return 0;
    in->len += (size_t)n;
  }
}

static int make_dirs_once(const char *path) {
  char part[PATH_MAX];
  snprintf(part, sizeof part, "%s", path);
  for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    if (mkdir(part, 0711) < 0 && errno != EEXIST) return -1;
    *slash = '/';
  }
  return mkdir(part, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

#define MAKE_TRIES 100

/* Makes a directory, 0700, and those above it. Again where the end of another container takes an empty one away meanwhile. */
static int make_dirs(const char *path) {
  for (int tries = 1; make_dirs_once(path) < 0; tries++)
    if (errno != ENOENT || tries == MAKE_TRIES) return -1;
  return 0;
}

/* The listening socket, or -1: EEXIST where a shim answers on that path already. */
static int listen_on(const char *path) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof at.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(at.sun_path, path);
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  (void)umask(0177);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) {
    if (errno != EADDRINUSE) return -1;
    _cleanup_fd_ int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) return -1;
    if (connect(probe, (struct sockaddr *)&at, sizeof at) == 0) {
      errno = EEXIST;
      return -1;
    }
    if ((unlink(path) < 0 && errno != ENOENT) || bind(fd, (struct sockaddr *)&at, sizeof at) < 0) return -1;
  }
  return listen(fd, BACKLOG) < 0 ? -1 : fd_steal(&fd);
}

/* 1.6 and 1.7 read it after a restart, 2.x on migration. */
static int write_address(const char *address) {
  _cleanup_fd_ int fd = open(".address", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 || write(fd, address, strlen(address)) != (ssize_t)strlen(address)) return -1;
  return rename(".address", "address");
}

static char *entry(const char *key, const char *value, size_t len) {
  char *text = NULL;
  return asprintf(&text, "%s=%.*s", key, (int)len, value) < 0 ? NULL : text;
}

static int spawn(const struct shim_call *c, const struct install *in, const struct bootstrap *b, int listener, const char *socket,
                 const char *state_dir) {
  char cwd[PATH_MAX];
  const char *ttrpc = getenv("TTRPC_ADDRESS");
  if (!getcwd(cwd, sizeof cwd)) return -1;
  struct text events = b->ttrpc_address.len ? b->ttrpc_address : (struct text){ttrpc ? ttrpc : "", ttrpc ? strlen(ttrpc) : 0};
  char *argv[] = {"berth-monitor", "shim", "3",
                  entry("namespace", c->namespace, strlen(c->namespace)), entry("address", c->address, strlen(c->address)),
                  entry("ttrpcAddress", events.data, events.len), entry("id", c->id, strlen(c->id)),
                  entry("bundle", cwd, strlen(cwd)), entry("socket", socket, strlen(socket)),
                  entry("stateDir", state_dir, strlen(state_dir)), entry("debug", c->debug ? "1" : "0", 1),
                  entry("dist", in->dist, strlen(in->dist)), NULL};
  for (size_t i = 3; i < sizeof argv / sizeof *argv - 1; i++)
    if (!argv[i]) return -1;
  /* As descriptor 3; standard input, the last of the caller's that is needed, has been read. */
  if (listener != 3 && dup3(listener, 3, O_CLOEXEC) < 0) return -1;
  pid_t pid = spawn_monitor(argv, 4, false, true);
  for (size_t i = 3; i < sizeof argv / sizeof *argv - 1; i++) free(argv[i]);
  return pid < 0 ? -1 : 0;
}

int shim_start(const struct shim_call *c) {
  struct install in;
  struct bootstrap b;
  char why[PATH_MAX + 256], state_dir[PATH_MAX], socket[PATH_MAX], dir[PATH_MAX], address[PATH_MAX + 8];
  char *problem = NULL;
  _cleanup_buf_ struct buf input = {0};
  if (install_find(&in, why, sizeof why) < 0) return fail("install", why);
  if (read_stdin(&input) < 0) return fail("standard input", strerror(errno));
  (void)bootstrap_read(input.data, input.len, c->id, c->namespace, &b);
  if (b.ttrpc_address.len == 0 && !getenv("TTRPC_ADDRESS")) b.ttrpc_address = (struct text){"", 0};
  _cleanup_free_ char *group = shim_group(c, &problem);
  if (!group) return fail(c->id, problem ? problem : strerror(errno));
  snprintf(dir, sizeof dir, "%s", SHIM_SOCKETS);
  if (b.socket_dir.len && b.socket_dir.len < sizeof dir) snprintf(dir, sizeof dir, "%.*s", (int)b.socket_dir.len, b.socket_dir.data);
  if (shim_state_dir(c, state_dir) < 0 || shim_socket_path(c, dir, group, socket) < 0) return fail(c->id, strerror(errno));
  if (make_dirs(dir) < 0) return fail(dir, strerror(errno));
  if (make_dirs(state_dir) < 0) return fail(state_dir, strerror(errno));
  snprintf(address, sizeof address, "unix://%s", socket);
  int listener = listen_on(socket);
  if (listener < 0 && errno != EEXIST) return fail(socket, strerror(errno));
  (void)umask(022);
  if (listener >= 0 && spawn(c, &in, &b, listener, socket, state_dir) < 0) {
    int error = errno;
    (void)unlink(socket);
    return fail("monitor", strerror(error));
  }
  if (write_address(address) < 0) return fail("address", strerror(errno));
  if (printf("%s\n", address) < 0 || fflush(stdout) != 0) return 1;
  return 0;
}
