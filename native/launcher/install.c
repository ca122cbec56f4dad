#define _GNU_SOURCE
#include "install.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int missing(char *why, unsigned size, const char *path) {
  int error = errno;
  snprintf(why, size, "%s is missing or can't be used (%s): build or install berth again", path, strerror(error));
  errno = error;
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

int install_find(struct install *in, char *why, unsigned why_size) {
  char link[PATH_MAX];
  if (known) snprintf(in->dist, sizeof in->dist, "%s", known);
  else if (beside_executable(in->dist) < 0) return missing(why, why_size, "/proc/self/exe");
  if (join(link, in->dist, "node") < 0 || join(in->controller, in->dist, "controller.js") < 0) return missing(why, why_size, in->dist);
  if (!realpath(link, in->node) || access(in->node, X_OK) < 0) return missing(why, why_size, link);
  if (access(in->controller, R_OK) < 0) return missing(why, why_size, in->controller);
  return 0;
}
