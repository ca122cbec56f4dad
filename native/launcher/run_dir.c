#define _GNU_SOURCE
#include "run_dir.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/userns.h"

#define OF_ROOT "/run/berth"

static char handed_down[PATH_MAX], trouble[PATH_MAX + 256];

__attribute__((format(printf, 2, 3))) static int refuse(int error, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)vsnprintf(trouble, sizeof trouble, format, args);
  va_end(args);
  errno = error;
  return -1;
}

static int below(const char *dir, char path[PATH_MAX]) {
  int n = snprintf(path, PATH_MAX, "%s/berth", dir);
  return n > 0 && n < PATH_MAX ? 0 : refuse(ENAMETOOLONG, "%s: %s", dir, strerror(ENAMETOOLONG));
}

/* Root inside of a user namespace that still goes by another name is that user, as for runc; and it is where /run is the host's. */
static bool owns_run(void) {
  const char *user = getenv("USER");
  return geteuid() == 0 && (!user || !*user || !strcmp(user, "root")) && access("/run", W_OK) == 0;
}

/* What others can write to could hold their sockets and plans. */
static int check_runtime_dir(const char *dir, const char *said_by) {
  struct stat st;
  unsigned self = geteuid();
  if (stat(dir, &st) < 0) return refuse(errno, "%s%s: %s: make it a directory of your own (mode 0700)", said_by, dir, strerror(errno));
  if (!S_ISDIR(st.st_mode)) return refuse(ENOTDIR, "%s%s: %s", said_by, dir, strerror(ENOTDIR));
  if (st.st_uid != self)
    return refuse(EPERM, "%s%s: belongs to uid %u, and you are uid %u: set XDG_RUNTIME_DIR to a directory of your own (mode 0700)", said_by,
                  dir, (unsigned)st.st_uid, self);
  if (st.st_mode & 022) return refuse(EPERM, "%s%s: others may write to it: chmod 0700 it", said_by, dir);
  return 0;
}

static int find(char path[PATH_MAX]) {
  const char *xdg = getenv("XDG_RUNTIME_DIR");
  if ((geteuid() == 0 && initial_user_namespace()) || owns_run()) return snprintf(path, PATH_MAX, OF_ROOT) < 0 ? -1 : 0;
  if (xdg && *xdg) {
    if (*xdg != '/') return refuse(EINVAL, "XDG_RUNTIME_DIR=%s: is no absolute path", xdg);
    return check_runtime_dir(xdg, "XDG_RUNTIME_DIR=") < 0 ? -1 : below(xdg, path);
  }
  char dir[32];
  struct stat st;
  (void)snprintf(dir, sizeof dir, "/run/user/%u", (unsigned)geteuid());
  if (geteuid() == 0 || stat(dir, &st) < 0)
    return refuse(ENOENT, "XDG_RUNTIME_DIR is not set%s%s%s: set it to a directory of your own (mode 0700); its sockets and the state of containers go there",
                  geteuid() ? ", and there is no " : "", geteuid() ? dir : "", geteuid() ? "" : ", and /run is not this user namespace's");
  return check_runtime_dir(dir, "") < 0 ? -1 : below(dir, path);
}

int run_dir(char path[PATH_MAX]) {
  if (!*handed_down) return find(path);
  memcpy(path, handed_down, sizeof handed_down);
  return 0;
}

void run_dir_is(const char *path) { (void)snprintf(handed_down, sizeof handed_down, "%s", path); }
const char *run_dir_trouble(void) { return trouble; }
