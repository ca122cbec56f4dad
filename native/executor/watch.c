/* What `events` waits for: the container's OOM kills and its end, as the kernel tells them, and its own interval. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../common/fd.h"
#include "executor.h"
#include "paths.h"
#include "process.h"
#include "ops.gen.h"

/* One for the life of this process: it is a command's. */
static struct {
  int oom;    /* v1: an eventfd; v2: memory.events; -1: no OOM events here */
  int memory; /* the cgroup's directory */
  int timer;
  int process; /* a pidfd; -1: has ended */
  bool v1, running;
  uint64_t kills; /* v2: counted so far */
} watch = {-1, -1, -1, -1, false, false, 0};

/* v1: the kernel adds to an eventfd at each OOM (cgroup-v1/memory.rst, "OOM Control"). */
static int open_v1(int dir) {
  _cleanup_fd_ int control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
  _cleanup_fd_ int registrar = control < 0 ? -1 : openat(dir, "cgroup.event_control", O_WRONLY | O_CLOEXEC);
  _cleanup_fd_ int event = registrar < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) return -1;
  char line[32];
  int len = snprintf(line, sizeof line, "%d %d", event, control);
  return write_whole(registrar, line, (size_t)len) == 0 ? fd_steal(&event) : -1;
}

/* v2: 0, or -1 where the cgroup has gone. */
static int count_v2(uint64_t *kills) {
  char text[512];
  ssize_t len = pread(watch.oom, text, sizeof text - 1, 0);
  if (len < 0) return -1;
  text[len] = '\0';
  const char *at = strstr(text, "oom_kill ");
  *kills = at == NULL ? 0 : strtoull(at + strlen("oom_kill "), NULL, 10);
  return 0;
}

static int open_oom(const char *path) {
  watch.memory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (watch.memory < 0) return -1;
  watch.v1 = faccessat(watch.memory, "memory.oom_control", F_OK, 0) == 0;
  watch.oom = watch.v1 ? open_v1(watch.memory) : openat(watch.memory, "memory.events", O_RDONLY | O_CLOEXEC);
  return watch.oom < 0 || (!watch.v1 && count_v2(&watch.kills) != 0) ? -1 : 0;
}

int run_watch(struct executor *ex, const struct op_watch *op, struct buf *result) {
  (void)result;
  if (watch.running) return fail_msg(&ex->fail, EALREADY, "", "this command watches already");
  const struct itimerspec every = {
      .it_value = {.tv_sec = (time_t)(op->interval_ns / 1000000000u), .tv_nsec = (long)(op->interval_ns % 1000000000u)},
      .it_interval = {.tv_sec = (time_t)(op->interval_ns / 1000000000u), .tv_nsec = (long)(op->interval_ns % 1000000000u)}};
  watch.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (watch.timer < 0 || timerfd_settime(watch.timer, 0, &every, NULL) != 0) return fail_sys(&ex->fail, "timerfd_settime", "interval");
  watch.process = process_open((pid_t)op->pid, op->start);
  if (watch.process < 0 && errno != ESRCH) return fail_sys(&ex->fail, "pidfd_open", "the container's process");
  if (*op->memory != '\0' && open_oom(op->memory) != 0) return fail_sys(&ex->fail, "watch", op->memory);
  watch.running = true;
  return 0;
}

/* Whether there was an OOM since the last look. */
static bool oom_happened(void) {
  uint64_t count;
  if (watch.oom < 0) return false;
  if (watch.v1) /* the removal of the cgroup counts as well */
    return read(watch.oom, &count, sizeof count) == (ssize_t)sizeof count && faccessat(watch.memory, "memory.oom_control", F_OK, 0) == 0;
  if (count_v2(&count) != 0) {
    fd_close(&watch.oom);
    return false;
  }
  bool more = count > watch.kills;
  watch.kills = count;
  return more;
}

static int next_event(uint32_t *event) {
  for (;;) {
    struct pollfd pollers[3] = {{.fd = watch.oom, .events = watch.v1 ? POLLIN : POLLPRI},
                                {.fd = watch.process, .events = POLLIN},
                                {.fd = watch.timer, .events = POLLIN}};
    bool ended = watch.process < 0;
    if (!ended) {
      if (poll(pollers, 3, -1) < 0) {
        if (errno == EINTR) continue;
        return -1;
      }
      ended = pollers[1].revents != 0;
    }
    uint64_t ticks;
    /* Before the end is told: v2's notifications are rate-limited, and may follow it (trap 19). */
    if ((ended || pollers[0].revents != 0) && oom_happened())
      *event = WATCHED_OOM;
    else if (ended)
      *event = WATCHED_ENDED;
    else if (pollers[2].revents != 0 && read(watch.timer, &ticks, sizeof ticks) == (ssize_t)sizeof ticks)
      *event = WATCHED_TICK;
    else
      continue;
    return 0;
  }
}

int run_watched(struct executor *ex, const struct op_watched *op, struct buf *result) {
  (void)op;
  uint32_t event;
  if (!watch.running) return fail_msg(&ex->fail, EINVAL, "", "nothing is watched");
  if (next_event(&event) != 0) return fail_sys(&ex->fail, "poll", "events");
  return buf_u32(result, event) == 0 ? 1 : fail_sys(&ex->fail, "mmap", "");
}
