#define _GNU_SOURCE
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/mount_root.h"

#define LINKS_MAX 40   /* the kernel's own bound */
#define PROC_ROOT_INO 1 /* of every procfs */
#ifndef ST_NOSYMFOLLOW
#define ST_NOSYMFOLLOW 0x2000
#endif

void found_cleanup(struct found *f) {
  fd_close(&f->fd);
  fd_close(&f->parent);
}

struct walker {
  struct asked *a;
  const struct caller *c;
  unsigned how;
  int top;                 /* where it began, for WALK_BENEATH */
  uint64_t mount;          /* where it is, for WALK_ONE_MOUNT */
  int links;               /* followed */
  char rest[2 * PATH_MAX]; /* what is left to follow */
};

/* The name of a descriptor of ours: what the kernel makes of it in our root, which is the container's. */
static int name_of(const struct caller *c, int fd, char path[PATH_MAX]) {
  char number[16];
  (void)snprintf(number, sizeof number, "%d", fd);
  ssize_t len = readlinkat(c->self, number, path, PATH_MAX - 1);
  if (len < 0) return errno;
  path[len] = '\0';
  return 0;
}

/* Puts a link's text before what is left. */
static int expand(struct walker *w, const char *text) {
  size_t len = strlen(text), left = strlen(w->rest);
  if (len == 0) return ENOENT;
  if (len + 1 + left >= sizeof w->rest || left + len > PATH_MAX * 2 - 2) return ENAMETOOLONG;
  memmove(w->rest + len + (left > 0), w->rest, left + 1);
  memcpy(w->rest, text, len);
  if (left > 0) w->rest[len] = '/';
  return 0;
}

/* The same directory by the same mount, as the kernel compares them. */
static bool same_place(int one, int other) {
  struct stat a, b;
  uint64_t mount_a = 0, mount_b = 0;
  if (fstat(one, &a) != 0 || fstat(other, &b) != 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino) return false;
  return mount_id(one, &mount_a) == 0 && mount_id(other, &mount_b) == 0 && mount_a == mount_b;
}

/* What others may write to is no place whose symlinks are followed, but those of who follows or of whose directory it is: what
 * fs.protected_symlinks says (proc_sys_fs(5)). */
static bool planted(int directory, const struct stat *link, const struct caller *c) {
  struct stat dir;
  if (fstat(directory, &dir) != 0) return true;
  return (dir.st_mode & (S_ISVTX | S_IWOTH)) == (S_ISVTX | S_IWOTH) && link->st_uid != c->ids.uid[3] && link->st_uid != dir.st_uid;
}

/* Of a path in a procfs that ends in a process's directory, or one below it, what stands behind that; NULL where it is no such path, or another
 * process's. */
static const char *own_part(const struct caller *c, const char *path) {
  char own[64];
  const pid_t ids[] = {c->ids.own_process, c->ids.own};
  for (size_t i = 0; i < 4; i++) {
    if (i % 2 == 0) (void)snprintf(own, sizeof own, "/%d", (int)ids[i / 2]);
    else (void)snprintf(own, sizeof own, "/%d/task/%d", (int)c->ids.own_process, (int)ids[i / 2]);
    size_t len = strlen(own), whole = strlen(path);
    static const char *const below[] = {"", "/fd", "/ns"};
    for (size_t j = 0; j < sizeof below / sizeof *below; j++) {
      size_t more = strlen(below[j]);
      if (whole >= len + more && strcmp(path + whole - more, below[j]) == 0 && strncmp(path + whole - more - len, own, len) == 0)
        return more == 0 ? "" : path + whole - more + 1;
    }
  }
  return NULL;
}

