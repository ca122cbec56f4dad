/* Ends processes that are recorded: programs that `spawn` has started, and those beside a container. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"
#include "process.h"

/* SIGKILL ends a process at once, but for a sleep in the kernel that nothing interrupts. */
#define KILL_MS 1000

struct program {
  struct program *next;
  int pidfd; /* -1: it has ended */
  char record[];
};

/* The pidfd of who is recorded; -1 where that one has ended. A file of ours, as trustworthy as the undo plan beside it. */
static int recorded(const char *path) {
  char text[64];
  _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (len <= 0) return -1;
  text[len] = '\0';
  char *end;
  unsigned long pid = strtoul(text, &end, 10);
  uint64_t start = strtoull(end, NULL, 10);
  return pid == 0 || pid > INT_MAX || start == 0 ? -1 : process_open((pid_t)pid, start);
}

static int add(struct program **programs, const char *dir, const char *name) {
  size_t size = strlen(dir) + strlen(name) + 2;
  struct program *p = malloc(sizeof *p + size);
  if (p == NULL) return -1;
  (void)snprintf(p->record, size, "%s%s%s", dir, *name == '\0' ? "" : "/", name);
  p->pidfd = recorded(p->record);
  p->next = *programs;
  *programs = p;
  return 0;
}

/* The record at `path`, or those in it. 0 or -1 with errno. */
static int collect(const char *path, struct program **programs) {
  _cleanup_dir_ DIR *dir = opendir(path);
  if (dir == NULL) return errno == ENOENT ? 0 : errno == ENOTDIR ? add(programs, path, "") : -1;
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(dir);
    if (entry == NULL) return errno == 0 ? 0 : -1;
    if (entry->d_name[0] != '.' && add(programs, path, entry->d_name) != 0) return -1;
  }
}

/* Whether all of them end within that time. */
static bool all_ended(struct program *programs, uint32_t ms) {
  uint64_t until = now_ms() + ms;
  bool all = true;
  for (struct program *p = programs; p != NULL; p = p->next) {
    if (p->pidfd >= 0 && process_ended(p->pidfd, left_ms(until)) > 0) fd_close(&p->pidfd);
    all = all && p->pidfd < 0;
  }
  return all;
}

static void signal_all(struct program *programs, int signal) {
  for (struct program *p = programs; p != NULL; p = p->next)
    if (p->pidfd >= 0) (void)sys_pidfd_send_signal(p->pidfd, signal); /* one that is gone has ended */
}

static void end_all(struct program *programs, uint32_t eof_ms, uint32_t term_ms) {
  if (all_ended(programs, eof_ms)) return;
  signal_all(programs, SIGTERM);
  if (all_ended(programs, term_ms)) return;
  signal_all(programs, SIGKILL);
  (void)all_ended(programs, KILL_MS);
}

int run_end_spawned(struct executor *ex, const struct op_end_spawned *op, struct buf *result) {
  (void)result;
  struct program *programs = NULL, *next;
  int done = collect(op->path, &programs) == 0 ? 0 : fail_sys(&ex->fail, "opendir", op->path);
  end_all(programs, op->eof_ms, op->term_ms);
  for (struct program *p = programs; p != NULL; p = next) {
    next = p->next;
    if (p->pidfd >= 0) done = fail_msg(&ex->fail, ETIMEDOUT, p->record, "its process does not end after SIGKILL");
    else if (unlink(p->record) != 0 && errno != ENOENT) done = fail_sys(&ex->fail, "unlink", p->record);
    fd_close(&p->pidfd);
    free(p);
  }
  return done;
}
