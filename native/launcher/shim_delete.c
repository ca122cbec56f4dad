#define _GNU_SOURCE
#include "shim_delete.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/fd.h"
#include "../executor/executor.h"
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

struct ended {
  uint32_t pid, status;
  uint64_t time;
};

/* How it ended, if that was written down; else as the reference says of what it kills: 137, now. */
static struct ended how_it_ended(const char *dir) {
  char text[256];
  long long pid = 0, status = 0, time = 0;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct ended e = {0, 137, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec};
  read_text(dir, "pid", text, sizeof text);
  e.pid = (uint32_t)strtoul(text, NULL, 10);
  read_text(dir, "exit.json", text, sizeof text);
  if (json_number(text, "pid", &pid) && json_number(text, "status", &status) && json_number(text, "time", &time)) {
    e.pid = (uint32_t)pid;
    e.status = (status & 0x7f) ? 128 + (uint32_t)(status & 0x7f) : (uint32_t)(status >> 8 & 0xff);
    e.time = (uint64_t)time;
  }
  return e;
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

int shim_delete(const struct shim_call *c) {
  char base[PATH_MAX], dir[PATH_MAX], path[PATH_MAX];
  _cleanup_buf_ struct buf out = {0};
  if (shim_state_dir(c, base) < 0 || snprintf(dir, sizeof dir, "%s/%s", base, c->id) >= (int)sizeof dir) return 1;
  struct ended e = how_it_ended(dir);
  if (snprintf(path, sizeof path, "%s/undo", dir) < (int)sizeof path && access(path, F_OK) == 0) run_one(OP_STORED, path, 0);
  if (*c->bundle == '/' && snprintf(path, sizeof path, "%s/rootfs", c->bundle) < (int)sizeof path) run_one(OP_UMOUNT, path, 0);
  /* Of a shim that died before it could: the directory that its create had begun with. */
  struct stat st;
  if (lstat(dir, &st) == 0) run_one(OP_RMTREE, dir, DIR_MISSING_OK);
  remove_socket(c);
  (void)rmdir(base); /* the namespace's directory, where this was the last container */
  char *slash = strrchr(base, '/');
  if (slash) {
    *slash = 0;
    (void)rmdir(base);
  }
  if (delete_response(&out, e.pid, e.status, e.time) < 0) return 1;
  return write(1, out.data, out.len) == (ssize_t)out.len ? 0 : 1;
}
