/* Readiness (sd_notify(3)): the container says it to a socket of ours, and we to the one of whoever called us. */
#define _GNU_SOURCE
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/fd.h"
#include "../common/rights.h"
#include "paths.h"
#include "process.h"

#define READY "READY=1"
#define MESSAGE_MAX 4096
#define MESSAGES_AT_ONCE 1024 /* more than such a socket queues: who sends without end does not keep us from all else */
#define BARRIER_MS 5000 /* how long the caller may take to read what we said, before we are gone and can't be asked who we were */

/* 0 or -1 with errno. */
static int bind_own(const char *path, int *own) {
  struct sockaddr_un address;
  _cleanup_fd_ int dir = -1;
  if (unlink(path) != 0 && errno != ENOENT) return -1;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || unix_address(path, &address, &dir) != 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
      chmod(path, 0777) != 0)
    return -1;
  *own = fd_steal(&fd);
  return 0;
}

/* 0 or -1 with errno. */
static int connect_caller(const char *path, int *caller) {
  struct sockaddr_un address;
  _cleanup_fd_ int dir = -1;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || unix_address(path, &address, &dir) != 0) return -1;
  socklen_t len = sizeof address;
  if (path[0] == '@') { /* one that is in no file system, and so not reached through a directory */
    if (dir >= 0) {
      errno = ENAMETOOLONG;
      return -1;
    }
    address.sun_path[0] = '\0';
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
  }
  const struct timeval limit = {.tv_sec = BARRIER_MS / 1000};
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 || connect(fd, (const struct sockaddr *)&address, len) != 0)
    return -1;
  *caller = fd_steal(&fd);
  return 0;
}

/* A line of the message says so. */
static bool says_ready(const char *text, size_t len) {
  for (size_t at = 0; at < len;) {
    const char *end = memchr(text + at, '\n', len - at);
    size_t line = (end == NULL ? len : (size_t)(end - text)) - at;
    if (line == sizeof READY - 1 && memcmp(text + at, READY, line) == 0) return true;
    at += line + 1;
  }
  return false;
}

/* Reads what the container has said so far; what else that was is not passed on, nor are descriptors. */
static bool heard_ready(int own) {
  char text[MESSAGE_MAX];
  for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
    ssize_t got = recv(own, text, sizeof text, MSG_DONTWAIT);
    if (got < 0 && errno != EINTR) return false;
    if (got > 0 && says_ready(text, (size_t)got)) return true;
  }
  return false;
}

/* The caller closes the pipe when it has read all that was sent before. One that knows no barriers lets us wait in vain. */
static void barrier(int caller) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  if (rights_send(caller, "BARRIER=1", sizeof "BARRIER=1" - 1, &ends[1], 1, 0) >= 0) {
    fd_close(&ends[1]);
    struct pollfd poller = {.fd = ends[0]};
    (void)poll(&poller, 1, BARRIER_MS);
  }
  fd_close(&ends[0]);
  fd_close(&ends[1]);
}

void notify_pass(struct executor *ex) {
  if (!heard_ready(ex->notify)) return;
  (void)send(ex->notify_caller, READY, sizeof READY - 1, MSG_NOSIGNAL);
  fd_close(&ex->notify);
  fd_close(&ex->notify_caller);
}

/* Until the container is ready, or ends without having been. */
static int wait_ready(struct executor *ex, const struct op_notify *op, int own, int caller) {
  _cleanup_fd_ int pidfd = process_open((pid_t)op->pid, op->start);
  if (pidfd < 0) return errno == ESRCH ? 0 : fail_sys(&ex->fail, "pidfd_open", "the container's process");
  struct pollfd pollers[2] = {{.fd = own, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
  for (bool ended = false; !ended;) {
    if (poll(pollers, 2, -1) < 0 && errno != EINTR) return fail_sys(&ex->fail, "poll", op->path);
    ended = pollers[1].revents != 0;
    if (!heard_ready(own)) continue;
    char text[64];
    int len = snprintf(text, sizeof text, READY "\nMAINPID=%u", op->pid);
    /* A caller that is gone meanwhile is no reason to end what it has started. */
    if (send(caller, text, (size_t)len, MSG_NOSIGNAL) == len) barrier(caller);
    return 0;
  }
  return 0;
}

int run_notify(struct executor *ex, const struct op_notify *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int own = -1, caller = -1;
  if (bind_own(op->path, &own) != 0) return fail_sys(&ex->fail, "bind", op->path);
  if (connect_caller(op->caller, &caller) != 0) return fail_sys(&ex->fail, "connect", op->caller);
  _cleanup_buf_ struct buf outcome = {.data = NULL};
  int done = executor_run(ex, op->plan.data, op->plan.len, &outcome);
  if (done != 0) return done < 0 ? fail_sys(&ex->fail, "mmap", op->path) : -1;
  if (op->wait != 0) return wait_ready(ex, op, own, caller);
  fd_close(&ex->notify);
  fd_close(&ex->notify_caller);
  ex->notify = fd_steal(&own);
  ex->notify_caller = fd_steal(&caller);
  return 0;
}
