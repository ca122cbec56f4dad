#define _GNU_SOURCE
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../common/whole.h"

#define STATUS_MAX 16384u

void caller_cleanup(struct caller *c) {
  int *fds[] = {&c->pidfd, &c->procs, &c->proc, &c->root, &c->cwd, &c->self};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) fd_close(fds[i]);
}

/* A small file below a directory, as text. 0 or -1. */
static int read_text(int dir, const char *name, struct buf *text) {
  _cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
  return fd < 0 || read_whole(fd, STATUS_MAX, text) != 0 || buf_u8(text, '\0') != 0 ? -1 : 0;
}

/* What stands behind a name in /proc/PID/status. NULL where it is not there. */
static const char *field(const struct buf *status, const char *name) {
  size_t len = strlen(name);
  for (const char *line = (const char *)status->data; line != NULL && *line != '\0';) {
    if (strncmp(line, name, len) == 0 && line[len] == ':') return line + len + 1;
    line = strchr(line, '\n');
    if (line != NULL) line++;
  }
  return NULL;
}

static int four(const struct buf *status, const char *name, uint32_t ids[4]) {
  const char *text = field(status, name);
  return text != NULL && sscanf(text, "%u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) == 4 ? 0 : -1;
}

static int groups_of(const struct buf *status, struct ids *ids) {
  const char *text = field(status, "Groups");
  if (text == NULL) return -1;
  for (ids->n_groups = 0; ids->n_groups < GROUPS_MAX; ids->n_groups++) {
    text += strspn(text, " \t");
    if (*text < '0' || *text > '9') return 0;
    char *end;
    ids->groups[ids->n_groups] = (gid_t)strtoul(text, &end, 10);
    text = end;
  }
  return -1;
}

/* The last of a list: that of the innermost namespace. */
static pid_t innermost(const struct buf *status, const char *name) {
  const char *text = field(status, name);
  long last = -1;
  while (text != NULL) {
    text += strspn(text, " \t");
    if (*text < '0' || *text > '9') break;
    char *end;
    last = strtol(text, &end, 10);
    text = end;
  }
  return (pid_t)last;
}

/* As far as this process sees them: in its user namespace. */
static int read_ids(int proc, struct ids *ids) {
  _cleanup_buf_ struct buf status = {.data = NULL};
  if (read_text(proc, "status", &status) != 0) return -1;
  const char *capabilities = field(&status, "CapEff"), *mask = field(&status, "Umask"), *process = field(&status, "Tgid");
  if (four(&status, "Uid", ids->uid) != 0 || four(&status, "Gid", ids->gid) != 0 || groups_of(&status, ids) != 0) return -1;
  if (capabilities == NULL || mask == NULL || process == NULL) return -1;
  ids->capabilities = strtoull(capabilities, NULL, 16);
  ids->umask = (mode_t)strtoul(mask, NULL, 8);
  ids->process = (pid_t)strtol(process, NULL, 10);
  ids->own_process = innermost(&status, "NStgid");
  ids->own = innermost(&status, "NSpid");
  return 0;
}

/* An id of ours as the caller has it (user_namespaces(7)). */
static uint32_t as_theirs(const struct caller *c, const char *map, uint32_t id) {
  _cleanup_buf_ struct buf text = {.data = NULL};
  if (read_text(c->proc, map, &text) != 0) return id;
  const char *line = (const char *)text.data;
  unsigned inside, outside, count;
  while (line != NULL && sscanf(line, "%u %u %u", &inside, &outside, &count) == 3) {
    if (id >= outside && id - outside < count) return inside + (id - outside);
    line = strchr(line, '\n');
    if (line != NULL) line++;
  }
  return 65534; /* the kernel's word for one that has none */
}

int caller_open(const struct asked *a, struct caller *c) {
  char number[16];
  (void)snprintf(number, sizeof number, "%d", (int)a->call.pid);
  c->procs = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  c->self = openat(c->procs, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  c->proc = openat(c->procs, number, O_PATH | O_DIRECTORY | O_CLOEXEC);
  c->pidfd = c->proc < 0 ? -1 : tracee_pidfd(&a->call);
  c->root = c->pidfd < 0 ? -1 : openat(c->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  c->cwd = c->root < 0 ? -1 : openat(c->proc, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (c->self < 0 || c->cwd < 0 || read_ids(c->proc, &c->ids) != 0) return EACCES;
  c->process = c->ids.process;
  c->uid = as_theirs(c, "uid_map", c->ids.uid[1]);
  c->gid = as_theirs(c, "gid_map", c->ids.gid[1]);
  /* While it waits nobody else can have its pid. */
  return still_waits(a) ? 0 : ESRCH;
}

int caller_fd(const struct caller *c, int fd) { return sys_pidfd_getfd(c->pidfd, fd); }

int caller_enter(const struct asked *a) {
  if (!still_waits(a)) return ESRCH;
  if (fchdir(a->means->root) != 0) return EACCES;
  if (chroot(".") == 0) return 0;
  return errno == EPERM && setns(a->means->user, CLONE_NEWUSER) == 0 && chroot(".") == 0 ? 0 : EACCES;
}

/* Namespaces that decide what a path in /proc/sys leads to, who may be moved by a file of a cgroup, and what capabilities are worth. */
static const struct {
  const char *file;
  int type;
} spaces[] = {{"user", CLONE_NEWUSER}, {"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}};

/* Those that it has others of. 0 or -1. */
static int other_spaces(const struct caller *c, int *others) {
  *others = 0;
  for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
    char theirs[16], ours[32];
    struct stat their, our;
    (void)snprintf(theirs, sizeof theirs, "ns/%s", spaces[i].file);
    (void)snprintf(ours, sizeof ours, "self/ns/%s", spaces[i].file);
    if (fstatat(c->proc, theirs, &their, 0) != 0 || fstatat(c->procs, ours, &our, 0) != 0) return -1;
    if (their.st_ino != our.st_ino || their.st_dev != our.st_dev) *others |= spaces[i].type;
  }
  return 0;
}

/* Where pidfds are of processes only (before Linux 6.9), a thread with namespaces of its own can't be followed. */
static int join_spaces(const struct asked *a, const struct caller *c) {
  int others;
  if (other_spaces(c, &others) != 0) return -1;
  if (others == 0) return 0;
  bool exact = a->call.pid == c->process || (fcntl(c->pidfd, F_GETFL) & O_EXCL) != 0; /* PIDFD_THREAD */
  return exact ? setns(c->pidfd, others) : -1;
}

static int enter_domains(const struct means *means) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  for (size_t i = 0; i < means->n_domains; i++)
    if (syscall(SYS_landlock_restrict_self, means->domains[i], 0) != 0) return -1;
  return 0;
}

static int set_capabilities(uint64_t effective, uint64_t permitted) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {
      {.effective = (uint32_t)effective, .permitted = (uint32_t)permitted},
      {.effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32)},
  };
  return (int)syscall(SYS_capset, &head, data);
}

static uint64_t permitted_capabilities(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  return syscall(SYS_capget, &head, data) == 0 ? data[0].permitted | (uint64_t)data[1].permitted << 32 : 0;
}

/* Where a user namespace has no setgroups(2) nobody in it can have other groups than who made it. */
static int set_groups(const struct ids *ids) {
  if (setgroups(ids->n_groups, ids->groups) == 0) return 0;
  gid_t own[GROUPS_MAX];
  int count = getgroups(GROUPS_MAX, own);
  if (count < 0 || (size_t)count != ids->n_groups || memcmp(own, ids->groups, ids->n_groups * sizeof *own) != 0) return -1;
  return 0;
}

#define BIT(capability) ((uint64_t)1 << (capability))

/* In this order each step has the right to the next; what we may do stays ours until it is given up. */
static int take_ids(const struct ids *ids) {
  const uint32_t *uid = ids->uid, *gid = ids->gid;
  uint64_t permitted = permitted_capabilities();
  if (set_groups(ids) != 0 || setresgid(gid[0], gid[1], gid[2]) != 0) return -1;
  (void)setfsgid(gid[3]);
  if ((uint32_t)setfsgid((gid_t)-1) != gid[3]) return -1;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || setresuid(uid[0], uid[1], uid[2]) != 0) return -1;
  if (set_capabilities(permitted, permitted) != 0) return -1;
  (void)setfsuid(uid[3]);
  if ((uint32_t)setfsuid((uid_t)-1) != uid[3]) return -1;
  return set_capabilities(permitted, permitted);
}

/* Root of all that the container can be has the caller's ids before it enters its user namespace, where these need not have a name; an ordinary user
 * has no right to any but its own until it is there. */
static int become_in_order(const struct asked *a, struct caller *c) {
  uint64_t needed = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_PTRACE);
  bool before = (permitted_capabilities() & needed) == needed;
  if (before && take_ids(&c->ids) != 0) return -1;
  if (join_spaces(a, c) != 0 || read_ids(c->proc, &c->ids) != 0) return -1;
  return before ? 0 : take_ids(&c->ids);
}

