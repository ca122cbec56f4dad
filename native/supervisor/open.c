/* What is opened: in the caller's stead, with its rights and no others, and handed to it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <stdio.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "walk.h"

#define DIR_ARG(n) ((int)(uint32_t)a->call.args[n])
#define AGAIN_MAX 16

struct wish {
  int dir;
  uint64_t address; /* of the path */
  int flags;
  mode_t mode;
  unsigned how; /* WALK_* */
  bool in_root; /* as RESOLVE_IN_ROOT */
};

/* Those that every container may open, whatever its configuration says (src/cgroup/devices.ts). */
static bool everyones(dev_t device) {
  unsigned number = minor(device);
  if (major(device) == 1) return number == 3 || number == 5 || (number >= 7 && number <= 9);
  return major(device) == 136 || (major(device) == 5 && number <= 2);
}

static int event_of(struct asked *a, const struct caller *c, const struct wish *w, const struct found *f) {
  _cleanup_buf_ struct buf event = {.data = NULL};
  if (begin_event(&event, a, c, KIND_OPEN) != 0 || buf_bytes(&event, f->path, strlen(f->path)) != 0 ||
      buf_u32(&event, (uint32_t)w->flags) != 0 || buf_u32(&event, w->mode) != 0 || buf_u32(&event, f->fd >= 0) != 0)
    return ENOMEM;
  return ask(a, &event);
}

/* What is said of something that is there, before any right is asked for. */
static int unfit(const struct wish *w, const struct found *f, const struct caller *c) {
  bool creates = (w->flags & O_CREAT) != 0, directory = S_ISDIR(f->info.st_mode);
  if (creates && (w->flags & O_EXCL) != 0) return EEXIST;
  if (S_ISLNK(f->info.st_mode) && (w->flags & O_PATH) == 0) return ELOOP;
  if (creates && directory) return EISDIR;
  if (!directory && (f->directory || (w->flags & O_DIRECTORY) != 0)) return ENOTDIR;
  struct stat dir;
  if (!creates || f->parent < 0 || !(S_ISREG(f->info.st_mode) || S_ISFIFO(f->info.st_mode)) || fstat(f->parent, &dir) != 0) return 0;
  /* What fs.protected_regular and fs.protected_fifos say (proc_sys_fs(5)). */
  bool shared = (dir.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH);
  return shared && f->info.st_uid != dir.st_uid && f->info.st_uid != c->ids.uid[3] ? EACCES : 0;
}

/* /dev/tty is the terminal of who opens it. */
static int controlling_terminal(struct asked *a, const struct caller *c, struct found *f) {
  char path[32];
  dev_t device = caller_terminal(c);
  (void)snprintf(path, sizeof path, "/dev/pts/%u", minor(device));
  if (major(device) != 136 || walk(a, c, c->root, path, 0, f) != 0 || f->info.st_rdev != device) return ENXIO;
  return 0;
}

static int open_there(struct asked *a, const struct caller *c, const struct wish *w, struct found *f) {
  if ((w->flags & O_PATH) != 0) return fcntl(f->fd, F_DUPFD_CLOEXEC, 3);
  if (S_ISCHR(f->info.st_mode) || S_ISBLK(f->info.st_mode)) {
    int error = S_ISCHR(f->info.st_mode) && f->info.st_rdev == makedev(5, 0) ? controlling_terminal(a, c, f) : 0;
    if (error == 0 && (S_ISBLK(f->info.st_mode) || !everyones(f->info.st_rdev))) error = caller_devices(a);
    if (error != 0) {
      errno = error;
      return -1;
    }
  }
  return found_open(c, f, w->flags, w->mode);
}

/* With O_EXCL: what others put there meanwhile was not judged. */
static int open_missing(const struct wish *w, const struct found *f) {
  if (f->directory) {
    errno = EISDIR;
    return -1;
  }
  return openat(f->parent, f->name, w->flags | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, w->mode);
}

/* A descriptor, or -1 with errno. */
static int judged(struct asked *a, const struct caller *c, const struct wish *w, int base, const char *path) {
  char allowed[PATH_MAX] = "";
  bool was_there = false;
  for (int i = 0; i < AGAIN_MAX; i++) {
    _cleanup_found_ struct found f = NOTHING_FOUND;
    int error = walk(a, c, base, path, w->how, &f);
    if (error == 0 && f.fd >= 0) error = unfit(w, &f, c);
    /* The same path may stand for something else by now, but only where it was to be made. */
    bool known = i > 0 && strcmp(allowed, f.path) == 0 && was_there == (f.fd >= 0);
    if (error == 0 && !known) error = event_of(a, c, w, &f);
    if (error != 0) {
      errno = error;
      return -1;
    }
    strcpy(allowed, f.path);
    was_there = f.fd >= 0;
    int fd = f.fd >= 0 ? open_there(a, c, w, &f) : open_missing(w, &f);
    if (fd >= 0 || f.fd >= 0 || errno != EEXIST || (w->flags & O_EXCL) != 0) return fd;
  }
  errno = EAGAIN;
  return -1;
}