/* The links of procfs that are no text: where they lead is the kernel's to say, of the caller's own process at least, which is not ours. */
static int follow_magic(struct walker *w, int *at, const char *name) {
  char path[PATH_MAX], link[NAME_MAX + 8];
  int error = (w->how & (WALK_NO_MAGIC | WALK_BENEATH)) != 0 ? ELOOP : name_of(w->c, *at, path);
  if (error != 0) return error;
  const char *part = own_part(w->c, path);
  if (part == NULL) return EACCES;
  (void)snprintf(link, sizeof link, "%s%s%s", part, *part == '\0' ? "" : "/", name);
  int fd = ask_own_link(w->a, link);
  if (fd < 0) return errno;
  fd_close(at);
  *at = fd;
  return 0;
}

enum link { LINK_TEXT, LINK_FOLLOWED };

/* One of procfs: "self" says who we are, where it is meant to say who calls. 0 with the text, or the errno. */
static int proc_link(struct walker *w, int *at, int link, const char *name, char text[PATH_MAX], enum link *kind) {
  struct stat dir;
  *kind = LINK_TEXT;
  if (fstat(*at, &dir) != 0) return errno;
  if (dir.st_ino != PROC_ROOT_INO) {
    *kind = LINK_FOLLOWED;
    return follow_magic(w, at, name);
  }
  if (strcmp(name, "self") == 0) {
    (void)snprintf(text, PATH_MAX, "%d", (int)w->c->ids.own_process);
  } else if (strcmp(name, "thread-self") == 0) {
    (void)snprintf(text, PATH_MAX, "%d/task/%d", (int)w->c->ids.own_process, (int)w->c->ids.own);
  } else {
    ssize_t len = readlinkat(link, "", text, PATH_MAX - 1);
    if (len < 0) return errno;
    text[len] = '\0';
  }
  return 0;
}

static int back_to_root(struct walker *w, int *at) {
  if ((w->how & WALK_BENEATH) != 0) return EXDEV;
  fd_close(at);
  *at = fcntl(w->c->root, F_DUPFD_CLOEXEC, 3);
  return *at < 0 ? errno : 0;
}

/* Follows the symlink `link`, which is called `name` in the directory *at. */
static int follow(struct walker *w, int *at, int link, const char *name, const struct stat *info) {
  char text[PATH_MAX];
  struct statfs fs;
  if (++w->links > LINKS_MAX || (w->how & WALK_NO_SYMLINKS) != 0) return ELOOP;
  if (fstatfs(link, &fs) != 0) return errno;
  if ((fs.f_flags & ST_NOSYMFOLLOW) != 0) return ELOOP;
  if (planted(*at, info, w->c)) return EACCES;
  if (fs.f_type == PROC_SUPER_MAGIC) {
    enum link kind;
    int error = proc_link(w, at, link, name, text, &kind);
    if (error != 0 || kind == LINK_FOLLOWED) return error;
  } else {
    ssize_t len = readlinkat(link, "", text, sizeof text - 1);
    if (len < 0) return errno;
    text[len] = '\0';
  }
  int error = expand(w, text);
  return error != 0 || *text != '/' ? error : back_to_root(w, at);
}

/* Takes the next name off what is left: "" at the end. */
static int next_name(struct walker *w, char name[NAME_MAX + 1], bool *last, bool *slash) {
  char *start = w->rest + strspn(w->rest, "/");
  size_t len = strcspn(start, "/");
  if (len > NAME_MAX) return ENAMETOOLONG;
  memcpy(name, start, len);
  name[len] = '\0';
  char *end = start + len;
  *slash = *end == '/';
  end += strspn(end, "/");
  *last = *end == '\0';
  memmove(w->rest, end, strlen(end) + 1);
  return 0;
}

static int leaves_mount(struct walker *w, int fd) {
  uint64_t mount = 0;
  if ((w->how & WALK_ONE_MOUNT) == 0) return 0;
  if (mount_id(fd, &mount) != 0) return errno;
  return mount == w->mount ? 0 : EXDEV;
}

/* One step from *at, with what is there in *next. 0, or the errno. */
static int step(const struct walker *w, int at, const char *name, int *next, struct stat *info) {
  bool up = strcmp(name, "..") == 0;
  if (up && (w->how & WALK_BENEATH) != 0 && same_place(at, w->top)) return EXDEV;
  if (up && same_place(at, w->c->root)) name = "."; /* nothing is above the caller's root */
  *next = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | (up ? O_DIRECTORY : 0));
  return *next < 0 || fstat(*next, info) != 0 ? errno : 0;
}

