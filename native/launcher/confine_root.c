#define _GNU_SOURCE
#include "confine_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_ONLY (MS_RDONLY | MS_NOSUID | MS_NODEV)

static char failed_on[PATH_MAX];

const char *confine_root_failed(void) { return failed_on; }

static int fail(const char *what) {
  int error = errno;
  snprintf(failed_on, sizeof failed_on, "%s", what);
  errno = error;
  return -1;
}

/* Makes the directories above the last component of an absolute path, below the current directory. */
static int make_parents(const char *path) {
  char part[PATH_MAX];
  for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    size_t n = (size_t)(slash - path) - 1;
    if (n >= sizeof part) {
      errno = ENAMETOOLONG;
      return -1;
    }
    memcpy(part, path + 1, n);
    part[n] = 0;
    if (mkdir(part, 0755) < 0 && errno != EEXIST) return -1;
  }
  return 0;
}

/* Binds an absolute path of the host to the same path below the current directory. A symlink is made again; what is not there is
 * left out where `optional`. */
static int bring(const char *path, unsigned long flags, int optional) {
  struct stat st;
  char target[PATH_MAX];
  if (lstat(path, &st) < 0) return optional && errno == ENOENT ? 0 : fail(path);
  if (make_parents(path) < 0) return fail(path);
  if (S_ISLNK(st.st_mode)) {
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) return fail(path);
    target[n] = 0;
    return symlink(target, path + 1) < 0 && errno != EEXIST ? fail(path) : 0;
  }
  if (S_ISDIR(st.st_mode)) {
    if (mkdir(path + 1, 0755) < 0 && errno != EEXIST) return fail(path);
  } else {
    int fd = open(path + 1, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return fail(path);
    close(fd);
  }
  if (mount(path, path + 1, NULL, MS_BIND, NULL) < 0) return fail(path);
  /* In a user namespace what the host has locked must stay: asking for the same again is allowed. */
  return mount(NULL, path + 1, NULL, MS_BIND | MS_REMOUNT | flags, NULL) < 0 ? fail(path) : 0;
}

int confine_files(const struct install *in, int (*each)(const char *path, bool optional, void *context), void *context) {
  static const char *const libraries[] = {"/lib", "/lib64", "/usr/lib", "/usr/lib64"};
  char node_dir[PATH_MAX];
  snprintf(node_dir, sizeof node_dir, "%s", in->node);
  *strrchr(node_dir, '/') = 0;
  int done = each(in->dist, false, context);
  if (done >= 0 && strcmp(node_dir, in->dist)) done = each(node_dir, false, context);
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries && done >= 0; i++) done = each(libraries[i], true, context);
  return done;
}

static int bring_file(const char *path, bool optional, void *context) {
  (void)context;
  return bring(path, READ_ONLY, optional);
}

int confine_root(const struct install *in, const char *scratch) {
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return fail("/");
  if (mount("berth", scratch, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=256k") < 0 || chdir(scratch) < 0) return fail(scratch);
  if (confine_files(in, bring_file, NULL) < 0 || bring("/dev/null", MS_RDONLY | MS_NOSUID | MS_NOEXEC, 0) < 0 ||
      bring("/dev/urandom", MS_RDONLY | MS_NOSUID | MS_NOEXEC, 0) < 0) return -1;
  /* EPERM: the host's /proc is masked, and a user namespace must not see past that. The controller does without. */
  if (mkdir("proc", 0755) < 0 || (mount("proc", "proc", "proc", READ_ONLY | MS_NOEXEC, NULL) < 0 && errno != EPERM)) return fail("/proc");
  if (mount(NULL, scratch, NULL, MS_REMOUNT | MS_BIND | READ_ONLY, NULL) < 0) return fail(scratch);
  if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) return fail("pivot_root");
  return 0;
}
