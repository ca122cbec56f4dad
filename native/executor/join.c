/* What a clone needs around it: namespaces for the child alone, its cgroups and its id maps. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../common/fd.h"
#include "clone.h"
#include "paths.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static int open_own(struct executor *ex, const char *path, int *own) {
  if (*own < 0) *own = open(path, O_RDONLY | O_CLOEXEC);
  return *own >= 0 ? 0 : fail_sys(&ex->fail, "open", path);
}

static int join_one(struct executor *ex, uint32_t slot, struct joined *joined) {
  int fd = slot_fd(ex, slot);
  if (fd < 0) return -1;
  char subject[32];
  (void)snprintf(subject, sizeof subject, "namespace in slot %u", slot);
  int type = ioctl(fd, NS_GET_NSTYPE);
  if (type < 0) return fail_sys(&ex->fail, "ioctl", subject);
  /* Any other namespace would be entered by this process itself; the cloned one does that with its own setns. */
  if (type != CLONE_NEWPID && type != CLONE_NEWTIME)
    return fail_msg(&ex->fail, EINVAL, subject, "only a pid or time namespace is joined before the clone");
  bool is_pid = type == CLONE_NEWPID;
  if (open_own(ex, is_pid ? "/proc/self/ns/pid" : "/proc/self/ns/time", is_pid ? &joined->own_pid : &joined->own_time) != 0)
    return -1;
  return setns(fd, type) == 0 ? 0 : fail_sys(&ex->fail, "setns", subject);
}

/* The offsets of a time namespace freeze with its first process (trap 8). */
static int new_time_namespace(struct executor *ex, const char *offsets, struct joined *joined) {
  static const char path[] = "/proc/self/timens_offsets";
  if (open_own(ex, "/proc/self/ns/time", &joined->own_time) != 0) return -1;
  if (unshare(CLONE_NEWTIME) != 0) return fail_sys(&ex->fail, "unshare", "time namespace");
  if (offsets[0] == '\0') return 0;
  _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail_sys(&ex->fail, "open", path);
  return write_whole(fd, offsets, strlen(offsets)) == 0 ? 0 : fail_sys(&ex->fail, "write", path);
}

int join_namespaces(struct executor *ex, const struct op_clone *op, struct joined *joined) {
  struct reader slots = op->join.items;
  for (uint32_t i = 0; i < op->join.count; i++)
    if (join_one(ex, reader_u32(&slots), joined) != 0) return -1;
  if (op->time_offsets[0] == '\0' && (op->flags & CLONE_NEWTIME) == 0) return 0;
  return new_time_namespace(ex, op->time_offsets, joined);
}

int leave_namespaces(struct executor *ex, struct joined *joined) {
  int done = 0;
  if (joined->own_pid >= 0 && setns(joined->own_pid, CLONE_NEWPID) != 0)
    done = fail_sys(&ex->fail, "setns", "pid namespace of our own");
  if (joined->own_time >= 0 && setns(joined->own_time, CLONE_NEWTIME) != 0)
    done = fail_sys(&ex->fail, "setns", "time namespace of our own");
  fd_close(&joined->own_pid);
  fd_close(&joined->own_time);
  return done;
}

static int join_cgroup(struct executor *ex, const char *dir_path, const char *pid) {
  _cleanup_fd_ int dir = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", dir_path);
  _cleanup_fd_ int procs = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (procs < 0) return fail_sys(&ex->fail, "open", dir_path);
  return write_whole(procs, pid, strlen(pid)) == 0 ? 0 : fail_sys(&ex->fail, "write", dir_path);
}

int id_map_write(struct executor *ex, pid_t pid, const char *name, const char *text) {
  if (text[0] == '\0') return 0;
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail_sys(&ex->fail, "open", path);
  /* One write: the kernel takes a map whole or not at all. */
  ssize_t put = write(fd, text, strlen(text));
  return put == (ssize_t)strlen(text) ? 0 : fail_sys(&ex->fail, "write", path);
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
  return id_map_write(ex, pid, "uid_map", op->uid_map) == 0 && id_map_write(ex, pid, "setgroups", op->setgroups) == 0 &&
                 id_map_write(ex, pid, "gid_map", op->gid_map) == 0
             ? 0
             : -1;
}
