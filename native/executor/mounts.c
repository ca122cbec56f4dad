/* Mounts outside of a container: what containerd asks for as a root file system, and taking it down again. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../init/mount.h"
#include "loop_device.h"
#include "paths.h"

#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
#define PROC_PATH 32 /* "/proc/self/fd/N" */
#define BUSY_TRIES 50
#define BUSY_STEP_MS 50u
/* mount(2) takes one page of options and cuts what is longer. The room left is what the kernel may add. */
#define DATA_MAX (4096u - 512u)

/* The end of an option's value or of a layer's name: `stop` or the end, a backslash takes the next character along. */
static const char *end_of(const char *at, char stop) {
  while (*at != '\0' && *at != stop) at += *at == '\\' && at[1] != '\0' ? 2 : 1;
  return at;
}

static const char *find_lower(const char *data) {
  for (const char *at = data; *at != '\0';) {
    if (strncmp(at, "lowerdir=", 9) == 0) return at + 9;
    at = end_of(at, ',');
    if (*at == ',') at++;
  }
  return NULL;
}

/* How many bytes all layers begin with, up to and with a slash. */
static size_t common_prefix(const char *lower, const char *end) {
  size_t common = (size_t)(end_of(lower, ':') - lower);
  if (common > (size_t)(end - lower)) common = (size_t)(end - lower);
  for (const char *layer = lower; layer < end;) {
    const char *stop = end_of(layer, ':');
    if (stop > end) stop = end;
    size_t same = 0;
    if (stop > layer) { /* an empty name is the mark of data-only layers */
      while (same < common && layer + same < stop && layer[same] == lower[same]) same++;
      common = same;
    }
    layer = stop + 1;
  }
  while (common > 0 && lower[common - 1] != '/') common--;
  return common;
}

/* `data` with its layers named from `prefix`, a directory. 0, or -1 where that is no help. */
static int shorten(const char *data, struct buf *prefix, struct buf *shorter) {
  const char *lower = find_lower(data);
  if (lower == NULL || *lower != '/') return -1;
  const char *end = end_of(lower, ',');
  size_t common = common_prefix(lower, end);
  if (common < 2) return -1;
  for (size_t i = 0; i < common; i++) {
    if (lower[i] == '\\' && i + 1 < common) i++;
    if (buf_append(prefix, &lower[i], 1) != 0) return -1;
  }
  if (buf_u8(prefix, 0) != 0 || buf_append(shorter, data, (size_t)(lower - data)) != 0) return -1;
  for (const char *layer = lower; layer < end;) {
    const char *stop = end_of(layer, ':');
    if (stop > end) stop = end;
    const char *from = stop > layer ? layer + common : layer;
    const char *to = stop < end ? stop + 1 : stop;
    if (buf_append(shorter, from, (size_t)(to - from)) != 0) return -1;
    layer = stop + 1;
  }
  return buf_append(shorter, end, strlen(end) + 1);
}

/* In a child, as the working directory is the whole process's. 0, or -1 with errno. */
static int mount_from(const char *dir, const char *source, const char *target, const char *type, uint64_t flags,
                      const void *data) {
  pid_t pid = fork();
  if (pid == 0) _exit(chdir(dir) != 0 || sys_mount(source, target, type, flags, data) != 0 ? errno & 0xff : 0);
  int status;
  pid_t got = -1;
  if (pid > 0) do got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
  if (got < 0) return -1;
  errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
  return errno == 0 ? 0 : -1;
}

static int mount_overlay(struct executor *ex, const struct op_mount *op, const char *at, uint64_t flags) {
  _cleanup_buf_ struct buf prefix = {.data = NULL}, shorter = {.data = NULL};
  if (at[0] != '/' || shorten(op->data, &prefix, &shorter) != 0 || shorter.len > DATA_MAX)
    return fail_msg(&ex->fail, E2BIG, op->target, "%zu bytes of overlay options, and the kernel takes one page", strlen(op->data));
  if (mount_from((const char *)prefix.data, op->source, at, op->type, flags, shorter.data) == 0) return 0;
  return fail_sys(&ex->fail, "mount", op->target);
}

static int mount_once(struct executor *ex, const struct op_mount *op, const char *source, const char *at, uint64_t flags) {
  if (strcmp(op->type, "overlay") == 0 && strlen(op->data) >= DATA_MAX) return mount_overlay(ex, op, at, flags);
  if (sys_mount(source, at, op->type, flags, op->data[0] == '\0' ? NULL : op->data) == 0) return 0;
  return fail_sys(&ex->fail, "mount", op->target);
}

static int mount_loop(struct executor *ex, const struct op_mount *op, const char *at, uint64_t flags) {
  char device[LOOP_PATH];
  _cleanup_fd_ int loop = loop_open(ex, op->source, (flags & MS_RDONLY) != 0, (op->loop & LOOP_DIRECT) != 0, device);
  return loop < 0 ? -1 : mount_once(ex, op, device, at, flags);
}

