/* Starts the supervisor of a container. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/fd.h"
#include "../common/sys.h"
#include "../common/whole.h"
#include "../executor/aside.h"
#include "../executor/process.h"
#include "ops.gen.h"
#include "supervisor.h"

#define REPORT_MAX 4096u /* an error record is cut to fit its fields, so it is smaller */

/* Too large for a stack. */
static struct supervisor supervisor;

/* ARCH:NUMBER:NAME */
static int watch(struct supervisor *s, const char *text) {
  char *end;
  if (s->n_watched == WATCHED_MAX) return -1;
  s->watched[s->n_watched].arch = (uint32_t)strtoul(text, &end, 10);
  if (*end != ':') return -1;
  s->watched[s->n_watched].number = (uint32_t)strtoul(end + 1, &end, 10);
  return *end == ':' && (s->watched[s->n_watched++].what = deal_of(end + 1)) != NULL ? 0 : -1;
}

static int listen_at(struct executor *ex, const char *path) {
  struct sockaddr_un address;
  _cleanup_fd_ int dir = -1;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || unix_address(path, &address, &dir) != 0) return fail_sys(&ex->fail, "socket", path);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0) return fail_sys(&ex->fail, "bind", path);
  return fd_steal(&fd);
}

/* As it is now, while the process is parked: later it is the process's own to change. */
static int open_root(struct executor *ex, struct supervisor *s) {
  char path[40];
  (void)snprintf(path, sizeof path, "/proc/%d/root", (int)ex->pid);
  s->means.root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (s->means.root < 0) return fail_sys(&ex->fail, "open", path);
  (void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)ex->pid);
  s->means.user = open(path, O_RDONLY | O_CLOEXEC);
  if (s->means.user < 0) return fail_sys(&ex->fail, "open", path);
  /* The process that had the pid then is still there: so it is that one's. */
  _cleanup_fd_ int process = process_open(ex->pid, ex->start_time);
  return process < 0 ? fail_sys(&ex->fail, "pidfd_open", path) : 0;
}

/* The container's rules for files and ports, made once more, where its paths are: what is done in its stead is held to them. */
static int make_domains(struct executor *ex, struct supervisor *s, const struct op_supervise *op) {
  int before = ex->root;
  bool inside = ex->inside;
  _cleanup_buf_ struct buf outcome = {.data = NULL};
  ex->root = s->means.root;
  ex->inside = true;
  int done = executor_run(ex, op->domain.data, op->domain.len, &outcome);
  ex->root = before;
  ex->inside = inside;
  if (done != 0) return done < 0 ? fail_sys(&ex->fail, "mmap", "domains") : -1;
  struct reader slots = op->domains.items;
  for (uint32_t i = 0; i < op->domains.count; i++) {
    int fd = slot_fd(ex, reader_u32(&slots));
    if (fd < 0) return -1;
    if (s->means.n_domains == DOMAINS_MAX) return fail_msg(&ex->fail, E2BIG, "domains", "more than %d", DOMAINS_MAX);
    s->means.domains[s->means.n_domains++] = fd;
  }
  return 0;
}

static int open_devices(struct executor *ex, struct supervisor *s, const struct op_supervise *op) {
  struct reader paths = op->devices.items;
  if (op->devices.count > DEVICES_MAX) return fail_msg(&ex->fail, E2BIG, "cgroups", "more than %d", DEVICES_MAX);
  for (uint32_t i = 0; i < op->devices.count; i++) {
    char path[PATH_MAX];
    const char *dir = reader_str(&paths);
    if (snprintf(path, sizeof path, "%s/cgroup.procs", dir) >= (int)sizeof path) return fail_msg(&ex->fail, ENAMETOOLONG, dir, "is too long");
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail_sys(&ex->fail, "open", path);
    s->means.devices[s->means.n_devices++] = fd;
  }
  return 0;
}

