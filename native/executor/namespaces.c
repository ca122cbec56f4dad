/* Namespaces of others: opened, entered for a clone and left again, or entered for good where there is no way back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../init/identity.h"
#include "clone.h"
#include "ops.gen.h"
#include "paths.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define TIME_OFFSETS "/proc/self/timens_offsets"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

/* What a process can enter for a clone and leave again: all but the user namespace (nobody gets out of one) and the mounts, which belong
 * to the container's root. */
static const struct kind {
  int type;
  const char *name, *own;
} kinds[NAMESPACE_KINDS] = {
  {CLONE_NEWPID, "pid", "/proc/self/ns/pid"},   {CLONE_NEWTIME, "time", "/proc/self/ns/time"},
  {CLONE_NEWIPC, "ipc", "/proc/self/ns/ipc"},   {CLONE_NEWUTS, "uts", "/proc/self/ns/uts"},
  {CLONE_NEWNET, "network", "/proc/self/ns/net"}, {CLONE_NEWCGROUP, "cgroup", "/proc/self/ns/cgroup"},
  {CLONE_NEWUSER, "user", "/proc/self/ns/user"}, {CLONE_NEWNS, "mount", "/proc/self/ns/mnt"},
};

static const struct kind *kind_of(int type) {
  for (size_t i = 0; i < NAMESPACE_KINDS; i++)
    if (kinds[i].type == type) return &kinds[i];
  return NULL;
}

const char *namespace_name(int type) {
  const struct kind *kind = kind_of(type);
  return kind == NULL ? "unknown" : kind->name;
}

bool is_own_user_namespace(int ns) {
  struct stat theirs, ours;
  return fstat(ns, &theirs) == 0 && stat("/proc/self/ns/user", &ours) == 0 && theirs.st_dev == ours.st_dev &&
         theirs.st_ino == ours.st_ino;
}

