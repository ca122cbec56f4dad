/* What was changed in an overlay: its upper directory beside its lower one. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"

/* Two descriptors a level are open at a time. */
#define DEPTH_MAX 200u

struct scan {
  struct buf *out;
  size_t from, max;
  char path[PATH_MAX]; /* of what is at hand */
  size_t len;
  unsigned depth;
};

/* A pair of directories. `lower` is -1 where there is none. */
struct pair {
  int upper, lower;
  bool opaque; /* nothing of the lower one shows through */
};

static int tell(struct scan *s, uint8_t kind, const struct stat *info) {
  if (s->out->len - s->from > s->max) {
    errno = EFBIG;
    return -1;
  }
  return buf_u8(s->out, kind) != 0 || buf_u32(s->out, info->st_mode) != 0 || buf_u64(s->out, info->st_ino) != 0 ||
                 buf_u32(s->out, (uint32_t)info->st_nlink) != 0 || buf_str(s->out, s->path) != 0
             ? -1
             : 0;
}

/* On the same mount only: what is mounted there has a layer of its own. */
static int enter(int dir, const char *name) {
  return sys_openat2(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
}

/* Calls `visit` for each name in the directory, with the path at hand ending in it. */
static int each(struct scan *s, const struct pair *in, int dir, int (*visit)(struct scan *, const struct pair *, const char *)) {
  int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  _cleanup_dir_ DIR *entries = own < 0 ? NULL : fdopendir(own);
  if (entries == NULL) {
    fd_close(&own);
    return -1;
  }
  size_t len = s->len;
  const struct dirent *entry;
  if (++s->depth > DEPTH_MAX) {
    errno = ELOOP;
    return -1;
  }
  while (errno = 0, (entry = readdir(entries)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    int more = snprintf(s->path + len, sizeof s->path - len, "%s%s", len == 0 ? "" : "/", entry->d_name);
    if ((size_t)more >= sizeof s->path - len) {
      errno = ENAMETOOLONG;
      return -1;
    }
    s->len = len + (size_t)more;
    if (visit(s, in, entry->d_name) != 0) return -1;
    s->len = len;
    s->path[len] = '\0';
  }
  s->depth--;
  return errno == 0 ? 0 : -1;
}

static int lower_stat(const struct pair *in, const char *name, struct stat *info) {
  if (in->lower < 0) {
    errno = ENOENT;
    return -1;
  }
  return fstatat(in->lower, name, info, AT_SYMLINK_NOFOLLOW);
}

static int removed(struct scan *s, const struct pair *in, const char *name, uint8_t kind);
static int gone(struct scan *s, const struct pair *in, const char *name) { return removed(s, in, name, LAYER_GONE); }

/* Something of the lower directory that is there no more. */
static int removed(struct scan *s, const struct pair *in, const char *name, uint8_t kind) {
  struct stat info;
  if (lower_stat(in, name, &info) != 0) return errno == ENOENT ? 0 : -1;
  if (tell(s, kind, &info) != 0) return -1;
  if (!S_ISDIR(info.st_mode)) return 0;
  _cleanup_fd_ int dir = enter(in->lower, name);
  if (dir < 0) return errno == EXDEV ? tell(s, LAYER_COVERED, &info) : -1;
  struct pair below = {.upper = -1, .lower = dir};
  return each(s, &below, dir, gone);
}

/* Of the lower directory behind one that is opaque: what is in both was told already. */
static int hidden(struct scan *s, const struct pair *in, const char *name) {
  struct stat info;
  if (fstatat(in->upper, name, &info, AT_SYMLINK_NOFOLLOW) == 0) return 0;
  return errno == ENOENT ? removed(s, in, name, LAYER_REMOVE) : -1;
}

static bool is_opaque(int dir) {
  static const char *const names[] = {"trusted.overlay.opaque", "user.overlay.opaque"};
  char value;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (fgetxattr(dir, names[i], &value, 1) == 1 && value == 'y') return true;
  return false;
}

static int visit(struct scan *s, const struct pair *in, const char *name);

static int directory(struct scan *s, const struct pair *in, const char *name, const struct stat *info, bool merged) {
  if (tell(s, merged ? LAYER_DIRECTORY : LAYER_NEW_DIRECTORY, info) != 0) return -1;
  _cleanup_fd_ int upper = enter(in->upper, name);
  if (upper < 0) return -1;
  _cleanup_fd_ int lower = merged ? enter(in->lower, name) : -1;
  if (merged && lower < 0) return errno == EXDEV ? tell(s, LAYER_COVERED, info) : -1;
  struct pair below = {.upper = upper, .lower = lower, .opaque = in->opaque || is_opaque(upper)};
  if (each(s, &below, upper, visit) != 0) return -1;
  return below.opaque && lower >= 0 ? each(s, &below, lower, hidden) : 0;
}

/* Something that the upper directory has. */
static int visit(struct scan *s, const struct pair *in, const char *name) {
  struct stat info, below;
  if (fstatat(in->upper, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) return removed(s, in, name, LAYER_REMOVE);
  bool there = lower_stat(in, name, &below) == 0, dir = S_ISDIR(info.st_mode);
  if (!there && errno != ENOENT) return -1;
  bool same = there && S_ISDIR(below.st_mode) == dir;
  if (there && !same && removed(s, in, name, LAYER_REMOVE) != 0) return -1;
  return dir ? directory(s, in, name, &info, same) : tell(s, same ? LAYER_CHANGE : LAYER_ADD, &info);
}

int run_layer_scan(struct executor *ex, const struct op_layer_scan *op, struct buf *result) {
  _cleanup_fd_ int upper = open(op->upper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (upper < 0) return fail_sys(&ex->fail, "open", op->upper);
  _cleanup_fd_ int lower = open(op->lower, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lower < 0) return fail_sys(&ex->fail, "open", op->lower);
  struct scan scan = {.out = result, .from = result->len, .max = op->max};
  struct pair top = {.upper = upper, .lower = lower};
  if (each(&scan, &top, upper, visit) == 0) return 1;
  (void)fail_sys(&ex->fail, "read", op->upper);
  (void)snprintf(ex->fail.detail, sizeof ex->fail.detail, "at \"%.400s\" in it", scan.path);
  return -1;
}
