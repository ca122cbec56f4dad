#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/rights.h"
#include "../executor/oom.h"
#include "held.h"

static int send_report(int sock, const void *data, size_t len, const int *fds, size_t n_fds) {
  return rights_send(sock, data, len, fds, n_fds, 0) < 0 ? -1 : 0;
}

/* A report about a name. The number goes behind it where `number` is not NULL. */
static int report(void *home, enum report type, const char *name, const uint32_t *number, const int *fds, size_t n_fds) {
  _cleanup_buf_ struct buf b = {0};
  if (buf_u8(&b, (uint8_t)type) < 0 || buf_str(&b, name) < 0 || (number && buf_u32(&b, *number) < 0)) return -1;
  return send_report(*(int *)home, b.data, b.len, fds, n_fds);
}

static int child_keep(void *home, const char *name, int fd) {
  if (report(home, REPORT_KEEP, name, NULL, &fd, 1) < 0) {
    fd_close(&fd);
    return -1;
  }
  return held_keep(name, fd);
}

static int child_drop(void *home, const char *name) {
  held_drop(name);
  return report(home, REPORT_DROP, name, NULL, NULL, 0);
}

static int child_pump(void *home, const char *name, int from, int to) {
  int fds[2] = {from, to}, done = report(home, REPORT_PUMP, name, NULL, fds, 2);
  fd_close(&from);
  fd_close(&to);
  return done;
}

static int report_times(void *home, uint8_t type, const char *name, uint32_t quiet_ms, uint32_t limit_ms) {
  _cleanup_buf_ struct buf b = {0};
  if (buf_u8(&b, type) < 0 || buf_str(&b, name) < 0 || buf_u32(&b, quiet_ms) < 0 || buf_u32(&b, limit_ms) < 0) return -1;
  return send_report(*(int *)home, b.data, b.len, NULL, 0);
}

static int child_linger(void *home, const char *name, uint32_t quiet_ms, uint32_t limit_ms) {
  return report_times(home, REPORT_LINGER, name, quiet_ms, limit_ms);
}

static int child_unread(void *home, const char *name, uint32_t quiet_ms, uint32_t limit_ms) {
  return report_times(home, REPORT_UNREAD, name, quiet_ms, limit_ms);
}

static int child_meter(void *home, const char *name, const char *key, uint64_t bytes) {
  _cleanup_buf_ struct buf b = {0};
  if (buf_u8(&b, REPORT_METER) < 0 || buf_str(&b, name) < 0 || buf_str(&b, key) < 0 || buf_u64(&b, bytes) < 0) return -1;
  return send_report(*(int *)home, b.data, b.len, NULL, 0);
}

static int child_process(void *home, const char *key, pid_t pid, int pidfd, int control) {
  int fds[2] = {pidfd, control};
  uint32_t number = (uint32_t)pid;
  int done = report(home, REPORT_PROCESS, key, &number, fds, 2);
  return held_add(key, pid, pidfd, control) ? done : -1;
}

static int child_released(void *home, const char *key) {
  struct held_process *h = held_find(key);
  if (h) held_release(h);
  return report(home, REPORT_RELEASED, key, NULL, NULL, 0);
}

static int child_lookup(void *home, const char *name) {
  (void)home;
  return held_lookup(name);
}

static int child_held(void *home, const char *key, bool *released) {
  (void)home;
  struct held_process *h = held_find(key);
  if (h) *released = h->released;
  return h ? h->control : -1;
}

static int child_signal(void *home, const char *key, int signal) {
  (void)home;
  return held_signal(key, signal);
}

static int child_drain(void *home, const char *name, uint32_t timeout_ms) {
  uint8_t answer;
  if (report(home, REPORT_DRAIN, name, &timeout_ms, NULL, 0) < 0) return -1;
  ssize_t n;
  do n = recv(*(int *)home, &answer, 1, 0);
  while (n < 0 && errno == EINTR);
  if (n == 0) errno = EPIPE;
  return n == 1 ? answer : -1;
}

static int child_watch_oom(void *home, const char *key, struct oom_files *files) {
  int fds[2] = {files->event, files->counter}, v2 = files->event < 0;
  int done = report(home, REPORT_OOM, key, NULL, fds + v2, v2 ? 1 : 2);
  fd_close(&files->event);
  fd_close(&files->counter);
  return done;
}

/* With a plan in it, which has to fit into a datagram. */
static int send_short(int sock, const struct buf *b, const int *fds, size_t n_fds) {
  if (b->len <= REPORT_SIZE) return send_report(sock, b->data, b->len, fds, n_fds);
  errno = EMSGSIZE;
  return -1;
}

static int child_deadline(void *home, const char *key, uint64_t ms, const uint8_t *plan, size_t len) {
  _cleanup_buf_ struct buf b = {0};
  if (buf_u8(&b, REPORT_DEADLINE) < 0 || buf_str(&b, key) < 0 || buf_u64(&b, ms) < 0 || buf_append(&b, plan, len) < 0) return -1;
  return send_short(*(int *)home, &b, NULL, 0);
}

static int child_guard(void *home, const char *key, int told, const uint8_t *plan, size_t len) {
  _cleanup_fd_ int owned = told;
  _cleanup_buf_ struct buf b = {0};
  if (buf_u8(&b, REPORT_GUARD) < 0 || buf_str(&b, key) < 0 || buf_append(&b, plan, len) < 0) return -1;
  return send_short(*(int *)home, &b, &owned, 1);
}

struct effects report_effects(int *socket, pid_t monitor) {
  return (struct effects){.keep = child_keep, .drop = child_drop, .pump = child_pump, .linger = child_linger, .unread = child_unread,
                          .meter = child_meter, .process = child_process,
                          .lookup = child_lookup, .held = child_held, .released = child_released, .drain = child_drain,
                          .watch_oom = child_watch_oom, .deadline = child_deadline, .guard = child_guard, .signal = child_signal,
                          .home = socket, .monitor = monitor};
}

int report_outcome(int socket, const struct buf *outcome) {
  uint8_t chunk[REPORT_SIZE];
  size_t at = 0;
  do {
    size_t left = outcome->len - at, n = left < sizeof chunk - 1 ? left : sizeof chunk - 1;
    chunk[0] = n == left ? REPORT_DONE : REPORT_CHUNK;
    if (n > 0) memcpy(chunk + 1, outcome->data + at, n);
    if (send_report(socket, chunk, n + 1, NULL, 0) < 0) return -1;
    at += n;
  } while (chunk[0] != REPORT_DONE);
  return 0;
}