int run_open_namespace(struct executor *ex, const struct op_open_namespace *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int ns = open(op->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (ns < 0) return fail_sys(&ex->fail, "open", op->path);
  struct statfs fs;
  int type = fstatfs(ns, &fs) == 0 && fs.f_type == NSFS_MAGIC ? ioctl(ns, NS_GET_NSTYPE) : -1;
  if (type < 0) return fail_msg(&ex->fail, EINVAL, op->path, "is no namespace");
  if (type != (int)op->nstype)
    return fail_msg(&ex->fail, EINVAL, op->path, "is a namespace of type %s, not %s", namespace_name(type),
                    namespace_name((int)op->nstype));
  return slot_put(ex, op->slot, fd_steal(&ns));
}

int run_join_pid(struct executor *ex, const struct op_join_pid *op, struct buf *result) {
  (void)result;
  int process = slot_fd(ex, op->slot);
  if (process < 0) return -1;
  return setns(process, CLONE_NEWPID) == 0 ? 0 : fail_sys(&ex->fail, "setns", namespace_name(CLONE_NEWPID));
}

static int open_own(struct executor *ex, const struct kind *kind, struct joined *joined) {
  int *own = &joined->own[kind - kinds];
  if (*own < 0) *own = open(kind->own, O_RDONLY | O_CLOEXEC);
  return *own >= 0 ? 0 : fail_sys(&ex->fail, "open", kind->own);
}

/* The namespace in a slot, and what it is. -1 (fail set). */
static int in_slot(struct executor *ex, uint32_t slot, const struct kind **kind) {
  int fd = slot_fd(ex, slot);
  if (fd < 0) return -1;
  int type = ioctl(fd, NS_GET_NSTYPE);
  *kind = type < 0 ? NULL : kind_of(type);
  char subject[32];
  (void)snprintf(subject, sizeof subject, "namespace in slot %u", slot);
  if (type < 0) return fail_sys(&ex->fail, "ioctl", subject);
  if (*kind == NULL || type == CLONE_NEWNS) return fail_msg(&ex->fail, EINVAL, subject, "of a type that is not joined before the clone");
  return fd;
}

/* The offsets of a time namespace freeze with its first process (trap 8). `offsets_fd` is its file, opened by who may write it. */
static int new_time_namespace(struct executor *ex, const char *offsets, int offsets_fd) {
  if (unshare(CLONE_NEWTIME) != 0) return fail_sys(&ex->fail, "unshare", "time namespace");
  if (offsets[0] == '\0') return 0;
  return write_whole(offsets_fd, offsets, strlen(offsets)) == 0 ? 0 : fail_sys(&ex->fail, "write", TIME_OFFSETS);
}

int entry_read(struct executor *ex, const struct op_clone *op, struct entry *entry) {
  if (op->join.count > NAMESPACE_KINDS || strlen(op->time_offsets) >= sizeof entry->time_offsets)
    return fail_msg(&ex->fail, EINVAL, op->key, "more to join than there are namespaces");
  struct reader slots = op->join.items;
  entry->count = op->join.count;
  for (uint32_t i = 0; i < entry->count; i++) entry->slots[i] = reader_u32(&slots);
  entry->new_time = op->time_offsets[0] != '\0' || (op->flags & CLONE_NEWTIME) != 0;
  fail_copy(entry->time_offsets, sizeof entry->time_offsets, op->time_offsets);
  return 0;
}

bool entry_has_user(struct executor *ex, const struct entry *entry) {
  for (uint32_t i = 0; i < entry->count; i++) {
    int fd = entry->slots[i] < SLOTS ? ex->slots[entry->slots[i]] : -1;
    if (fd >= 0 && ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWUSER) return true;
  }
  return false;
}

int join_namespaces(struct executor *ex, const struct entry *entry, struct joined *joined) {
  for (uint32_t i = 0; i < entry->count; i++) {
    const struct kind *kind;
    int fd = in_slot(ex, entry->slots[i], &kind);
    if (fd < 0 || open_own(ex, kind, joined) != 0) return -1;
    if (setns(fd, kind->type) != 0) return fail_sys(&ex->fail, "setns", kind->name);
  }
  if (!entry->new_time) return 0;
  if (open_own(ex, kind_of(CLONE_NEWTIME), joined) != 0) return -1;
  _cleanup_fd_ int offsets = open(TIME_OFFSETS, O_WRONLY | O_CLOEXEC);
  if (offsets < 0) return fail_sys(&ex->fail, "open", TIME_OFFSETS);
  return new_time_namespace(ex, entry->time_offsets, offsets);
}

int leave_namespaces(struct executor *ex, struct joined *joined) {
  int done = 0;
  for (size_t i = 0; i < NAMESPACE_KINDS; i++) {
    if (joined->own[i] >= 0 && setns(joined->own[i], kinds[i].type) != 0)
      done = fail_msg(&ex->fail, errno, kinds[i].name, "a namespace of our own cannot be entered again");
    fd_close(&joined->own[i]);
  }
  return done;
}

/* Enters all of a kind: before the user namespace what belongs to one above it, after it what only its root may enter. */
static int join_around_user(struct executor *ex, const struct entry *entry, bool entered[NAMESPACE_KINDS], bool user, bool last) {
  for (uint32_t i = 0; i < entry->count; i++) {
    const struct kind *kind;
    int fd = in_slot(ex, entry->slots[i], &kind);
    if (fd < 0) return -1;
    if ((kind->type == CLONE_NEWUSER) != user || entered[kind - kinds]) continue;
    if ((user && is_own_user_namespace(fd)) || setns(fd, kind->type) == 0)
      entered[kind - kinds] = true;
    else if (last || errno != EPERM)
      return fail_sys(&ex->fail, "setns", kind->name);
  }
  return 0;
}

int join_for_good(struct executor *ex, const struct entry *entry) {
  /* Opened while we may: the file of a process that is not dumpable belongs to the host's root. */
  _cleanup_fd_ int offsets = entry->new_time ? open(TIME_OFFSETS, O_WRONLY | O_CLOEXEC) : -1;
  bool entered[NAMESPACE_KINDS] = {false};
  if (join_around_user(ex, entry, entered, false, false) != 0 || join_around_user(ex, entry, entered, true, true) != 0 ||
      join_around_user(ex, entry, entered, false, true) != 0)
    return -1;
  /* What is made from here on belongs to the root of that user namespace. */
  if (identity_root(ex) != 0) return -1;
  return entry->new_time ? new_time_namespace(ex, entry->time_offsets, offsets) : 0;
}
