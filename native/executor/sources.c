/* Mounts made outside for a container that could not make them itself: what it has no way to reach, and what takes privilege in the
 * user namespace that the file system belongs to (trap 24). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../init/mount.h"
#include "clone.h"
#include "ops.gen.h"
#include "paths.h"

/* In the child: there until the other end of the pipe closes, and with it whoever made us. */
static _Noreturn void be_mapped(const int *gate) {
  char byte;
  (void)close(gate[1]);
  while (read(gate[0], &byte, 1) < 0 && errno == EINTR) {}
  _exit(0);
}

static int open_namespace_of(struct executor *ex, pid_t pid) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
  int ns = open(path, O_RDONLY | O_CLOEXEC);
  return ns >= 0 ? ns : fail_sys(&ex->fail, "open", path);
}

int run_map_ids(struct executor *ex, const struct op_map_ids *op, struct buf *result) {
  (void)result;
  int gate[2];
  if (pipe2(gate, O_CLOEXEC) != 0) return fail_sys(&ex->fail, "pipe2", "user namespace");
  _cleanup_fd_ int reader = gate[0], writer = gate[1];
  struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
  pid_t pid = sys_clone3(&args);
  if (pid == 0) be_mapped(gate);
  if (pid < 0) return fail_sys(&ex->fail, "clone3", "user namespace");
  _cleanup_fd_ int ns = -1;
  if (id_map_write(ex, pid, "uid_map", op->uid_map) == 0 && id_map_write(ex, pid, "gid_map", op->gid_map) == 0)
    ns = open_namespace_of(ex, pid);
  fd_close(&writer);
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  return ns < 0 ? -1 : slot_put(ex, op->slot, fd_steal(&ns));
}

/* The type of the file system that the descriptor lies on, by its device; "?" where no mount of ours has it. */
static void type_of(int fd, char *type, size_t size) {
  struct stat st;
  _cleanup_buf_ struct buf text = {.data = NULL};
  _cleanup_fd_ int mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  fail_copy(type, size, "?");
  if (fstat(fd, &st) != 0 || mountinfo < 0 || read_whole(mountinfo, SIZE_MAX / 4, &text) != 0 || buf_u8(&text, 0) != 0) return;
  char device[32], *rest;
  (void)snprintf(device, sizeof device, " %u:%u ", major(st.st_dev), minor(st.st_dev));
  for (char *line = strtok_r((char *)text.data, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char *at = strstr(line, " - "); /* "id parent dev root point … - TYPE source …" */
    if (at == NULL || strstr(line, device) == NULL) continue;
    at += 3;
    at[strcspn(at, " ")] = '\0';
    fail_copy(type, size, at);
    return;
  }
}

static int map_source(struct executor *ex, const struct op_mount_source *op, int mount) {
  bool tree = (op->flags & MOUNT_IDMAP_TREE) != 0;
  if (mount_idmap(ex, mount, op->userns, tree, op->path) == 0) return 0;
  char type[32];
  type_of(mount, type, sizeof type);
  return mount_idmap_fail(ex, type, tree);
}

int run_mount_source(struct executor *ex, const struct op_mount_source *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int mount = mount_clone(ex, AT_FDCWD, op->path, (op->flags & MOUNT_RECURSIVE) != 0, op->path);
  /* Root of a user namespace has no say in a mount namespace that is another's. The init makes one of its own, and finds the slot empty. */
  if (mount < 0 && ex->fail.error == EPERM && op->userns == NO_SLOT) return 0;
  /* A clone is a peer of what it was taken from; the container's are to be what its other mounts of the host's are. */
  if (mount < 0 || mount_propagation(ex, mount, op->propagation, op->path) != 0) return -1;
  if (op->userns != NO_SLOT && map_source(ex, op, mount) != 0) return -1;
  return slot_put(ex, op->slot, fd_steal(&mount));
}
