#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "init.h"
#include "ops.gen.h"
#include "resolve.h"

/* Room for pointers to every string a plan could hold; untouched pages cost nothing. */
static struct {
  const char **at;
  size_t left;
} vectors;

/* A string of a list takes at least its length and its NUL. */
#define STRING_MIN 5

int process_reserve(size_t len) {
  size_t count = len / STRING_MIN + 3; /* and HOME, and two terminating NULLs */
  void *room = mmap(NULL, count * sizeof *vectors.at, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return -1;
  vectors.at = room;
  vectors.left = count;
  return 0;
}

/* A NULL-terminated vector of the list's strings, which stay where they are, and one `more` (NULL: none). NULL where the room is used
 * up. */
static const char **vector_of(const struct list *list, const char *more) {
  if (vectors.left <= list->count + 1u) return NULL;
  const char **vector = vectors.at, **end = vector;
  struct reader items = list->items;
  for (uint32_t i = 0; i < list->count; i++) *end++ = reader_str(&items);
  if (more != NULL) *end++ = more;
  *end++ = NULL;
  vectors.left -= (size_t)(end - vector);
  vectors.at = end;
  return vector;
}

/* The descriptor in a slot as one above the standard ones, so that no dup2 below overwrites it; clears O_NONBLOCK, which belongs to
 * the open file and would reach the container (trap 7). -1 without fail: no slot. */
static int stdio_source(struct executor *ex, uint32_t slot, int *fd) {
  *fd = -1;
  if (slot == NO_SLOT) return 0;
  int from = slot_fd(ex, slot);
  if (from < 0) return -1;
  int flags = fcntl(from, F_GETFL);
  if (flags < 0 || ((flags & O_NONBLOCK) != 0 && fcntl(from, F_SETFL, flags & ~O_NONBLOCK) != 0))
    return fail_sys(&ex->fail, "fcntl", "stdio");
  *fd = fcntl(from, F_DUPFD_CLOEXEC, 3);
  return *fd >= 0 ? 0 : fail_sys(&ex->fail, "fcntl", "stdio");
}

int run_stdio(struct executor *ex, const struct op_stdio *op, struct buf *result) {
  (void)result;
  _cleanup_fd_ int in = -1, out = -1, err = -1;
  if (stdio_source(ex, op->in, &in) != 0 || stdio_source(ex, op->out, &out) != 0 || stdio_source(ex, op->err, &err) != 0)
    return -1;
  int sources[3] = {in, out, err};
  for (int fd = 0; fd < 3; fd++)
    if (sources[fd] >= 0 && dup2(sources[fd], fd) < 0) return fail_sys(&ex->fail, "dup2", "stdio");
  return 0;
}

/* Whether the process may own what it was given: its pipes and sockets, a terminal that was made for it, and a file that it was
 * given for writing. Who owns a file can open it for writing, so that one given for reading stays another's; and the devices of the
 * host are everyone's (S9). */
static bool can_be_owned(const struct executor *ex, int fd, const struct stat *info) {
  if (S_ISFIFO(info->st_mode) || S_ISSOCK(info->st_mode)) return true;
  if (S_ISCHR(info->st_mode)) return ex->own_terminal;
  int flags = fcntl(fd, F_GETFL);
  return S_ISREG(info->st_mode) && flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

int run_chown_stdio(struct executor *ex, const struct op_chown_stdio *op, struct buf *result) {
  (void)result;
  for (int fd = 0; fd < 3; fd++) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
      if (errno == EBADF) continue;
      return fail_sys(&ex->fail, "fstat", "stdio");
    }
    if (info.st_uid == op->uid || !can_be_owned(ex, fd, &info)) continue;
    if (fchown(fd, op->uid, (gid_t)-1) == 0) continue;
    /* Not ours to give, not mapped, or read-only: the process then has what it was given. */
    if (errno != EPERM && errno != EINVAL && errno != EROFS && errno != ENOSYS) return fail_sys(&ex->fail, "fchown", "stdio");
  }
  return 0;
}

