#define _GNU_SOURCE
#include "self_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "../common/fd.h"
#include "../common/sys.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

/* The binary on a detached read-only mount of its own: shared pages, nothing to copy. */
static int read_only_clone(int self) {
  _cleanup_fd_ int tree = sys_open_tree(self, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  if (tree < 0) return -1;
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
  if (sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attr) < 0) return -1;
  return fd_steal(&tree);
}

/* Where mounts may not be cloned: private memory, sealed. */
static int sealed_copy(int self) {
  struct stat st;
  _cleanup_fd_ int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  _cleanup_fd_ int to = memfd_create("berth", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (to < 0 && errno == EINVAL) to = memfd_create("berth", MFD_CLOEXEC | MFD_ALLOW_SEALING); /* before Linux 6.3 */
  if (from < 0 || to < 0 || fstat(self, &st) < 0 || fchmod(to, 0500) < 0) return -1;
  for (off_t left = st.st_size; left > 0;) {
    ssize_t n = sendfile(to, from, NULL, (size_t)left);
    if (n <= 0) {
      if (n == 0) errno = EIO;
      return -1;
    }
    left -= n;
  }
  if (fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) return -1;
  return fd_steal(&to);
}

static const char *failed_in;

const char *spawn_failed_in(void) { return failed_in; }

/* The copy to execute. -1 where this host can't do what a monitor needs: found out here, as the child could tell nobody. */
static int prepare(void) {
  failed_in = "close_range";
  if (sys_close_range(~0u, ~0u, CLOSE_RANGE_CLOEXEC) < 0) return -1;
  failed_in = "execveat";
  if (sys_execveat(-1, ".", NULL, NULL, -1) < 0 && errno != EINVAL) return -1;
  failed_in = "open";
  _cleanup_fd_ int self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
  if (self < 0) return -1;
  int copy = read_only_clone(self);
  failed_in = "memfd_create";
  return copy >= 0 ? copy : sealed_copy(self);
}

/* More likely to be killed than who started it, as the reference shim; best effort, never lower than it was. */
static void raise_oom_score(void) {
  char text[16];
  _cleanup_fd_ int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n <= 0) return;
  text[n] = 0;
  int score = atoi(text) + 1;
  int len = snprintf(text, sizeof text, "%d", score > 1000 ? 1000 : score);
  if (pwrite(fd, text, (size_t)len, 0) < 0) return;
}

pid_t spawn_monitor(char *const argv[], unsigned keep, bool stdio, bool oom_adj) {
  char *const env[] = {NULL};
  _cleanup_fd_ int copy = prepare();
  if (copy < 0) return -1;
  failed_in = "open";
  _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return -1;
  failed_in = "fork";
  pid_t pid = fork();
  if (pid > 0) failed_in = NULL;
  if (pid != 0) return pid;
  for (int i = 0; i < 3; i++)
    /* A caller may have none of the three open; the container's then are null. */
    if ((!stdio || fcntl(i, F_GETFD) < 0) && dup2(null, i) < 0) _exit(1);
  for (unsigned i = 3; i < keep; i++)
    if (fcntl((int)i, F_SETFD, 0) < 0) _exit(1);
  for (int s = 1; s < _NSIG; s++) (void)signal(s, SIG_DFL); /* KILL and STOP refuse */
  sigset_t none;
  sigemptyset(&none);
  if (oom_adj) raise_oom_score();
  (void)umask(022);
  /* Everything beyond goes at the execve below. */
  if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || sys_close_range(keep, ~0u, CLOSE_RANGE_CLOEXEC) < 0 || setsid() < 0 || chdir("/") < 0)
    _exit(1);
  (void)sys_execveat(copy, "", argv, env, AT_EMPTY_PATH);
  _exit(1);
}
