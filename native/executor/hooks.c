/* Runs hooks: programs of the host's administrator or of the bundle, told about the container on their standard input. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../common/fd.h"
#include "paths.h"
#include "program.h"
#include "vector.h"

static int input_of(struct executor *ex, struct list parts) {
  _cleanup_buf_ struct buf data = {.data = NULL};
  if (template_render(ex, parts, &data) != 0) return -1;
  /* A file and no pipe: nobody has to feed it while the hook runs. */
  _cleanup_fd_ int fd = memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0) return fail_sys(&ex->fail, "memfd_create", "standard input of a hook");
  if ((data.len > 0 && write_whole(fd, data.data, data.len) != 0) || lseek(fd, 0, SEEK_SET) != 0)
    return fail_sys(&ex->fail, "write", "standard input of a hook");
  return fd_steal(&fd);
}

int run_hook(struct executor *ex, const struct op_hook *op, struct buf *result) {
  (void)result;
  /* Of what is in the plan the child sees nothing. */
  _cleanup_free_ char *path = strdup(op->path), *cwd = strdup(op->cwd);
  char *fallback[] = {path, NULL};
  _cleanup_free_ char **argv = vector_of(op->args), **envp = vector_of(op->env);
  if (path == NULL || cwd == NULL || argv == NULL || envp == NULL) return fail_sys(&ex->fail, "malloc", op->path);
  _cleanup_fd_ int input = input_of(ex, op->input);
  if (input < 0) return -1;
  const struct program program = {
      .path = path, .argv = op->args.count == 0 ? fallback : argv, .envp = envp, .cwd = cwd[0] == '\0' ? NULL : cwd,
      .timeout_ms = op->timeout_ms};
  return program_run(ex, &program, input);
}