int run_alive(struct executor *ex, const struct op_alive *op, struct buf *result) {
  (void)result;
  struct pollfd poller = {.fd = slot_fd(ex, op->slot), .events = POLLIN};
  if (poller.fd < 0) return -1;
  int ready;
  do ready = poll(&poller, 1, 0);
  while (ready < 0 && errno == EINTR);
  if (ready < 0) return fail_sys(&ex->fail, "poll", "pidfd");
  return ready == 0 ? 0 : fail_msg(&ex->fail, ESRCH, "init", "the container's init has ended");
}

static int close_from(struct executor *ex, unsigned first, unsigned last) {
  if (first > last || sys_close_range(first, last, 0) == 0) return 0;
  return fail_sys(&ex->fail, "close_range", "descriptors");
}

int run_close_fds(struct executor *ex, const struct op_close_fds *op, struct buf *result) {
  (void)result;
  if (op->preserve > INT_MAX - 4) return fail_msg(&ex->fail, EINVAL, "preserved descriptors", "too many");
  int first = 3 + (int)op->preserve;
  if (ex->control < first) {
    int control = fcntl(ex->control, F_DUPFD_CLOEXEC, first);
    if (control < 0) return fail_sys(&ex->fail, "fcntl", "control socket");
    fd_close(&ex->control);
    ex->control = control;
  }
  unsigned control = (unsigned)ex->control;
  /* A procfs or a root that is open would be a way out (S2): what follows works without. */
  ex->root = ex->proc = -1;
  for (size_t i = 0; i < SLOTS; i++) ex->slots[i] = -1;
  if (close_from(ex, (unsigned)first, control - 1) != 0 || close_from(ex, control + 1, ~0u) != 0) return -1;
  for (int fd = 3; fd < first; fd++) {
    char name[32];
    (void)snprintf(name, sizeof name, "descriptor %d", fd);
    if (fcntl(fd, F_SETFD, 0) != 0) return fail_sys(&ex->fail, "preserve", name);
  }
  return 0;
}

/* The directory the process starts in. Through the root's descriptor no magic link is followed: a working directory of
 * /proc/self/fd/7 is refused, wherever that would lead (S2). */
static int enter_dir(struct executor *ex, const char *path, bool make) {
  if (ex->root < 0) return chdir(path) == 0 ? 0 : fail_sys(&ex->fail, "chdir", path);
  _cleanup_fd_ int dir = root_open(ex, path, O_PATH | O_DIRECTORY, 0);
  if (dir < 0 && errno == ENOENT && make) {
    bool made;
    dir = root_make_dir(ex, path, 0, &made);
    if (dir < 0) return -1;
  }
  if (dir < 0) return fail_path(ex, "openat2", path);
  return fchdir(dir) == 0 ? 0 : fail_sys(&ex->fail, "fchdir", path);
}

int run_chdir(struct executor *ex, const struct op_chdir *op, struct buf *result) {
  (void)result;
  if (enter_dir(ex, *op->path == '\0' ? "/" : op->path, (op->flags & CHDIR_MAKE) != 0) != 0) return -1;
  /* The system call itself: the C library would go looking for a way where the kernel says "(unreachable)". */
  char path[PATH_MAX];
  if (syscall(SYS_getcwd, path, sizeof path) < 0) return fail_sys(&ex->fail, "getcwd", op->path);
  return path[0] == '/' ? 0 : fail_msg(&ex->fail, EACCES, op->path, "the working directory is outside of the container");
}

