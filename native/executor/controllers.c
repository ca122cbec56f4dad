/* Which controllers a cgroup v2 hands down: subtree-control. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "paths.h"

#define CONTROL "cgroup.subtree_control"
#define LIST_MAX 4096

/* The file's names, each with a blank before and behind it. 0 or -1 with errno. */
static int read_list(int dir, const char *name, struct buf *out) {
  _cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || buf_u8(out, ' ') != 0 || read_whole(fd, LIST_MAX, out) != 0) return -1;
  for (size_t i = 0; i < out->len; i++)
    if (out->data[i] == '\n') out->data[i] = ' ';
  return buf_append(out, " ", 2); /* with its NUL */
}

static bool listed(const struct buf *list, const char *name) {
  char word[64];
  int len = snprintf(word, sizeof word, " %s ", name);
  return len > 0 && (size_t)len < sizeof word && strstr((const char *)list->data, word) != NULL;
}

static int refused(struct executor *ex, const char *path, const char *name) {
  char file[PATH_MAX];
  (void)snprintf(file, sizeof file, "%s/%s", path, CONTROL);
  switch (errno) {
  case EBUSY:
    return fail_msg(&ex->fail, errno, file,
                    "a cgroup has either processes or controllers for those below it: move what %s/cgroup.procs lists into a cgroup of its own", path);
  case EOPNOTSUPP: return fail_msg(&ex->fail, errno, file, "the cgroup is threaded, which leaves no place for \"%s\"", name);
  case EACCES:
  case EPERM:
  case EROFS: return fail_msg(&ex->fail, errno, file, "to enable \"%s\" below it, this user has to be given the cgroup", name);
  default: return fail_sys(&ex->fail, "write", file);
  }
}

/* One at a time: the kernel takes a line whole or not at all, and says not which of them was wrong. */
static int enable(struct executor *ex, int dir, const char *path, const char *name) {
  char text[64];
  int len = snprintf(text, sizeof text, "+%s", name);
  if (len < 0 || (size_t)len >= sizeof text) return fail_msg(&ex->fail, EINVAL, path, "no controller has such a long name");
  _cleanup_fd_ int fd = openat(dir, CONTROL, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  return fd >= 0 && write_whole(fd, text, (size_t)len) == 0 ? 0 : refused(ex, path, name);
}

int run_subtree_control(struct executor *ex, const struct op_subtree_control *op, struct buf *result) {
  (void)result;
  _cleanup_buf_ struct buf there = {.data = NULL}, enabled = {.data = NULL};
  _cleanup_fd_ int dir = open(op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return fail_sys(&ex->fail, "open", op->path);
  if (read_list(dir, "cgroup.controllers", &there) != 0 || read_list(dir, CONTROL, &enabled) != 0)
    return fail_sys(&ex->fail, "read", op->path);
  struct reader names = op->controllers.items;
  for (uint32_t i = 0; i < op->controllers.count; i++) {
    const char *name = reader_str(&names);
    if (listed(&enabled, name)) continue;
    if (!listed(&there, name))
      return fail_msg(&ex->fail, ENOENT, op->path, "it has no controller \"%s\": the cgroup above hands it none", name);
    if (enable(ex, dir, op->path, name) != 0) return -1;
  }
  names = op->extra.items;
  for (uint32_t i = 0; i < op->extra.count; i++) {
    const char *name = reader_str(&names);
    /* Only for figures: not worth a failure. */
    if (!listed(&enabled, name) && listed(&there, name)) (void)enable(ex, dir, op->path, name);
  }
  return 0;
}
