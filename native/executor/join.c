/* What a clone gets from its maker: its cgroups and its id maps. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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

/* Whoever moves another process keeps all others of the host from forking and ending meanwhile, and the kernel waits for a grace period to do
 * so: milliseconds. A thread that moves itself needs neither (Linux 5.4), which only version 1 has a file for. */
int joining_open(struct executor *ex, const struct op_clone *op, uint32_t born, struct joining *joining) {
  for (size_t i = 0; i < JOIN_MAX; i++) joining->tasks[i] = -1;
  struct reader dirs = op->cgroups.items;
  for (uint32_t i = 0; i < op->cgroups.count && i < JOIN_MAX; i++) {
    const char *path = reader_str(&dirs);
    if (i == born) continue;
    _cleanup_fd_ int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return fail_sys(&ex->fail, "open", path);
    joining->tasks[i] = openat(dir, "tasks", O_WRONLY | O_CLOEXEC);
  }
  return 0;
}

void joining_close(struct joining *joining) {
  for (size_t i = 0; i < JOIN_MAX; i++) fd_close(&joining->tasks[i]);
}

struct joined_how {
  uint32_t at;
  int error; /* 0: in all of them */
};

static bool joins(const struct joining *joining) {
  for (size_t i = 0; i < JOIN_MAX; i++)
    if (joining->tasks[i] >= 0) return true;
  return false;
}

bool joining_do(const struct joining *joining, int control) {
  struct joined_how how = {0, 0};
  if (!joins(joining)) return true;
  for (uint32_t i = 0; i < JOIN_MAX && how.error == 0; i++)
    if (joining->tasks[i] >= 0 && write_whole(joining->tasks[i], "0", 1) != 0) how = (struct joined_how){i, errno};
  return send(control, &how, sizeof how, MSG_NOSIGNAL) == sizeof how;
}

int joining_done(struct executor *ex, const struct op_clone *op, const struct joining *joining, int control) {
  struct joined_how how;
  ssize_t got;
  if (!joins(joining)) return 0;
  do got = recv(control, &how, sizeof how, 0);
  while (got < 0 && errno == EINTR);
  if (got != sizeof how) return fail_msg(&ex->fail, ECHILD, op->key, "the process ended before it was in its cgroups");
  if (how.error == 0) return 0;
  struct reader dirs = op->cgroups.items;
  for (uint32_t i = 0; i < how.at; i++) (void)reader_str(&dirs);
  errno = how.error;
  return fail_sys(&ex->fail, "write", reader_str(&dirs));
}

int place_process(struct executor *ex, const struct op_clone *op, pid_t pid, uint32_t born, const struct joining *joining) {
  char text[16];
  (void)snprintf(text, sizeof text, "%d", (int)pid);
  struct reader dirs = op->cgroups.items;
  for (uint32_t i = 0; i < op->cgroups.count; i++) {
    const char *dir = reader_str(&dirs);
    bool itself = i < JOIN_MAX && joining->tasks[i] >= 0;
    if (i != born && !itself && join_cgroup(ex, dir, text) != 0) return -1;
  }
  /* setgroups before gid_map: it can't be denied afterwards. */
  return id_map(ex, pid, "uid_map", op->uid_map, op->uid_mapper) == 0 && id_map_write(ex, pid, "setgroups", op->setgroups) == 0 &&
                 id_map(ex, pid, "gid_map", op->gid_map, op->gid_mapper) == 0
             ? 0
             : -1;
}
