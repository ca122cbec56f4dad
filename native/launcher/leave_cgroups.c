#define _GNU_SOURCE
#include "leave_cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"

/* Where a v2 root takes no processes (it delegates controllers): a group beside its children. */
#define OWN_GROUP "berth-controller"
enum { HIERARCHIES_MAX = 32 };

/* The root of each hierarchy, as it is mounted. */
struct roots {
  int v1[HIERARCHIES_MAX], v2;
  unsigned count;
};

static void find_roots(struct roots *roots) {
  *roots = (struct roots){.v2 = -1};
  FILE *mounts = fopen("/proc/self/mountinfo", "re");
  if (!mounts) return;
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, mounts) > 0) {
    char point[PATH_MAX];
    const char *type = strstr(line, " - cgroup");
    if (!type || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1) continue;
    bool second = type[strlen(" - cgroup")] == '2';
    int dir = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (second && roots->v2 < 0) roots->v2 = dir;
    else if (!second && dir >= 0 && roots->count < HIERARCHIES_MAX) roots->v1[roots->count++] = dir;
    else fd_close(&dir);
  }
  free(line);
  fclose(mounts);
}

static void close_roots(struct roots *roots) {
  for (unsigned i = 0; i < roots->count; i++) fd_close(&roots->v1[i]);
  fd_close(&roots->v2);
}

/* Of a process that moves itself: whether it could. Who may not stays where its caller is, with no more rights than that one. */
static bool move_self(int dir, const char *file) {
  _cleanup_fd_ int to = openat(dir, file, O_WRONLY | O_CLOEXEC);
  return to >= 0 && write(to, "0", 1) == 1;
}

static pid_t born_in(int dir) {
  struct clone_args args = {.exit_signal = SIGCHLD, .flags = CLONE_INTO_CGROUP, .cgroup = (uint64_t)dir};
  return sys_clone3(&args);
}

static pid_t fork_outside_v2(int root, bool *outside) {
  pid_t pid = born_in(root);
  if (pid < 0 && (errno == EBUSY || errno == EOPNOTSUPP) && (mkdirat(root, OWN_GROUP, 0755) == 0 || errno == EEXIST)) {
    _cleanup_fd_ int own = openat(root, OWN_GROUP, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (own >= 0) pid = born_in(own);
  }
  *outside = pid >= 0;
  return pid < 0 ? fork() : pid;
}

/* To be moved as a process costs a grace period of the kernel's, 5 to 15 milliseconds. A process that is born in its cgroup of version 2
 * (Linux 5.7), and a thread that moves itself in version 1 (Linux 5.4), need none. */
pid_t fork_outside_cgroups(void) {
  struct roots roots;
  find_roots(&roots);
  bool outside = true;
  pid_t pid = roots.v2 < 0 ? fork() : fork_outside_v2(roots.v2, &outside);
  if (pid == 0) {
    for (unsigned i = 0; i < roots.count; i++) (void)move_self(roots.v1[i], "tasks");
    if (!outside && !move_self(roots.v2, "cgroup.procs")) (void)move_self(roots.v2, OWN_GROUP "/cgroup.procs");
  }
  int error = errno;
  close_roots(&roots);
  errno = error;
  return pid;
}