static int finish(const struct walker *w, int at, int parent, struct found *f) {
  f->fd = fcntl(at, F_DUPFD_CLOEXEC, 3);
  f->parent = parent < 0 ? -1 : fcntl(parent, F_DUPFD_CLOEXEC, 3);
  if (f->fd < 0 || fstat(f->fd, &f->info) != 0) return errno;
  return name_of(w->c, f->fd, f->path);
}

/* Nothing is there yet that is called so. */
static int finish_missing(const struct walker *w, int at, const char *name, struct found *f) {
  f->parent = fcntl(at, F_DUPFD_CLOEXEC, 3);
  (void)snprintf(f->name, sizeof f->name, "%s", name);
  int error = f->parent < 0 ? errno : name_of(w->c, at, f->path);
  size_t len = strlen(f->path);
  if (error != 0) return error;
  if (len + 1 + strlen(name) >= sizeof f->path) return ENAMETOOLONG;
  (void)snprintf(f->path + len, sizeof f->path - len, "%s%s", strcmp(f->path, "/") == 0 ? "" : "/", name);
  return 0;
}

static int run(struct walker *w, int *at, struct found *f) {
  _cleanup_fd_ int parent = -1;
  for (;;) {
    char name[NAME_MAX + 1];
    bool last, slash;
    struct stat info;
    int error = next_name(w, name, &last, &slash);
    if (error != 0) return error;
    if (*name == '\0') return finish(w, *at, parent, f);
    if (last) f->directory = f->directory || slash;
    _cleanup_fd_ int next = -1;
    error = step(w, *at, name, &next, &info);
    if (error == ENOENT && last && (w->how & WALK_CREATE) != 0) return finish_missing(w, *at, name, f);
    if (error == 0) error = leaves_mount(w, next);
    if (error != 0) return error;
    if (last) (void)snprintf(f->name, sizeof f->name, "%s", name);
    if (S_ISLNK(info.st_mode) && (!last || f->directory || (w->how & WALK_NOFOLLOW) == 0)) {
      fd_close(&parent);
      error = follow(w, at, next, name, &info);
      if (error == 0) error = leaves_mount(w, *at);
      if (error != 0) return error;
      continue;
    }
    fd_close(&parent);
    parent = fd_steal(at);
    *at = fd_steal(&next);
  }
}

int walk(struct asked *a, const struct caller *c, int base, const char *path, unsigned how, struct found *f) {
  struct walker w = {.a = a, .c = c, .how = how};
  found_cleanup(f);
  *f = NOTHING_FOUND;
  if (*path == '\0') return ENOENT;
  (void)snprintf(w.rest, sizeof w.rest, "%s", path);
  _cleanup_fd_ int at = fcntl(base, F_DUPFD_CLOEXEC, 3), top = fcntl(base, F_DUPFD_CLOEXEC, 3);
  if (at < 0 || top < 0) return EBADF;
  w.top = top;
  if ((how & WALK_ONE_MOUNT) != 0 && mount_id(at, &w.mount) != 0) return errno;
  if (*path == '/') {
    int error = back_to_root(&w, &at);
    if (error == 0) error = leaves_mount(&w, at);
    if (error != 0) return error;
  }
  return run(&w, &at, f);
}

int found_of(const struct caller *c, int fd, struct found *f) {
  found_cleanup(f);
  *f = NOTHING_FOUND;
  f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (f->fd < 0 || fstat(f->fd, &f->info) != 0) return errno;
  return name_of(c, f->fd, f->path);
}

int found_open(const struct caller *c, const struct found *f, int flags, mode_t mode) {
  char number[16];
  (void)snprintf(number, sizeof number, "%d", f->fd);
  return openat(c->self, number, (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_NOCTTY | O_CLOEXEC, mode);
}
