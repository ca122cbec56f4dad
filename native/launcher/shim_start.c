#define _GNU_SOURCE
#include "shim_start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/fd.h"
#include "../common/replace.h"
#include "containerd.h"
#include "confine.h"
#include "install.h"
#include "run_dir.h"
#include "self_exec.h"
#include "shim_socket.h"
#include "working_dir.h"

static int fail(const char *what, const char *why) {
  fprintf(stderr, "berth: start: %s: %s\n", what, why);
  return 1;
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

static char *entry(const char *key, const char *value, size_t len) {
  char *text = NULL;
  return asprintf(&text, "%s=%.*s", key, (int)len, value) < 0 ? NULL : text;
}

/* The monitor's pid, or -1. */
static pid_t spawn(const struct shim_call *c, const struct install *in, const struct bootstrap *b, int listener, const char *socket,
                   const char *state_dir) {
  char cwd[PATH_MAX], run[PATH_MAX];
  const char *ttrpc = getenv("TTRPC_ADDRESS"), *idle = confine_idle();
  if (working_dir(cwd) < 0 || run_dir(run) < 0) return -1;
  struct text events = b->ttrpc_address.len ? b->ttrpc_address : (struct text){ttrpc ? ttrpc : "", ttrpc ? strlen(ttrpc) : 0};
  char *argv[] = {"berth-monitor", "shim", "3",
                  entry("namespace", c->namespace, strlen(c->namespace)), entry("address", c->address, strlen(c->address)),
                  entry("ttrpcAddress", events.data, events.len), entry("id", c->id, strlen(c->id)),
                  entry("bundle", cwd, strlen(cwd)), entry("socket", socket, strlen(socket)),
                  entry("stateDir", state_dir, strlen(state_dir)), entry("debug", c->debug ? "1" : "0", 1),
                  entry("dist", in->dist, strlen(in->dist)), entry("runDir", run, strlen(run)), entry("idle", idle, strlen(idle)), NULL};
  for (size_t i = 3; i < sizeof argv / sizeof *argv - 1; i++)
    if (!argv[i]) return -1;
  /* As descriptor 3; standard input, the last of the caller's that is needed, has been read. */
  if (listener != 3 && dup3(listener, 3, O_CLOEXEC) < 0) return -1;
  pid_t pid = spawn_monitor(argv, 4, false, true);
  for (size_t i = 3; i < sizeof argv / sizeof *argv - 1; i++) free(argv[i]);
  return pid;
}

/* What containerd is told, and keeps in the bundle: where the socket is. In the plain form it is ttrpc, which every version speaks; gRPC,
 * which only 1.7 does, is what the environment of a containerd may ask for. A monitor serves both, whatever was said here. NULL with *why. */
static char *announcement(const char *socket, const char **why) {
  const char *protocol = getenv("BERTH_SHIM_PROTOCOL");
  char *text = NULL;
  bool grpc = protocol && !strcmp(protocol, "grpc");
  *why = "no memory";
  if (protocol && *protocol && !grpc && strcmp(protocol, "ttrpc")) {
    *why = "is neither ttrpc nor grpc";
    return NULL;
  }
  int n = grpc ? asprintf(&text, "{\"version\":2,\"address\":\"%s\",\"protocol\":\"grpc\"}", socket)
               : asprintf(&text, "unix://%s", socket);
  return n < 0 ? NULL : text;
}

int shim_start(const struct shim_call *c) {
  struct install in;
  struct bootstrap b;
  char why[PATH_MAX + 256], state_dir[PATH_MAX], run[PATH_MAX], dir[PATH_MAX], name[65], socket[PATH_MAX + 66];
  const char *unusable;
  char *problem = NULL;
  _cleanup_buf_ struct buf input = {0};
  if (install_find(&in, why, sizeof why) < 0) return fail("install", why);
  if (shim_stdin(&input) < 0) return fail("standard input", strerror(errno));
  if (!bootstrap_read(input.data, input.len, c->id, c->namespace, &b)) b = (struct bootstrap){0};
  _cleanup_free_ char *group = shim_group(c, &problem);
  if (!group) return fail(c->id, problem ? problem : strerror(errno));
  int n = b.socket_dir.len ? snprintf(dir, sizeof dir, "%.*s", (int)b.socket_dir.len, b.socket_dir.data)
                           : snprintf(dir, sizeof dir, "%s", SHIM_SOCKETS);
  if (n < 0 || n >= (int)sizeof dir || *dir != '/') return fail("socket_dir", "is no absolute path");
  if (strpbrk(dir, "\"\\\n")) return fail("socket_dir", "has characters that no address can have");
  if (run_dir(run) < 0) return fail("run directory", run_dir_trouble());
  if (shim_state_dir(c, state_dir) < 0 || shim_socket_name(c, group, name) < 0) return fail(c->id, strerror(errno));
  snprintf(socket, sizeof socket, "%s/%s", dir, name);
  _cleanup_free_ char *address = announcement(socket, &unusable);
  if (!address) return fail("BERTH_SHIM_PROTOCOL", unusable);
  if (make_dirs(dir) < 0) return fail(dir, strerror(errno));
  if (make_dirs(state_dir) < 0) return fail(state_dir, strerror(errno));

  _cleanup_fd_ int listener = shim_socket_listen(dir, name);
  bool ours = listener >= 0;
  if (!ours && errno != EEXIST) return fail(socket, strerror(errno));
  /* The monitor last: with nothing to say about it nobody would ever end it. */
  pid_t monitor = -1;
  /* The file: 1.6 and 1.7 read it after a restart, in the form of the answer, 2.x on migration. */
  const char *failed = file_replace("address", address, strlen(address)) < 0 ? "address" : ours && (monitor = spawn(c, &in, &b, listener, socket, state_dir)) < 0 ? "monitor" : NULL;
  if (failed) {
    int error = errno;
    if (ours) (void)unlink(socket);
    return fail(spawn_failed_in() ? spawn_failed_in() : failed, strerror(error));
  }
  if (printf("%s\n", address) > 0 && fflush(stdout) == 0) return 0;
  if (monitor > 0) {
    (void)kill(monitor, SIGTERM);
    (void)unlink(socket); /* it may not have come so far as to do that itself */
  }
  return 1;
}
