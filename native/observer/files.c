/* Calls with paths: what is opened, made, removed, renamed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../common/fd.h"
#include "calls.h"
#include "observed.h"

#define DIR_ARG(n) ((int)(uint32_t)call->args[n])

/* /proc/self is who looks: taken by its name. What a descriptor stands for was opened before. */
static bool is_self(const char *whole) {
  return strncmp(whole, "/proc/self/", 11) == 0 || strncmp(whole, "/proc/thread-self/", 18) == 0;
}

/* The directory that the last name of a path is in, and that name. 0, or -1: there is none. */
static int parent_of(const struct call *call, const char *whole, struct place *parent, char name[NAME_MAX + 1]) {
  char dir[PATH_MAX];
  strcpy(dir, whole);
  size_t len = strlen(dir);
  while (len > 1 && dir[len - 1] == '/') dir[--len] = '\0';
  char *slash = strrchr(dir, '/');
  if (slash == NULL || slash[1] == '\0' || strlen(slash + 1) > NAME_MAX) return -1;
  strcpy(name, slash + 1);
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return -1;
  slash[slash == dir] = '\0';
  return tracee_resolve(call, dir, true, parent);
}

/* The name comes to be: in its directory something changes, and it is the run's own from there on. */
static int made(const struct call *call, const char *whole) {
  _cleanup_place_ struct place parent = {.fd = -1};
  char name[NAME_MAX + 1], path[PATH_MAX + NAME_MAX + 1];
  if (parent_of(call, whole, &parent, name) != 0) return 0;
  (void)snprintf(path, sizeof path, "%s/%s", strcmp(parent.path, "/") == 0 ? "" : parent.path, name);
  return observed(SEEN_ENTRY, parent.path) != 0 || observed(SEEN_MADE, path) != 0 ? -1 : 0;
}

static int entry_changed(const struct call *call, const char *whole) {
  _cleanup_place_ struct place parent = {.fd = -1};
  char name[NAME_MAX + 1];
  return parent_of(call, whole, &parent, name) != 0 ? 0 : observed(SEEN_ENTRY, parent.path);
}

static int opened_there(const struct place *place, uint64_t flags) {
  mode_t type = place->info.st_mode & S_IFMT;
  if (type == S_IFDIR) return observed((flags & O_TMPFILE) == O_TMPFILE ? SEEN_ENTRY : SEEN_LIST, place->path);
  if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0) return observed(SEEN_WRITE, place->path);
  return observed(type == S_IFCHR || type == S_IFBLK ? SEEN_DEVICE : SEEN_READ, place->path);
}

static int opened(const struct call *call, int dir, uint64_t address, uint64_t flags) {
  char path[PATH_MAX], whole[PATH_MAX];
  if ((flags & O_PATH) != 0 || tracee_string(call, address, path) != 0 || *path == '\0') return 0;
  if (tracee_path(call, dir, path, whole) != 0) return 0;
  bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (is_self(whole)) return strstr(whole, "/fd/") != NULL ? 0 : observed(writes ? SEEN_WRITE : SEEN_READ, whole);
  bool creates = (flags & O_CREAT) != 0, only = creates && (flags & O_EXCL) != 0;
  _cleanup_place_ struct place place = {.fd = -1};
  if (tracee_resolve(call, whole, !only && (flags & O_NOFOLLOW) == 0, &place) != 0)
    return errno == ENOENT && creates ? made(call, whole) : 0;
  return only ? 0 : opened_there(&place, flags);
}

static int look_open(const struct call *call) { return opened(call, AT_FDCWD, call->args[0], call->args[1]); }
static int look_openat(const struct call *call) { return opened(call, DIR_ARG(0), call->args[1], call->args[2]); }
static int look_creat(const struct call *call) { return opened(call, AT_FDCWD, call->args[0], O_CREAT | O_WRONLY | O_TRUNC); }
static int look_truncate(const struct call *call) { return opened(call, AT_FDCWD, call->args[0], O_WRONLY); }
static int look_openat2(const struct call *call) {
  uint64_t flags; /* first in struct open_how */
  return tracee_read(call, call->args[2], &flags, sizeof flags) != 0 ? 0 : opened(call, DIR_ARG(0), call->args[1], flags);
}

enum change { MAKES, TAKES };

/* What is made that is there already, or removed that is not, fails without any right being asked for. */
static int changed(const struct call *call, int dir, uint64_t address, enum change change) {
  char path[PATH_MAX], whole[PATH_MAX];
  if (tracee_string(call, address, path) != 0 || *path == '\0' || tracee_path(call, dir, path, whole) != 0) return 0;
  _cleanup_place_ struct place place = {.fd = -1};
  bool there = tracee_resolve(call, whole, false, &place) == 0;
  if (there) return change == TAKES ? entry_changed(call, whole) : 0;
  return errno == ENOENT && change == MAKES ? made(call, whole) : 0;
}

static int look_make(const struct call *call) { return changed(call, AT_FDCWD, call->args[0], MAKES); }
static int look_make_at(const struct call *call) { return changed(call, DIR_ARG(0), call->args[1], MAKES); }
static int look_symlink(const struct call *call) { return changed(call, AT_FDCWD, call->args[1], MAKES); }
static int look_symlink_at(const struct call *call) { return changed(call, DIR_ARG(1), call->args[2], MAKES); }
static int look_take(const struct call *call) { return changed(call, AT_FDCWD, call->args[0], TAKES); }
static int look_take_at(const struct call *call) { return changed(call, DIR_ARG(0), call->args[1], TAKES); }

/* Of a rename or a link: the directory of the old name is asked too, and a new name may be another's that is there. */
static int moved(const struct call *call, int dir, uint64_t from, int to_dir, uint64_t to) {
  if (changed(call, dir, from, TAKES) != 0 || changed(call, to_dir, to, MAKES) != 0) return -1;
  return changed(call, to_dir, to, TAKES);
}
static int look_move(const struct call *call) { return moved(call, AT_FDCWD, call->args[0], AT_FDCWD, call->args[1]); }
static int look_move_at(const struct call *call) { return moved(call, DIR_ARG(0), call->args[1], DIR_ARG(2), call->args[3]); }

const struct look_entry file_looks[] = {
  {"open", look_open}, {"openat", look_openat}, {"openat2", look_openat2}, {"creat", look_creat},
  {"truncate", look_truncate}, {"truncate64", look_truncate}, {"mkdir", look_make}, {"mkdirat", look_make_at},
  {"mknod", look_make}, {"mknodat", look_make_at}, {"symlink", look_symlink}, {"symlinkat", look_symlink_at},
  {"unlink", look_take}, {"unlinkat", look_take_at}, {"rmdir", look_take}, {"link", look_move}, {"linkat", look_move_at},
  {"rename", look_move}, {"renameat", look_move_at}, {"renameat2", look_move_at}, {NULL, NULL},
};