int caller_become(const struct asked *a, struct caller *c) {
  pid_t parent = getppid();
  if (become_in_order(a, c) != 0) return EACCES;
  int error = caller_enter(a);
  if (error != 0) return error;
  uint64_t own = c->ids.capabilities & permitted_capabilities();
  if (enter_domains(a->means) != 0 || set_capabilities(own, own) != 0) return EACCES;
  (void)umask(c->ids.umask);
  /* Both are undone by a change of ids (trap 2). */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) return EACCES;
  return 0;
}

int caller_devices(const struct asked *a) {
  for (size_t i = 0; i < a->means->n_devices; i++)
    if (write(a->means->devices[i], "0", 1) != 1) return EPERM;
  return 0;
}

dev_t caller_terminal(const struct caller *c) {
  _cleanup_buf_ struct buf stat = {.data = NULL};
  if (read_text(c->proc, "stat", &stat) != 0) return 0;
  /* Behind the name, which may have anything in it: state, parent, group, session, terminal. */
  const char *behind = strrchr((const char *)stat.data, ')');
  unsigned terminal = 0;
  if (behind == NULL || sscanf(behind + 1, " %*c %*d %*d %*d %u", &terminal) != 1) return 0;
  return makedev((terminal >> 8) & 0xfff, (terminal & 0xff) | ((terminal >> 12) & 0xfff00));
}

int begin_event(struct buf *event, const struct asked *a, const struct caller *c, enum kind kind) {
  const uint32_t numbers[] = {(uint32_t)c->process, (uint32_t)a->call.pid, c->uid, c->gid};
  if (buf_u8(event, SAY_QUESTION) != 0 || buf_u32(event, kind) != 0 || buf_str(event, a->name) != 0) return -1;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (buf_u32(event, numbers[i]) != 0) return -1;
  return 0;
}