/* The directory that a relative path begins in. A descriptor, or -1 with errno. */
static int base_of(const struct caller *c, const struct wish *w, const char *path) {
  if (*path == '/' && !w->in_root && (w->how & WALK_BENEATH) == 0) return fcntl(c->root, F_DUPFD_CLOEXEC, 3);
  return w->dir == AT_FDCWD ? fcntl(c->cwd, F_DUPFD_CLOEXEC, 3) : caller_fd(c, w->dir);
}

static void open_for(struct asked *a, struct wish *w) {
  char path[PATH_MAX];
  _cleanup_caller_ struct caller c = NOBODY;
  int error = caller_open(a, &c);
  if (error != 0) return answer_error(a, error);
  if (tracee_string(&a->call, w->address, path) != 0) return answer_error(a, errno == ENAMETOOLONG ? ENAMETOOLONG : EFAULT);
  if (*path == '\0') return answer_error(a, ENOENT);
  _cleanup_fd_ int base = base_of(&c, w, path);
  if (base < 0) return answer_error(a, errno);
  if (w->in_root) { /* that directory is the root of all that is named */
    int root = fcntl(base, F_DUPFD_CLOEXEC, 3);
    if (root < 0) return answer_error(a, errno);
    fd_close(&c.root);
    c.root = root;
  }
  if ((w->flags & O_NOFOLLOW) != 0 || (w->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) w->how |= WALK_NOFOLLOW;
  if ((w->flags & O_CREAT) != 0) w->how |= WALK_CREATE;
  error = caller_become(a, &c);
  if (error != 0) return answer_error(a, error);
  _cleanup_fd_ int fd = judged(a, &c, w, base, path);
  if (fd < 0) return answer_error(a, errno);
  answer_fd(a, fd, (w->flags & O_CLOEXEC) != 0);
}

static void deal_open(struct asked *a) {
  struct wish w = {.dir = AT_FDCWD, .address = a->call.args[0], .flags = (int)a->call.args[1], .mode = a->call.args[2] & 07777};
  open_for(a, &w);
}

static void deal_creat(struct asked *a) {
  struct wish w = {.dir = AT_FDCWD, .address = a->call.args[0], .flags = O_CREAT | O_WRONLY | O_TRUNC, .mode = a->call.args[1] & 07777};
  open_for(a, &w);
}

static void deal_openat(struct asked *a) {
  struct wish w = {.dir = DIR_ARG(0), .address = a->call.args[1], .flags = (int)a->call.args[2], .mode = a->call.args[3] & 07777};
  open_for(a, &w);
}

static const struct {
  uint64_t resolve;
  unsigned how;
} resolves[] = {
    {RESOLVE_BENEATH, WALK_BENEATH}, {RESOLVE_NO_SYMLINKS, WALK_NO_SYMLINKS}, {RESOLVE_NO_MAGICLINKS, WALK_NO_MAGIC}, {RESOLVE_NO_XDEV, WALK_ONE_MOUNT}};

/* One that may not wait for anything (RESOLVE_CACHED) is told to come again without that, as when nothing is cached. */
static void deal_openat2(struct asked *a) {
  struct open_how how = {0};
  if (a->call.args[3] < sizeof how) return answer_error(a, EINVAL);
  if (a->call.args[3] > sizeof how) return answer_error(a, E2BIG);
  if (tracee_read(&a->call, a->call.args[2], &how, sizeof how) != 0) return answer_error(a, EFAULT);
  struct wish w = {.dir = DIR_ARG(0), .address = a->call.args[1], .flags = (int)how.flags, .mode = how.mode & 07777};
  uint64_t left = how.resolve;
  for (size_t i = 0; i < sizeof resolves / sizeof *resolves; i++) {
    if ((left & resolves[i].resolve) != 0) w.how |= resolves[i].how;
    left &= ~resolves[i].resolve;
  }
  w.in_root = (left & RESOLVE_IN_ROOT) != 0;
  left &= ~(uint64_t)RESOLVE_IN_ROOT;
  if (w.in_root) w.how |= WALK_NO_MAGIC;
  bool creates = (how.flags & O_CREAT) != 0 || (how.flags & O_TMPFILE) == O_TMPFILE;
  if (left == 0x20 /* RESOLVE_CACHED, Linux 5.12 */) return answer_error(a, EAGAIN);
  if (left != 0 || how.flags >> 32 != 0 || how.mode > 07777 || (how.mode != 0 && !creates)) return answer_error(a, EINVAL);
  if (w.in_root && (w.how & WALK_BENEATH) != 0) return answer_error(a, EINVAL);
  open_for(a, &w);
}

const struct deal_entry open_deals[] = {
    {"open", deal_open}, {"openat", deal_openat}, {"openat2", deal_openat2}, {"creat", deal_creat}, {NULL, NULL}};
