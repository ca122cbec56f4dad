/* Runs programs of the host that a plan needs, and takes over what they leave running. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../common/fd.h"
#include "effects.h"
#include "paths.h"
#include "process.h"
#include "program.h"
#include "vector.h"

#define PID_TEXT_MAX 32

/* The descriptors are ours still. 0 or -1 (fail set). */
static int handed_over(struct executor *ex, struct list slots, int *fds) {
  if (slots.count > PROGRAM_FDS) return fail_msg(&ex->fail, E2BIG, "", "more than %d descriptors for a program", PROGRAM_FDS);
  for (uint32_t i = 0; i < slots.count; i++) {
    fds[i] = slot_fd(ex, reader_u32(&slots.items));
    if (fds[i] < 0) return -1;
  }
  return 0;
}

/* Opens cgroup.procs of each; *count of them are open, whatever is returned. 0 or -1 (fail set). */
static int open_cgroups(struct executor *ex, struct list dirs, int *fds, size_t *count) {
  for (*count = 0; *count < dirs.count; ++*count) {
    const char *path = reader_str(&dirs.items);
    _cleanup_fd_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fds[*count] = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fds[*count] < 0) return fail_sys(&ex->fail, "open", path);
  }
  return 0;
}

static int run_in(struct executor *ex, const struct op_run *op, const int *cgroups) {
  /* Of what is in the plan the child sees nothing. */
  _cleanup_free_ char *path = strdup(op->path), *cwd = strdup(op->cwd);
  _cleanup_free_ char **argv = vector_of(op->args), **envp = vector_of(op->env);
  if (path == NULL || cwd == NULL || argv == NULL || envp == NULL) return fail_sys(&ex->fail, "malloc", op->path);
  int fds[PROGRAM_FDS];
  _cleanup_fd_ int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input < 0) return fail_sys(&ex->fail, "open", "/dev/null");
  if (handed_over(ex, op->slots, fds) != 0) return -1;
  const struct program program = {.path = path, .argv = argv, .envp = envp, .cwd = cwd, .timeout_ms = op->timeout_ms, .fds = fds,
                                  .n_fds = op->slots.count, .cgroups = cgroups, .n_cgroups = op->cgroups.count,
                                  .own_mounts = (op->flags & RUN_OWN_MOUNTS) != 0};
  return program_run(ex, &program, input);
}

int run_run(struct executor *ex, const struct op_run *op, struct buf *result) {
  (void)result;
  size_t count;
  _cleanup_free_ int *cgroups = calloc((size_t)op->cgroups.count + 1, sizeof *cgroups);
  if (cgroups == NULL) return fail_sys(&ex->fail, "malloc", op->path);
  int done = open_cgroups(ex, op->cgroups, cgroups, &count) == 0 ? run_in(ex, op, cgroups) : -1;
  for (size_t i = 0; i < count; i++) fd_close(&cgroups[i]);
  return done;
}

/* The number in the file. 0: there is none, fail set. */
static pid_t read_pid(struct executor *ex, const char *path) {
  char text[PID_TEXT_MAX], *end;
  _cleanup_fd_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (len < 0) return fail_sys(&ex->fail, fd < 0 ? "open" : "read", path), 0;
  text[len] = '\0';
  long pid = strtol(text, &end, 10);
  if (end == text || pid <= 0 || pid > INT_MAX) return fail_msg(&ex->fail, EPROTO, path, "holds no pid"), 0;
  return (pid_t)pid;
}

int run_adopt(struct executor *ex, const struct op_adopt *op, struct buf *result) {
  const struct effects *effects = ex->effects;
  if (!can(ex, effects->process != NULL && effects->released != NULL)) return -1;
  pid_t pid = read_pid(ex, op->pid_file);
  if (pid == 0) return -1;
  uint64_t start;
  _cleanup_fd_ int pidfd = process_open(pid, 0);
  if (pidfd < 0 || process_start_time(pid, &start) != 0) return fail_sys(&ex->fail, "pidfd_open", op->pid_file);
  /* What is held has a control socket; this process has none, and is past the point where it would be of use. */
  _cleanup_fd_ int control = fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
  if (control < 0) return fail_sys(&ex->fail, "fcntl", op->key);
  ex->pid = pid;
  ex->start_time = start;
  if (buf_u32(result, (uint32_t)pid) != 0 || buf_u64(result, start) != 0 || buf_u32(result, 0) != 0)
    return fail_sys(&ex->fail, "mmap", op->key);
  if (effects->process(effects->home, op->key, pid, fd_steal(&pidfd), fd_steal(&control)) == 0 &&
      effects->released(effects->home, op->key) == 0)
    return 1;
  return fail_sys(&ex->fail, "", op->key);
}

int run_subreaper(struct executor *ex, const struct op_subreaper *op, struct buf *result) {
  (void)op;
  (void)result;
  return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 ? 0 : fail_sys(&ex->fail, "prctl", "PR_SET_CHILD_SUBREAPER");
}
