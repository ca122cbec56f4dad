#define _GNU_SOURCE
#include "oom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../common/fd.h"
#include "paths.h"
#include "effects.h"

/* The kernel adds to an eventfd at each OOM (cgroup-v1/memory.rst, "OOM Control"). */
static int open_v1(int memory, int counter) {
  _cleanup_fd_ int registrar = openat(memory, "cgroup.event_control", O_WRONLY | O_CLOEXEC);
  _cleanup_fd_ int event = registrar < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) return -1;
  char line[32];
  int len = snprintf(line, sizeof line, "%d %d", event, counter);
  return write_whole(registrar, line, (size_t)len) == 0 ? fd_steal(&event) : -1;
}

int oom_open(int memory, struct oom_files *files) {
  *files = (struct oom_files){-1, -1};
  _cleanup_fd_ int v1 = openat(memory, "memory.oom_control", O_RDONLY | O_CLOEXEC);
  if (v1 < 0) {
    files->counter = openat(memory, "memory.events", O_RDONLY | O_CLOEXEC);
    return files->counter < 0 ? -1 : 0;
  }
  files->event = open_v1(memory, v1);
  if (files->event < 0) return -1;
  files->counter = fd_steal(&v1);
  return 0;
}

static uint64_t figure(const char *text, const char *name) {
  size_t len = strlen(name);
  for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, name, len) == 0 && line[len] == ' ') return strtoull(line + len + 1, NULL, 10);
  }
  return 0;
}

int oom_read(int counter, struct oom_count *count) {
  char text[512];
  ssize_t len = pread(counter, text, sizeof text - 1, 0);
  if (len < 0) return -1;
  text[len] = '\0';
  *count = (struct oom_count){figure(text, "oom_kill"), figure(text, "oom_kill_disable") != 0 && figure(text, "under_oom") != 0};
  return 0;
}

int run_watch_oom(struct executor *ex, const struct op_watch_oom *op, struct buf *result) {
  if (!can(ex, ex->effects->watch_oom != NULL)) return -1;
  _cleanup_fd_ int memory = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct oom_files files;
  struct oom_count count;
  if (memory < 0 || oom_open(memory, &files) != 0) return fail_sys(&ex->fail, "open", op->path);
  if (oom_read(files.counter, &count) != 0) {
    (void)fail_sys(&ex->fail, "read", op->path);
    fd_close(&files.event);
    fd_close(&files.counter);
    return -1;
  }
  if (ex->effects->watch_oom(ex->effects->home, op->name, &files) != 0) return fail_sys(&ex->fail, "", op->name);
  return buf_u64(result, count.kills) == 0 ? 1 : fail_sys(&ex->fail, "mmap", "");
}
