/* Operations on the processes of a cgroup and those below it: kill-cgroup, wait-cgroup, vacant; cpuset-inherit. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"
#include "process.h"

#define FILE_MAX (16u << 20)
#define DEPTH_MAX 64    /* levels of cgroups below one; the kernel's own names end far earlier */
#define KILL_PASSES 200 /* a fork bomb that outruns this many would outrun any number */

/* Appends a file of the cgroup and a NUL. 0, 1 where there is none, -1. */
static int read_file(int dir, const char *name, struct buf *out) {
  _cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 1 : -1;
  /* ENODEV: the cgroup was removed under us. EOPNOTSUPP: threaded, its processes are listed above it. */
  if (read_whole(fd, FILE_MAX, out) != 0) return errno == ENODEV || errno == EOPNOTSUPP ? 1 : -1;
  return buf_u8(out, 0);
}

/* 0, 1 where there is no such file, -1. */
static int write_file(int dir, const char *name, const char *text) {
  _cleanup_fd_ int fd = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 1 : -1;
  return write_whole(fd, text, strlen(text)) == 0 || errno == ENODEV ? 0 : -1;
}

/* What is done with each cgroup, the outer first. 0 or -1 with errno. */
typedef int (*visit)(int dir, void *context);

static int walk(int dir, unsigned depth, visit visit_one, void *context) {
  if (visit_one(dir, context) != 0) return -1;
  if (depth == DEPTH_MAX) {
    errno = ELOOP;
    return -1;
  }
  int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  _cleanup_dir_ DIR *entries = own < 0 ? NULL : fdopendir(own);
  if (entries == NULL) {
    fd_close(&own);
    return -1;
  }
  const struct dirent *entry;
  while (errno = 0, (entry = readdir(entries)) != NULL) {
    if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    _cleanup_fd_ int below = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0 && errno == ENOENT) continue; /* removed meanwhile */
    if (below < 0 || walk(below, depth + 1, visit_one, context) != 0) return -1;
  }
  return errno == 0 || errno == ENOENT || errno == ENODEV ? 0 : -1;
}

