/* What a clone gets from its maker: its cgroups and its id maps. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../common/fd.h"
#include "clone.h"
#include "paths.h"

static int join_cgroup(struct executor *ex, const char *dir_path, const char *pid) {
  _cleanup_fd_ int dir = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", dir_path);
  _cleanup_fd_ int procs = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (procs < 0) return fail_sys(&ex->fail, "open", dir_path);
  return write_whole(procs, pid, strlen(pid)) == 0 ? 0 : fail_sys(&ex->fail, "write", dir_path);
}

int birth_cgroup(const struct op_clone *op, uint32_t *index) {
  struct reader dirs = op->cgroups.items;
  for (*index = 0; *index < op->cgroups.count; ++*index) {
    _cleanup_fd_ int dir = open(reader_str(&dirs), O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;
    if (dir >= 0 && fstatfs(dir, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) return fd_steal(&dir);
  }
  return -1;
}

int place_process(struct executor *ex, const struct op_clone *op, pid_t pid, uint32_t born) {
  char text[16];
  (void)snprintf(text, sizeof text, "%d", (int)pid);
  struct reader dirs = op->cgroups.items;
  for (uint32_t i = 0; i < op->cgroups.count; i++) {
    const char *dir = reader_str(&dirs);
    if (i != born && join_cgroup(ex, dir, text) != 0) return -1;
  }
  /* setgroups before gid_map: it can't be denied afterwards. */
  return id_map(ex, pid, "uid_map", op->uid_map, op->uid_mapper) == 0 && id_map_write(ex, pid, "setgroups", op->setgroups) == 0 &&
                 id_map(ex, pid, "gid_map", op->gid_map, op->gid_mapper) == 0
             ? 0
             : -1;
}