/* A path of the target, which lies in a root that is somebody's image. `fd` has to be open for as long as it is used. */
static int target_in(struct executor *ex, const char *root, const char *target, int *fd, char *path, size_t size) {
  _cleanup_fd_ int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", root);
  *fd = sys_openat2(dir, target, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (*fd < 0) return fail_sys(&ex->fail, "openat2", target);
  (void)snprintf(path, size, "/proc/self/fd/%d", *fd);
  return 0;
}

static int mount_at(struct executor *ex, const struct op_mount *op, const char *at) {
  uint64_t propagation = op->flags & PROPAGATION, flags = op->flags & ~(uint64_t)PROPAGATION;
  if (op->loop != 0) {
    if (mount_loop(ex, op, at, flags) != 0) return -1;
  } else if (flags != 0 || propagation == 0 || op->type[0] != '\0') {
    if (mount_once(ex, op, op->source, at, flags) != 0) return -1;
  }
  /* A bind takes no other flags at first: they come with a remount. */
  uint64_t later = flags & ~(uint64_t)(MS_BIND | MS_REC | MS_REMOUNT);
  if ((flags & (MS_BIND | MS_REMOUNT)) == MS_BIND && later != 0 &&
      sys_mount("none", at, "", MS_REMOUNT | MS_BIND | later, NULL) != 0)
    return fail_sys(&ex->fail, "mount", op->target);
  if (propagation != 0 && sys_mount("none", at, "", propagation | (op->flags & MS_REC), NULL) != 0)
    return fail_sys(&ex->fail, "mount", op->target);
  return 0;
}

int run_mount(struct executor *ex, const struct op_mount *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int target = -1;
  char path[PROC_PATH];
  if (op->root[0] == '\0') return mount_at(ex, op, op->target);
  return target_in(ex, op->root, op->target, &target, path, sizeof path) == 0 ? mount_at(ex, op, path) : -1;
}

int run_attach(struct executor *ex, const struct op_attach *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int target = -1;
  char path[PROC_PATH];
  int mount = slot_fd(ex, op->slot);
  if (mount < 0) return -1;
  if (op->root[0] != '\0') {
    if (target_in(ex, op->root, op->target, &target, path, sizeof path) != 0) return -1;
  } else {
    target = open(op->target, O_PATH | O_CLOEXEC);
    if (target < 0) return fail_sys(&ex->fail, "open", op->target);
  }
  return mount_attach(ex, mount, target, op->target) == 0 ? slot_put(ex, op->slot, -1) : -1;
}

/* In place: the kernel writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *text) {
  char *to = text;
  for (const char *from = text; *from != '\0';) {
    if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
      *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
      from += 4;
    } else {
      *to++ = *from++;
    }
  }
  *to = '\0';
}

/* The path as mountinfo has it: no symlink but a last component that is one itself (that is no mount point). NULL with errno. */
static char *canonical(const char *path) {
  _cleanup_free_ char *copy = strdup(path);
  if (copy == NULL) return NULL;
  size_t len = strlen(copy);
  while (len > 1 && copy[len - 1] == '/') copy[--len] = '\0';
  char *slash = strrchr(copy, '/');
  if (slash == NULL || slash[1] == '\0' || strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0) return realpath(copy, NULL);
  *slash = '\0';
  _cleanup_free_ char *parent = realpath(slash == copy ? "/" : copy, NULL);
  char *whole;
  if (parent == NULL || asprintf(&whole, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, slash + 1) < 0) return NULL;
  return whole;
}

static bool at_or_below(const char *path, const char *top) {
  size_t len = strlen(top);
  return strncmp(path, top, len) == 0 && (path[len] == '\0' || path[len] == '/' || strcmp(top, "/") == 0);
}

/* Collects the mount points at and below `top`, in the order they were mounted, each with a NUL. -1: errno. */
static int mounts_below(const char *top, struct buf *points) {
  _cleanup_fd_ int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  _cleanup_buf_ struct buf text = {.data = NULL};
  if (fd < 0 || read_whole(fd, SIZE_MAX / 4, &text) != 0 || buf_u8(&text, 0) != 0) return -1;
  char *rest;
  for (char *line = strtok_r((char *)text.data, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char *point = line; /* "id parent dev root POINT options …" */
    for (int field = 0; field < 4 && point != NULL; field++) point = strchr(point, ' ') == NULL ? NULL : strchr(point, ' ') + 1;
    char *end = point == NULL ? NULL : strchr(point, ' ');
    if (end == NULL) continue;
    *end = '\0';
    unescape(point);
    if (at_or_below(point, top) && buf_append(points, point, strlen(point) + 1) != 0) return -1;
  }
  return 0;
}

static int unmount(const char *point, int flags) {
  /* In use by a process that is on its way out, most often; there is no event to wait for. */
  for (int tries = 1; sys_umount2(point, flags | UMOUNT_NOFOLLOW) != 0; tries++) {
    if (errno == EINVAL || errno == ENOENT) return 0; /* gone with another, by propagation */
    if (errno != EBUSY || tries == BUSY_TRIES) return -1;
    pause_ms(BUSY_STEP_MS);
  }
  return 0;
}

/* Nothing lies below what is no directory: no list of all mounts is needed to find it. */
static bool is_leaf(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode);
}

/* All that is mounted on it, one upon the other. */
static int unmount_leaf(const char *path, int flags) {
  while (sys_umount2(path, flags | UMOUNT_NOFOLLOW) == 0) {}
  return errno == EINVAL || errno == ENOENT ? 0 : -1;
}

int run_umount(struct executor *ex, const struct op_umount *op, struct buf *result) {
  (void)result;
  if (is_leaf(op->path) && unmount_leaf(op->path, (int)op->flags) == 0) return 0;
  _cleanup_free_ char *top = canonical(op->path);
  if (top == NULL) return errno == ENOENT || errno == ENOTDIR ? 0 : fail_sys(&ex->fail, "realpath", op->path);
  _cleanup_buf_ struct buf points = {.data = NULL};
  if (mounts_below(top, &points) != 0) return fail_sys(&ex->fail, "read", "/proc/self/mountinfo");
  for (size_t at = points.len; at > 0;) { /* last mounted, first unmounted */
    for (at--; at > 0 && points.data[at - 1] != '\0';) at--;
    const char *point = (const char *)points.data + at;
    if (unmount(point, (int)op->flags) != 0) return fail_sys(&ex->fail, "umount2", point);
  }
  return 0;
}
