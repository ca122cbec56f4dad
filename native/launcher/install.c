#define _GNU_SOURCE
#include "install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"

static int missing(char *why, unsigned size, const char *path) {
  int error = errno;
  snprintf(why, size, "%s is missing or can't be used (%s): build or install berth again", path, strerror(error));
  errno = error;
  return -1;
}

/* A controller of another build would refuse to serve this one, request after request (trap 5). Where nothing is written down, that
 * handshake is what tells. */
static int check_build(const char *dist, char *why, unsigned size) {
  char path[PATH_MAX + 16], text[64];
  snprintf(path, sizeof path, "%s/build-id", dist);
  _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n < 0) return errno == ENOENT ? 0 : missing(why, size, path);
  text[n] = 0;
  text[strcspn(text, "\n")] = 0;
  if (!strcmp(text, BUILD_ID)) return 0;
  snprintf(why, size, "%s is of build \"%s\", this program of \"%s\": build or install berth again", dist, text, BUILD_ID);
  errno = ENOEXEC;
  return -1;
}

static int join(char *out, const char *dir, const char *name) {
  int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);
  if (n > 0 && n < PATH_MAX) return 0;
  errno = ENAMETOOLONG;
  return -1;
}

static const char *known;

void install_is(const char *dist) { known = dist; }

/* DIR/bin/berth → DIR/dist */
static int beside_executable(char dist[PATH_MAX]) {
  char self[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n < 0) return -1;
  self[n] = 0;
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(self, '/');
    if (!slash) {
      errno = ENOENT;
      return -1;
    }
    *slash = 0;
  }
  return join(dist, self, "dist");
}

static int find_dist(char dist[PATH_MAX]) {
  if (!known) return beside_executable(dist);
  snprintf(dist, PATH_MAX, "%s", known);
  return 0;
}

int install_file(const char *name, char path[PATH_MAX]) {
  char dist[PATH_MAX];
  return find_dist(dist) < 0 ? -1 : join(path, dist, name);
}

int install_find(struct install *in, char *why, unsigned why_size) {
  char dist[PATH_MAX];
  return find_dist(dist) < 0 ? missing(why, why_size, "/proc/self/exe") : install_at(dist, in, why, why_size);
}

int install_at(const char *dist, struct install *in, char *why, unsigned why_size) {
  char link[PATH_MAX];
  (void)snprintf(in->dist, sizeof in->dist, "%s", dist);
  if (join(link, in->dist, "node") < 0 || join(in->controller, in->dist, "controller.js") < 0) return missing(why, why_size, in->dist);
  if (!realpath(link, in->node) || access(in->node, X_OK) < 0) return missing(why, why_size, link);
  if (access(in->controller, R_OK) < 0) return missing(why, why_size, in->controller);
  return check_build(in->dist, why, why_size);
}