/* Whether the file can be executed: 0, or the errno that says why not. */
static int executable(const char *path) {
  struct stat info;
  if (stat(path, &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  if (!S_ISREG(info.st_mode)) return EACCES;
  return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

static int found(struct executor *ex, const char *path) {
  free(ex->exec_path);
  ex->exec_path = strdup(path);
  return ex->exec_path != NULL ? 0 : fail_sys(&ex->fail, "strdup", path);
}

static int not_executable(struct executor *ex, const char *name, int error) {
  if (error == EISDIR) return fail_msg(&ex->fail, EACCES, name, "is a directory");
  errno = error;
  return fail_sys(&ex->fail, error == EACCES || error == EPERM ? "access" : "stat", name);
}

/* What Landlock has against the program, before it is too late to say so here: execve would tell only at `start`. Kernels before 6.14 do
 * not know the question. */
static int check_confined(struct executor *ex, const char *path) {
  char *const argv[] = {(char *)(uintptr_t)path, NULL}, *const env[] = {NULL};
  if (!ex->confined || sys_execveat(AT_FDCWD, path, argv, env, AT_EXECVE_CHECK) == 0 || errno != EACCES) return 0;
  return fail_msg(&ex->fail, EACCES, path, "the policy's files.execute does not allow it");
}

static int take(struct executor *ex, const char *path) {
  return check_confined(ex, path) != 0 ? -1 : found(ex, path);
}

static int find(struct executor *ex, const char *name, const char *dirs) {
  if (strchr(name, '/') != NULL) {
    int error = executable(name);
    return error == 0 ? take(ex, name) : not_executable(ex, name, error);
  }
  int refused = 0; /* what execvp reports when nothing better comes: a file that is there and may not be executed */
  for (const char *at = dirs, *end; *name != '\0' && *dirs != '\0'; at = end + 1) {
    end = at + strcspn(at, ":");
    char path[PATH_MAX];
    int len = end == at ? snprintf(path, sizeof path, "./%s", name) : snprintf(path, sizeof path, "%.*s/%s", (int)(end - at), at, name);
    if (len > 0 && (size_t)len < sizeof path) {
      int error = executable(path);
      if (error == 0) return take(ex, path);
      if (error == EACCES || error == EPERM) refused = error;
    }
    if (*end == '\0') break;
  }
  if (refused != 0) return not_executable(ex, name, refused);
  return fail_msg(&ex->fail, ENOENT, name, "executable file not found in $PATH");
}

int run_find_exec(struct executor *ex, const struct op_find_exec *op, struct buf *result) {
  (void)result;
  return find(ex, op->name, op->path);
}

static int nothing_given(struct executor *ex) { return fail_msg(&ex->fail, EINVAL, "", "no arguments were given for the process"); }

int run_find_given(struct executor *ex, const struct op_find_given *op, struct buf *result) {
  (void)result;
  return ex->given == NULL || ex->given[0] == NULL ? nothing_given(ex) : find(ex, ex->given[0], op->path);
}

int run_park(struct executor *ex, const struct op_park *op, struct buf *result) {
  (void)op, (void)result;
  const uint8_t report = REPORT_PARKED;
  ssize_t sent;
  do sent = write(ex->control, &report, 1);
  while (sent < 0 && errno == EINTR);
  if (sent != 1) return fail_sys(&ex->fail, "write", "control socket");
  init_wait_go(ex);
  return 0;
}

static _Noreturn void execute(struct executor *ex, const char *op, char *const *argv, const struct list *variables) {
  const char **env = argv == NULL ? NULL : vector_of(variables, ex->home);
  const char *path = ex->exec_path != NULL ? ex->exec_path : argv != NULL && argv[0] != NULL ? argv[0] : "";
  if (env == NULL) {
    (void)fail_msg(&ex->fail, E2BIG, path, "more arguments than the plan can hold");
  } else {
    /* Who is asked for this call looks at us before it lets us go: without privilege it can't, unless we are dumpable. */
    if (ex->of_user && ex->self->listener >= 0) (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    (void)execve(path, argv, (char *const *)env);
    int error = errno;
    (void)fail_sys(&ex->fail, "execve", path);
    if (error == ENOEXEC) fail_copy(ex->fail.detail, sizeof ex->fail.detail, "exec format error");
    /* find-exec has seen the file itself. */
    if (error == ENOENT && ex->exec_path != NULL)
      fail_copy(ex->fail.detail, sizeof ex->fail.detail, "no such file or directory (missing ELF interpreter or script interpreter)");
  }
  ex->fail.depth = ex->depth;
  memcpy(ex->fail.index, ex->position, sizeof ex->fail.index);
  fail_copy(ex->fail.op, sizeof ex->fail.op, op);
  /* Reported from here: an outcome might take memory, and so a system call that the filter does not allow (trap 21). */
  init_die(ex);
}

int run_exec(struct executor *ex, const struct op_exec *op, struct buf *result) {
  (void)result;
  execute(ex, "exec", (char *const *)vector_of(&op->argv, NULL), &op->env);
}

int run_exec_given(struct executor *ex, const struct op_exec_given *op, struct buf *result) {
  (void)result;
  if (ex->given == NULL) return nothing_given(ex);
  execute(ex, "exec-given", ex->given, &op->env);
}
