/* What `events` waits for: the container's OOM kills and its end, as the kernel tells them, and its own interval. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../common/fd.h"
#include "executor.h"
#include "oom.h"
#include "paths.h"
#include "process.h"
#include "ops.gen.h"

/* One for the life of this process: it is a command's. */
static struct {
  struct oom_files oom; /* -1: no OOM events here */
  int timer;
  int process; /* a pidfd; -1: has ended */
  bool running;
  uint64_t kills; /* v2: counted so far */
} watch = {{-1, -1}, -1, -1, false, 0};

static int open_oom(const char *path) {
  _cleanup_fd_ int memory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct oom_count count;
  if (memory < 0 || oom_open(memory, &watch.oom) != 0 || oom_read(watch.oom.counter, &count) != 0) return -1;
  watch.kills = count.kills;
  return 0;
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
  uint64_t ticks;
  struct oom_count count;
  if (watch.oom.counter < 0) return false;
  bool told = watch.oom.event >= 0 && read(watch.oom.event, &ticks, sizeof ticks) == (ssize_t)sizeof ticks;
  if (oom_read(watch.oom.counter, &count) != 0) { /* the cgroup has gone, which v1 tells as well */
    fd_close(&watch.oom.event);
    fd_close(&watch.oom.counter);
    return false;
  }
  bool more = count.kills > watch.kills;
  watch.kills = count.kills;
  return watch.oom.event >= 0 ? told : more;
}

static int next_event(uint32_t *event) {
  for (;;) {
    bool v1 = watch.oom.event >= 0;
    struct pollfd pollers[3] = {{.fd = v1 ? watch.oom.event : watch.oom.counter, .events = v1 ? POLLIN : POLLPRI},
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
