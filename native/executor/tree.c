/* Removes what lies under a directory that someone else filled: deep, wide, or changing while we work. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"

#define DEPTH_MAX 65536u /* levels; a bound for memory, not for descriptors: one directory is open at a time */

/* A directory on the way down, as it is found again on the way up. */
struct level {
  dev_t dev;
  ino_t ino;
  char name[NAME_MAX + 1]; /* of the child that was entered */
};

/* Opens a name below `dir`, on the same mount only: what is mounted there is not ours to empty. */
static int enter(int dir, const char *name) {
  return sys_openat2(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
}

static bool is_directory(int dir, const struct dirent *entry) {
  if (entry->d_type != DT_UNKNOWN) return entry->d_type == DT_DIR;
  struct stat st;
  return fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Removes what it can of `dir`. 0: it is empty; 1: `name` has to be entered first; -1 with errno, `name` being what failed. */
static int sweep(int dir, enum tree what, char name[NAME_MAX + 1]) {
  name[0] = '\0';
  /* A description of its own: the position in `dir` stays at the start. */
  int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  _cleanup_dir_ DIR *entries = own < 0 ? NULL : fdopendir(own);
  if (entries == NULL) {
    fd_close(&own);
    return -1;
  }
  const struct dirent *entry;
  while (errno = 0, (entry = readdir(entries)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    bool directory = is_directory(dir, entry);
    if (!directory && what == TREE_DIRECTORIES) continue;
    if (unlinkat(dir, entry->d_name, directory ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT) continue;
    memccpy(name, entry->d_name, '\0', NAME_MAX + 1);
    /* EBUSY: a cgroup with cgroups in it, or a mount point, which `enter` refuses. */
    return directory && (errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY) ? 1 : -1;
  }
  return errno == 0 ? 0 : -1;
}

static int push(struct level **levels, size_t *depth, size_t *room, int dir, const char *name) {
  struct stat st;
  if (fstat(dir, &st) != 0) return -1;
  if (*depth == DEPTH_MAX) {
    errno = ELOOP;
    return -1;
  }
  if (*depth == *room) {
    size_t more = *room == 0 ? 16 : *room * 2;
    struct level *grown = reallocarray(*levels, more, sizeof **levels);
    if (grown == NULL) return -1;
    *levels = grown;
    *room = more;
  }
  struct level *level = &(*levels)[(*depth)++];
  level->dev = st.st_dev;
  level->ino = st.st_ino;
  memccpy(level->name, name, '\0', sizeof level->name);
  return 0;
}

/* Opens the parent, which has to be the directory that we came from: a moved one would lead us out of the tree. */
static int leave(int dir, const struct level *level) {
  _cleanup_fd_ int parent = enter(dir, "..");
  struct stat st;
  if (parent < 0 || fstat(parent, &st) != 0) return -1;
  if (st.st_dev != level->dev || st.st_ino != level->ino) {
    errno = ESTALE;
    return -1;
  }
  return fd_steal(&parent);
}

/* The tree at work: where we are, and the way back. */
struct walk {
  int at;
  struct level *levels;
  size_t depth, room;
  char name[NAME_MAX + 1]; /* what is at hand, for the error */
  /* Emptied, and still not removable: its name, how deep it lies, how often. Something may have been added meanwhile. */
  char busy[NAME_MAX + 1];
  size_t busy_depth;
  unsigned busy_times;
};

#define BUSY_TIMES 3

static bool is_busy(const struct walk *w) { return w->busy_depth == w->depth && strcmp(w->busy, w->name) == 0; }

/* The same of one that its owner, who we are without being root, may not enter: what overlayfs works in is such a one. */
static int enter_locked(int dir, const char *name) {
  char path[FD_PATH_SIZE];
  _cleanup_fd_ int locked = sys_openat2(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
  if (locked < 0 || chmod(fd_path(&path, locked), 0700) != 0) return -1;
  return enter(dir, name);
}

static int go_down(struct walk *w) {
  if (is_busy(w) && w->busy_times == BUSY_TIMES) {
    errno = EBUSY;
    return -1;
  }
  _cleanup_fd_ int next = enter(w->at, w->name);
  if (next < 0 && errno == EACCES) next = enter_locked(w->at, w->name);
  if (next < 0 || push(&w->levels, &w->depth, &w->room, w->at, w->name) != 0) return -1;
  fd_close(&w->at);
  w->at = fd_steal(&next);
  return 0;
}

static int go_up(struct walk *w) {
  const struct level *level = &w->levels[--w->depth];
  int next = leave(w->at, level);
  if (next < 0) return -1;
  fd_close(&w->at);
  w->at = next;
  memcpy(w->name, level->name, sizeof w->name);
  if (unlinkat(next, w->name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
  if (errno != EBUSY && errno != ENOTEMPTY) return -1;
  w->busy_times = is_busy(w) ? w->busy_times + 1 : 1;
  w->busy_depth = w->depth;
  memcpy(w->busy, w->name, sizeof w->busy);
  return 0;
}

static int walk_down_and_up(struct walk *w, enum tree what) {
  for (;;) {
    int swept = sweep(w->at, what, w->name);
    if (swept < 0) return -1;
    if (swept == 0 && w->depth == 0) return 0;
    if ((swept > 0 ? go_down(w) : go_up(w)) != 0) return -1;
  }
}

int tree_empty(struct executor *ex, int dir, const char *subject, enum tree what) {
  struct walk walk = {.at = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (walk.at < 0) return fail_sys(&ex->fail, "open", subject);
  int done = walk_down_and_up(&walk, what), error = errno;
  fd_close(&walk.at);
  free(walk.levels);
  if (done == 0) return 0;
  (void)fail_msg(&ex->fail, error, subject, error == EXDEV ? "a file system is mounted on \"%s\" in it" : "at \"%s\" in it",
                 walk.name);
  fail_copy(ex->fail.syscall, sizeof ex->fail.syscall, error == EXDEV ? "openat2" : "unlinkat");
  return -1;
}
