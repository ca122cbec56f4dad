#define _GNU_SOURCE
#include "shim_delete.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/clock.h"
#include "../common/exit_status.h"
#include "../common/fd.h"
#include "../executor/executor.h"
#include "../executor/paths.h"
#include "containerd.h"
#include "ops.gen.h"
#include "shim_socket.h"

/* A small text file; "" where it can't be read. */
static void read_text(const char *dir, const char *name, char *out, size_t size) {
  char path[PATH_MAX];
  out[0] = 0;
  if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) return;
  _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
  out[n > 0 ? n : 0] = 0;
}

/* A process of the container, as its directory tells of it. */
struct ended {
  uint32_t pid, status;
  uint64_t time;
  bool known;
  int pidfd; /* init's, -1 where it was not kept */
};

static uint32_t exit_code(int wait_status) {
  return (wait_status & 0x7f) ? 128 + (uint32_t)(wait_status & 0x7f) : (uint32_t)(wait_status >> 8 & 0xff);
}

/* What the monitor wrote down while it lived; else what the kernel can be asked for once all is over. */
static struct ended read_end(const char *dir) {
  char text[256];
  long long pid = 0, status = 0, time = 0;
  struct ended e = {.pidfd = -1};
  read_text(dir, "pid", text, sizeof text);
  e.pid = (uint32_t)strtoul(text, NULL, 10);
  read_text(dir, "exit.json", text, sizeof text);
  e.known = json_number(text, "pid", &pid) && json_number(text, "status", &status) && json_number(text, "time", &time);
  if (e.known) {
    e.pid = (uint32_t)pid;
    e.status = exit_code((int)status);
    e.time = (uint64_t)time;
  } else if (snprintf(text, sizeof text, "%s/pidfd", dir) < (int)sizeof text) {
    /* A plain file where this kernel mounts no pidfds: it then answers nothing. */
    e.pidfd = open(text, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  }
  return e;
}

#define REAP_MS 500 /* until whoever inherited init has reaped it; a zombie tells as well */

/* After the undo plan: what had ended before has its own status, what that plan killed that of SIGKILL. Where nobody can tell it is
 * said of all of them, as by the reference. */
static void ask_kernel(struct ended *e) {
  int status;
  struct pollfd reaped = {.fd = e->pidfd, .events = 0};
  e->time = clock_ns();
  e->status = 128 + SIGKILL;
  if (e->pidfd < 0) return;
  bool told = exit_status_of(e->pidfd, (pid_t)e->pid, &status);
  if (!told && poll(&reaped, 1, REAP_MS) > 0) told = exit_status_of(e->pidfd, (pid_t)e->pid, &status);
  if (told) e->status = exit_code(status);
}

/* Runs one operation here. What fails goes to standard error, which containerd logs; the rest is still done. */
static void run(const uint8_t *plan, size_t len) {
  static const struct effects none;
  struct executor ex;
  _cleanup_buf_ struct buf outcome = {0};
  executor_init(&ex, &none);
  if (executor_run(&ex, plan, len, &outcome) != 0)
    fprintf(stderr, "berth: delete: %s: %s: %s %s\n", ex.fail.op, ex.fail.subject, strerror(ex.fail.error), ex.fail.detail);
  executor_close(&ex);
}

static int begin_plan(struct buf *plan, uint16_t code, const struct buf *payload) {
  uint8_t head[4] = {(uint8_t)code, (uint8_t)(code >> 8), 0, 0};
  return buf_u32(plan, PLAN_MAGIC) < 0 || buf_u32(plan, PLAN_VERSION) < 0 || buf_u32(plan, 1) < 0 || buf_append(plan, head, 4) < 0 ||
                 buf_bytes(plan, payload->data, payload->len) < 0
             ? -1
             : 0;
}

static void run_one(uint16_t code, const char *path, uint32_t flags) {
  _cleanup_buf_ struct buf payload = {0}, plan = {0};
  if (buf_str(&payload, path) == 0 && buf_u32(&payload, flags) == 0 && begin_plan(&plan, code, &payload) == 0) run(plan.data, plan.len);
}

/* The socket of the group, where the shim died before it could remove it: beside those of the reference, or where containerd had
 * asked for it, which `address` in the bundle tells. Another shim of the group may live: then it answers, and keeps it. */
static void remove_socket(const struct shim_call *c) {
  char text[PATH_MAX], name[65];
  char *problem;
  _cleanup_free_ char *group = shim_group(c, &problem);
  if (shim_socket_name(c, group ? group : c->id, name) < 0) return;
  shim_socket_remove_dead(SHIM_SOCKETS, name);
  read_text(".", "address", text, sizeof text);
  text[strcspn(text, "\n")] = 0;
  char *slash = strrchr(text, '/');
  if (!slash || strncmp(text, "unix:///", 8) || strcmp(slash + 1, name)) return;
  *slash = 0;
  shim_socket_remove_dead(text + 7, name);
}

static void clean(const struct shim_call *c, const char *base, const char *dir) {
  char path[PATH_MAX];
  struct stat st;
  if (snprintf(path, sizeof path, "%s/undo", dir) < (int)sizeof path && access(path, F_OK) == 0) run_one(OP_STORED, path, 0);
  if (*c->bundle == '/' && snprintf(path, sizeof path, "%s/rootfs", c->bundle) < (int)sizeof path) run_one(OP_UMOUNT, path, 0);
  /* Of a shim that died before it could: the directory that its create had begun with. */
  if (lstat(dir, &st) == 0) run_one(OP_RMTREE, dir, DIR_MISSING_OK);
  remove_socket(c);
  /* The directories of the namespace and of this containerd, where this was the last container. */
  (void)rmdir(base);
  (void)snprintf(path, sizeof path, "%s", base);
  *strrchr(path, '/') = 0;
  (void)rmdir(path);
}

/* containerd kills this process after 5 seconds and believes nothing of it then. */
#define CLEAN_MS 4000

/* Passes on what the cleaner has to say, until it is done or time is up. */
static void follow(int from) {
  uint64_t until = now_ms() + CLEAN_MS;
  struct pollfd said = {.fd = from, .events = POLLIN};
  char text[1024];
  for (int left; (left = left_ms(until)) > 0 && poll(&said, 1, left) != 0;) {
    ssize_t n = read(from, text, sizeof text);
    if (n == 0 || (n < 0 && errno != EINTR) || (n > 0 && write_whole(2, text, (size_t)n) != 0)) return;
  }
}

/* A process that can't be killed now (it waits for a disk, or a cgroup above is frozen) must not keep containerd from its answer: what is
 * left to do goes on behind its back. That holds none of our descriptors: containerd waits for their end. */
static void clean_in_time(const struct shim_call *c, const char *base, const char *dir) {
  int ends[2];
  pid_t pid = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
  if (pid < 0) {
    clean(c, base, dir);
    return;
  }
  _cleanup_fd_ int reader = ends[0], writer = ends[1];
  if (pid == 0) {
    fd_close(&reader);
    /* Nobody listens to it any more once we have left. */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || setsid() < 0 || dup2(null, 1) < 0 || dup2(writer, 2) < 0) _exit(1);
    clean(c, base, dir);
    _exit(0);
  }
  fd_close(&writer);
  follow(reader);
}

int shim_delete(const struct shim_call *c) {
  char base[PATH_MAX], dir[PATH_MAX];
  struct stat st;
  _cleanup_buf_ struct buf out = {0};
  if (shim_state_dir(c, base) < 0 || snprintf(dir, sizeof dir, "%s/%s", base, c->id) >= (int)sizeof dir) return 1;
  /* What is read of the bundle is read here, and nothing of anybody else's. */
  if (*c->bundle == '/' && chdir(c->bundle) < 0 && chdir("/") < 0) return 1;
  struct ended e = read_end(dir);
  /* Most often all has gone with Delete; a process for what is left would be half of what this call costs. */
  if (lstat(dir, &st) == 0) clean_in_time(c, base, dir);
  else clean(c, base, dir);
  if (!e.known) ask_kernel(&e);
  fd_close(&e.pidfd);
  if (delete_response(&out, e.pid, e.status, e.time) < 0) return 1;
  return write(1, out.data, out.len) == (ssize_t)out.len ? 0 : 1;
}
