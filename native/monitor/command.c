#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/exit_status.h"
#include "../common/fd.h"
#include "../executor/executor.h"
#include "ending.h"
#include "exits.h"
#include "held.h"
#include "jobs.h"
#include "loop.h"
#include "oom_watch.h"
#include "peers.h"
#include "prepared.h"
#include "pumps.h"

static struct executor executor;
static unsigned preserved;
static char *socket_path, *exit_path; /* set by `stay` */
static bool container_ended;

/* ---- effects of plans that run in this process ---- */

static int home_keep(void *home, const char *name, int fd) {
  (void)home;
  return held_keep(name, fd);
}
static int home_drop(void *home, const char *name) {
  (void)home;
  job_drop(name);
  return 0;
}
static int home_pump(void *home, const char *name, int from, int to) {
  (void)home;
  return pump_start(name, from, to);
}
static int home_process(void *home, const char *key, pid_t pid, int pidfd, int control) {
  (void)home;
  return held_add(key, pid, pidfd, control) ? 0 : -1;
}
static int home_lookup(void *home, const char *name) {
  (void)home;
  return held_lookup(name);
}
static int home_held(void *home, const char *key, bool *released) {
  (void)home;
  struct held_process *h = held_find(key);
  if (h) *released = h->released;
  return h ? h->control : -1;
}
static int home_released(void *home, const char *key) {
  (void)home;
  ending_started(key);
  return 0;
}
static int home_deadline(void *home, const char *key, uint64_t ms, const uint8_t *plan, size_t len) {
  (void)home;
  return ending_deadline(key, ms, plan, len);
}
static int home_guard(void *home, const char *key, int told, const uint8_t *plan, size_t len) {
  (void)home;
  return ending_guard(key, told, plan, len);
}
static int home_watch_oom(void *home, const char *key, struct oom_files *files) {
  (void)home;
  return oom_watch(key, files);
}
static int home_give(void *home, const char *name, int fd) {
  (void)home;
  return peer_give(name, fd);
}

static int home_signal(void *home, const char *key, int signal) {
  (void)home;
  return held_signal(key, signal);
}
static int home_situation(void *home, const struct op_situation *op, pid_t pid, uint64_t start_time) {
  (void)home;
  return prepared_situation(op, pid, start_time);
}
static int home_prepare(void *home, const struct op_prepare *op, const struct buf *answer) {
  (void)home;
  return prepared_add(op, answer);
}

static int home_lend(void *home, const struct op_lend *op) {
  (void)home;
  return prepared_lend(op);
}

/* Before `stay` this process is there for its launcher, afterwards for the container, whoever is still connected. */
static void leave_if_done(void) {
  if (jobs_running() || peers_unsent() || (socket_path ? !container_ended : peers_connected())) return;
  if (socket_path) (void)unlink(socket_path);
  loop_stop();
}

static void exited(const char *key, pid_t pid, int status, uint64_t time) {
  container_ended = true;
  (void)exit_write(exit_path, pid, status, time, ending_reason(key, status)); /* its directory is gone: deleted by force, nobody asks */
  ending_forget(key);
  leave_if_done();
}

/* The kernel's count is looked at when the container has ended. */
static uint64_t nobody_looks(const char *key) {
  (void)key;
  return 0;
}

static int listen_on(const char *path) {
  struct sockaddr_un at;
  _cleanup_fd_ int dir = -1;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || unix_address(path, &at, &dir) < 0) return -1;
  mode_t mask = umask(0177);
  int done = bind(fd, (struct sockaddr *)&at, sizeof at);
  umask(mask);
  if (done < 0 || listen(fd, 64) < 0) return -1;
  return fd_steal(&fd);
}

/* The caller's descriptors belong to the container only: an engine waits for the EOF of pipes that it gave (trap 3). */
static int let_go_of_stdio(void) {
  _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return -1;
  for (int i = 0; i < 3; i++)
    if (dup2(null, i) < 0) return -1;
  for (unsigned i = 0; i < preserved; i++) (void)close((int)(3 + i));
  for (int i = 0; i < 3; i++) fd_close(&executor.slots[i]);
  return 0;
}

static int home_stay(void *home, const char *path, const char *exit_file, const char *key) {
  (void)home;
  struct held_process *h = held_find(key);
  if (!h || socket_path) {
    errno = h ? EALREADY : ESRCH;
    return -1;
  }
  char *copy = strdup(path);
  exit_path = strdup(exit_file);
  int listener = copy && exit_path ? listen_on(path) : -1;
  if (listener < 0 || peers_listen(listener, &executor) < 0 || let_go_of_stdio() < 0 || exits_watch(h, exited) < 0) {
    fd_close(&listener);
    free(copy);
    return -1;
  }
  socket_path = copy;
  return prctl(PR_SET_PDEATHSIG, 0);
}

/* Until `stay` this process ends with its launcher: `delete --force` after that one's death must not meet a plan that still runs. */
static int end_with_launcher(int connection) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return -1;
  struct pollfd launcher = {.fd = connection, .events = 0};
  return poll(&launcher, 1, 0) < 0 || (launcher.revents & POLLHUP) != 0 ? -1 : 0;
}

int command_monitor(int connection, unsigned preserve) {
  static struct effects effects = {.keep = home_keep, .drop = home_drop, .pump = home_pump, .process = home_process,
                                         .stay = home_stay, .lookup = home_lookup, .held = home_held,
                                         .released = home_released, .give = home_give, .signal = home_signal,
                                         .deadline = home_deadline, .guard = home_guard, .watch_oom = home_watch_oom,
                                         .situation = home_situation, .prepare = home_prepare, .lend = home_lend};
  if (end_with_launcher(connection) < 0) return 1;
  effects.monitor = getpid();
  preserved = preserve;
  executor_init(&executor, &effects);
  executor.preserve = preserve;
  for (int i = 0; i < 3; i++) {
    executor.slots[i] = fcntl(i, F_DUPFD_CLOEXEC, (int)(3 + preserve + 1));
    if (executor.slots[i] < 0) return 1;
  }
  oom_on_seen(nobody_looks);
  peers_on_end(leave_if_done);
  jobs_on_end(leave_if_done);
  if (exits_reap_ignored() < 0 || peers_first(connection, &executor) < 0) return 1;
  loop_run();
  executor_close(&executor);
  return 0;
}