/* Calls `one` for each process in cgroup.procs. */
static int each_process(int dir, int (*one)(pid_t pid, void *context), void *context) {
  _cleanup_buf_ struct buf text = {.data = NULL};
  int got = read_file(dir, "cgroup.procs", &text);
  if (got != 0) return got < 0 ? -1 : 0;
  char *rest;
  for (char *line = strtok_r((char *)text.data, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    long pid = strtol(line, NULL, 10);
    /* 0: a process of another pid namespace, which can't be named here. */
    if (pid > 0 && one((pid_t)pid, context) != 0) return -1;
  }
  return 0;
}

struct killing {
  int signal;
  struct buf *seen; /* pids signalled in the passes before */
  bool fresh;       /* this pass met a new one */
};

static int kill_one(pid_t pid, void *context) {
  struct killing *killing = context;
  for (size_t at = 0; at + sizeof pid <= killing->seen->len; at += sizeof pid)
    if (memcmp(killing->seen->data + at, &pid, sizeof pid) == 0) return 0;
  if (buf_append(killing->seen, &pid, sizeof pid) != 0) return -1;
  killing->fresh = true;
  /* Between the listing and this the pid may become another's: gone again from the cgroup, and not ours to signal. A pidfd and
   * a second look at the cgroup would cost a file read for each process; a pid is not reused that soon (pid_max). */
  _cleanup_fd_ int pidfd = sys_pidfd_open(pid);
  if (pidfd < 0 || sys_pidfd_send_signal(pidfd, killing->signal) != 0) return errno == ESRCH || errno == EINVAL ? 0 : -1;
  return 0;
}

static int kill_each(int dir, void *context) {
  return each_process(dir, kill_one, context);
}

/* A frozen process takes no signal: thawed after it was sent, so that it runs nothing else first. */
static int thaw(int dir, void *context) {
  (void)context;
  return write_file(dir, "freezer.state", "THAWED") < 0 || write_file(dir, "cgroup.freeze", "0") < 0 ? -1 : 0;
}

int run_kill_cgroup(struct executor *ex, const struct op_kill_cgroup *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return errno == ENOENT ? 0 : fail_sys(&ex->fail, "open", op->path);
  if (op->signal == SIGKILL) { /* Linux 5.14, cgroup v2: at once, forks and frozen processes included */
    int killed = write_file(dir, "cgroup.kill", "1");
    if (killed == 0) return 0;
    if (killed < 0) return fail_sys(&ex->fail, "write", op->path);
  }
  _cleanup_buf_ struct buf seen = {.data = NULL};
  struct killing killing = {.signal = (int)op->signal, .seen = &seen, .fresh = true};
  for (int pass = 0; killing.fresh && pass < KILL_PASSES; pass++) {
    killing.fresh = false;
    if (walk(dir, 0, kill_each, &killing) != 0) return fail_sys(&ex->fail, "kill", op->path);
    if (op->signal != SIGKILL) break; /* who forks on a signal is no runaway */
  }
  if (op->signal == SIGKILL && walk(dir, 0, thaw, NULL) != 0) return fail_sys(&ex->fail, "write", op->path);
  return 0;
}

struct waiting {
  pid_t pid; /* the first one met; 0: none */
};

static int note_one(pid_t pid, void *context) {
  struct waiting *waiting = context;
  if (waiting->pid == 0) waiting->pid = pid;
  return 0;
}

static int note_each(int dir, void *context) {
  return each_process(dir, note_one, context);
}

/* v2: the kernel says so. 1 empty, 0 time ran out, -1. */
static int wait_events(int events, uint64_t until) {
  for (;;) {
    char text[256];
    ssize_t len = pread(events, text, sizeof text - 1, 0);
    if (len < 0) return errno == ENODEV ? 1 : -1;
    text[len] = '\0';
    if (strstr(text, "populated 0") != NULL) return 1;
    int left = left_ms(until);
    if (left == 0) return 0;
    struct pollfd poller = {.fd = events, .events = POLLPRI};
    if (poll(&poller, 1, left) < 0 && errno != EINTR) return -1;
  }
}

/* v1 has no event: the end of each process that is listed, one after the other. */
static int wait_processes(int dir, uint64_t until) {
  for (;;) {
    struct waiting waiting = {.pid = 0};
    if (walk(dir, 0, note_each, &waiting) != 0) return -1;
    if (waiting.pid == 0) return 1;
    int left = left_ms(until);
    if (left == 0) return 0;
    _cleanup_fd_ int pidfd = sys_pidfd_open(waiting.pid);
    if (pidfd < 0 && errno != ESRCH && errno != EINVAL) return -1;
    if (pidfd >= 0 && process_ended(pidfd, left) < 0) return -1;
    /* Ended, but listed until it is reaped: its parent's turn, which nobody tells us of. */
    pause_ms(1);
  }
}

int run_wait_cgroup(struct executor *ex, const struct op_wait_cgroup *op, struct buf *result) {
  (void)result;
  uint64_t until = now_ms() + op->timeout_ms;
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return errno == ENOENT ? 0 : fail_sys(&ex->fail, "open", op->path);
  _cleanup_fd_ int events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
  int empty = events >= 0 ? wait_events(events, until) : wait_processes(dir, until);
  if (empty < 0) return fail_sys(&ex->fail, "poll", op->path);
  return empty > 0 ? 0 : fail_msg(&ex->fail, ETIMEDOUT, op->path, "processes are left in it after %u ms", op->timeout_ms);
}

/* Whether a file of the cgroup has this text in it; false where there is no such file. 0 or -1. */
static int file_says(int dir, const char *name, const char *text, bool *says) {
  _cleanup_buf_ struct buf content = {.data = NULL};
  int got = read_file(dir, name, &content);
  *says = got == 0 && strstr((const char *)content.data, text) != NULL;
  return got < 0 ? -1 : 0;
}

/* v2 says it in cgroup.events, v1's freezer in freezer.state; both of what is above a cgroup too. 0 or -1. */
static int is_frozen(int dir, bool *frozen) {
  bool v2, v1, freezing;
  if (file_says(dir, "cgroup.events", "frozen 1", &v2) != 0 || file_says(dir, "freezer.state", "FROZEN", &v1) != 0 ||
      file_says(dir, "freezer.state", "FREEZING", &freezing) != 0)
    return -1;
  *frozen = v2 || v1 || freezing;
  return 0;
}

/* The directory, or the first above it that is there; `exact` tells which. A descriptor, or -1 with errno. */
static int open_nearest(const char *path, bool *exact) {
  char above[PATH_MAX];
  size_t len = strlen(path);
  if (len >= sizeof above) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(above, path, len + 1);
  for (*exact = true;; *exact = false) {
    int dir = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *slash = strrchr(above, '/');
    if (dir >= 0 || errno != ENOENT || slash == NULL || slash == above) return dir;
    *slash = '\0';
  }
}

int run_vacant(struct executor *ex, const struct op_vacant *op, struct buf *result) {
  (void)result;
  bool exact = true, frozen = false, populated;
  _cleanup_fd_ int dir = op->freezes ? open_nearest(op->path, &exact) : open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return !op->freezes && errno == ENOENT ? 0 : fail_sys(&ex->fail, "open", op->path);
  if (op->freezes && is_frozen(dir, &frozen) != 0) return fail_sys(&ex->fail, "read", op->path);
  if (frozen) return fail_msg(&ex->fail, EBUSY, op->path, "it is frozen, or one above it");
  if (!exact) return 0;
  struct waiting waiting = {.pid = 0};
  if (file_says(dir, "cgroup.events", "populated 1", &populated) != 0 || walk(dir, 0, note_each, &waiting) != 0)
    return fail_sys(&ex->fail, "read", op->path);
  if (waiting.pid != 0) return fail_msg(&ex->fail, EBUSY, op->path, "process %d is in it, or in one below it", (int)waiting.pid);
  if (populated) return fail_msg(&ex->fail, EBUSY, op->path, "there are processes in it that can't be seen from here");
  return 0;
}

int run_cpuset_inherit(struct executor *ex, const struct op_cpuset_inherit *op, struct buf *result) {
  (void)result;
  static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  _cleanup_fd_ int parent = dir < 0 ? -1 : openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) return fail_sys(&ex->fail, "open", op->path);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    _cleanup_buf_ struct buf own = {.data = NULL}, above = {.data = NULL};
    if (read_file(dir, files[i], &own) != 0 || read_file(parent, files[i], &above) != 0)
      return fail_sys(&ex->fail, "read", op->path);
    if (own.data[0] != '\n' && own.data[0] != '\0') continue;
    if (write_file(dir, files[i], (const char *)above.data) != 0) return fail_sys(&ex->fail, "write", op->path);
  }
  return 0;
}