static int prepare(struct executor *ex, struct supervisor *s, const struct op_supervise *op) {
  *s = (struct supervisor){.channel = -1, .control = -1, .init = -1, .guard = -1, .begun = -1, .means = {.root = -1, .user = -1}, .answer_ms = op->answer_ms, .modules = op->modules, .restarts = op->restarts != 0, .ex = ex};
  for (size_t i = 0; i < LISTENERS_MAX; i++) s->listeners[i] = -1;
  for (size_t i = 0; i < CALLS_MAX; i++) s->dealings[i].process = s->dealings[i].listener = -1;
  struct reader calls = op->calls.items;
  for (uint32_t i = 0; i < op->calls.count; i++)
    if (watch(s, reader_str(&calls)) != 0) return fail_msg(&ex->fail, EINVAL, "calls", "one of them is not known");
  const struct worker_op judge = WORKER_OP(op, op->log, NULL);
  if (worker_keep(ex, &judge, &s->worker) != 0) return -1;
  s->worker.bound = true;
  s->listeners[0] = slot_fd(ex, op->listener);
  s->counters = slot_fd(ex, op->counters);
  if (s->listeners[0] < 0 || s->counters < 0 || open_root(ex, s) != 0 || make_domains(ex, s, op) != 0 || open_devices(ex, s, op) != 0) return -1;
  s->guard = slot_fd(ex, op->guard);
  if (s->guard < 0) return -1;
  s->init = process_open(ex->pid, ex->start_time);
  if (s->init < 0) return fail_sys(&ex->fail, "pidfd_open", "the container's process");
  s->control = listen_at(ex, op->socket);
  return s->control < 0 ? -1 : 0;
}

/* A byte, or a byte and an error record. */
static bool begin(struct supervisor *s) {
  _cleanup_buf_ struct buf report = {.data = NULL};
  /* What the container opens through us may show the keys of who opened it (/proc/keys): ours are to be none. */
  (void)syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
  bool done = link_start(s) == 0;
  if (buf_u8(&report, done ? 0 : 1) != 0 || (!done && fail_encode(&s->ex->fail, &report) != 0)) return false;
  int told = write_whole(s->begun, report.data, report.len);
  fd_close(&s->begun);
  return done && told == 0;
}

/* The caller's limit is for its programs; ours is by what the container asks of us. */
static void raise_files(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &files);
}

static void work(void *what) {
  struct supervisor *s = what;
  raise_files();
  if (begin(s)) supervise(s);
}

/* Whether it has begun. 0 or -1 (fail set). */
static int hear_begun(struct executor *ex, int begun) {
  _cleanup_buf_ struct buf report = {.data = NULL};
  if (read_whole(begun, REPORT_MAX, &report) != 0) return fail_sys(&ex->fail, "read", "supervisor");
  struct reader r = reader_of(report.data, report.len);
  uint8_t failed = reader_u8(&r);
  if (!r.bad && failed == 0) return 0;
  if (r.bad || fail_decode(&ex->fail, &r) != 0) return fail_msg(&ex->fail, ECHILD, "supervisor", "ended before it had begun");
  return -1;
}

/* The supervisor works with these, and no other descriptor of ours. */
static int start(struct executor *ex, struct supervisor *s, const char *record) {
  int *mine[9 + DOMAINS_MAX + DEVICES_MAX + WORKER_FDS] = {&s->control, &s->counters, &s->listeners[0], &s->means.root, &s->means.user, &s->init, &s->guard, &s->begun};
  size_t count = 8;
  for (size_t i = 0; i < s->means.n_domains; i++) mine[count++] = &s->means.domains[i];
  for (size_t i = 0; i < s->means.n_devices; i++) mine[count++] = &s->means.devices[i];
  for (size_t i = 0; i < s->worker.count; i++) mine[count++] = &s->worker.fds[i];
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_sys(&ex->fail, "pipe2", "supervisor");
  _cleanup_fd_ int hears = ends[0], says = ends[1], pidfd = -1;
  s->begun = says;
  const struct aside aside = {.name = "berth-judge", .record = record, .mine = mine, .count = count, .work = work, .what = s};
  if (aside_start(ex, &aside, &pidfd) < 0) return -1;
  fd_close(&says);
  int done = hear_begun(ex, hears);
  if (done != 0) (void)sys_pidfd_send_signal(pidfd, SIGKILL);
  return done;
}

int run_supervise(struct executor *ex, const struct op_supervise *op, struct buf *result) {
  (void)result;
  struct supervisor *s = &supervisor;
  int done = prepare(ex, s, op);
  if (done == 0) done = start(ex, s, op->record);
  int *const ours[] = {&s->control, &s->means.root, &s->means.user, &s->init};
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) fd_close(ours[i]);
  for (size_t i = 0; i < s->means.n_devices; i++) fd_close(&s->means.devices[i]);
  worker_free(&s->worker);
  return done;
}
