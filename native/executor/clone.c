/* Makes the process that becomes the container's, or one of its execs. */
#define _GNU_SOURCE
#include "clone.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../init/init.h"
#include "effects.h"
#include "process.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* What a process that clones in our stead has to say. */
struct between {
  struct fail fail;
  pid_t pid; /* of the clone; 0: none, and `fail` says why */
  int pidfd; /* of the clone, in our own table */
};

/* One mapping of its own for what the child needs of us: everything else of ours can go (trap 2). */
struct handover {
  struct between between;
  uint8_t plan[];
};

/* What the child goes on with; `touchable`: it has to be dumpable for now. */
struct birth {
  struct executor *ex;
  struct cloned *self;
  struct handover *handover;
  size_t len;
  int control, other;
  bool unshare_cgroup, touchable, of_user;
  int cgroup;    /* to be born in; -1: none */
  uint32_t born; /* which of the cgroups that is */
  struct joining joining;
  uint64_t flags;
  struct entry entry;
};

static bool wanted(const struct executor *ex, int control, unsigned fd) {
  if (fd < 3 + ex->preserve || (int)fd == control) return true;
  for (int i = 0; i < SLOTS; i++)
    if (ex->slots[i] == (int)fd) return true;
  return false;
}

/* Leaves stdio, the container's own, the slots and the control socket: close-on-exec would come only hours later (trap 2). */
static int close_others(const struct executor *ex, int control) {
  unsigned last = (unsigned)control;
  for (int i = 0; i < SLOTS; i++)
    if (ex->slots[i] > (int)last) last = (unsigned)ex->slots[i];
  unsigned first = 3 + ex->preserve;
  for (unsigned fd = first; fd <= last; fd++) {
    if (!wanted(ex, control, fd)) continue;
    if (fd > first && sys_close_range(first, fd - 1, 0) != 0) return -1;
    first = fd + 1;
  }
  return sys_close_range(first, ~0u, 0);
}

/* Secrets of whoever called us have no place in a process that a pod-mate may look at (trap 2). */
static void wipe_environment(void) {
  for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
    explicit_bzero(*entry, strlen(*entry));
    *entry = NULL;
  }
}

static char *arguments;
static size_t arguments_len;

void clone_arguments(int argc, char **argv) {
  if (argc < 1) return;
  /* One after the other, as execve laid them down. */
  arguments = argv[0];
  arguments_len = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]);
}

void clone_named(const char *name) {
  size_t size = strlen(name) + 1;
  if (arguments_len >= size) {
    explicit_bzero(arguments, arguments_len);
    memcpy(arguments, name, size);
  }
  (void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

static _Noreturn void live(const struct birth *birth) {
  static const struct effects none = {.home = NULL};
  struct executor *ex = birth->ex;
  uint8_t byte;
  /* The owner of /proc/PID/uid_map is root as long as we are not dumpable: a maker without privilege could not write it. Until
   * then whoever looks at us has this user's id, in a namespace above ours. */
  if (birth->touchable && recv(birth->control, &byte, 1, 0) != 1) _exit(1);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || !joining_do(&birth->joining, birth->control) || close_others(ex, birth->control) != 0) _exit(1);
  signals_reset();
  wipe_environment();
  clone_named("berth-init");
  if (ex->unwanted_len > 0) (void)munmap(ex->unwanted, ex->unwanted_len);
  ex->unwanted_len = 0;
  ex->effects = &none;
  ex->inside = true;
  ex->control = birth->control;
  ex->unshare_cgroup = birth->unshare_cgroup;
  ex->root = -1;
  ex->proc = -1;
  ex->exec_path = ex->home = NULL;
  ex->own_terminal = false;
  ex->self = birth->self;
  ex->of_user = birth->of_user;
  ex->plan = (struct span){NULL, 0};
  ex->depth = 0;
  init_main(ex, birth->handover->plan, birth->len);
}

/* Born in its cgroup of version 2 (Linux 5.7), a process is never anywhere else, and moving one costs a grace period of the kernel's.
 * Where that fails it is moved there like into the others: if that fails too, its error says more. */
static pid_t clone_into(struct birth *birth, struct clone_args *args) {
  if (birth->cgroup >= 0) {
    struct clone_args into = *args;
    into.flags |= CLONE_INTO_CGROUP;
    into.cgroup = (uint64_t)birth->cgroup;
    pid_t pid = sys_clone3(&into);
    if (pid >= 0) return pid;
  }
  birth->born = NOT_BORN;
  return sys_clone3(args);
}

/* The child takes over whether it is dumpable from its maker, of that moment. */
static int let_touch(const struct birth *birth, bool touched) {
  if (!birth->touchable || prctl(PR_SET_DUMPABLE, touched, 0, 0, 0) == 0) return 0;
  return fail_sys(&birth->ex->fail, "prctl", "PR_SET_DUMPABLE");
}

static pid_t give_birth(struct birth *birth, int *pidfd) {
  /* The cgroup namespace comes later, as its root is the cgroup that the child is in then; the time namespace is made before (trap 8).
   * Where the child's parent is our own it needs an exit signal of 0. */
  bool own = birth->ex->own_children;
  struct clone_args args = {.flags = (birth->flags & ~(uint64_t)(CLONE_NEWCGROUP | CLONE_NEWTIME)) | (own ? 0 : CLONE_PARENT) | CLONE_PIDFD,
                            .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = own ? SIGCHLD : 0};
  if (let_touch(birth, true) != 0) return -1;
  pid_t pid = clone_into(birth, &args);
  if (pid == 0) live(birth);
  if (pid < 0) (void)fail_sys(&birth->ex->fail, "clone3", "process");
  if (let_touch(birth, false) == 0) return pid;
  if (pid > 0) (void)sys_pidfd_send_signal(*pidfd, SIGKILL);
  return -1;
}

/* Clones with namespaces joined around it. The pid, or -1 (fail set). */
static pid_t give_birth_joined(struct birth *birth, int *pidfd) {
  struct executor *ex = birth->ex;
  struct joined joined;
  for (size_t i = 0; i < NAMESPACE_KINDS; i++) joined.own[i] = -1;
  pid_t pid = join_namespaces(ex, &birth->entry, &joined) == 0 ? give_birth(birth, pidfd) : -1;
  /* A process that can't go back would put its next child into a stranger's namespace. */
  if (leave_namespaces(ex, &joined) == 0) return pid;
  if (pid > 0) (void)sys_pidfd_send_signal(*pidfd, SIGKILL);
  return -1;
}

/* The process between: it joins the user namespace, and leaves its clone to our parent. */
static _Noreturn void live_between(struct birth *birth) {
  struct executor *ex = birth->ex;
  struct between *between = &birth->handover->between;
  ex->joined_user = true;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    (void)fail_sys(&ex->fail, "prctl", "PR_SET_DUMPABLE");
  else if (join_for_good(ex, &birth->entry) == 0)
    between->pid = give_birth(birth, &between->pidfd);
  if (between->pid > 0) _exit(0);
  between->pid = 0;
  between->fail = ex->fail;
  _exit(1);
}

/* The same where a user namespace is joined. *helper is the process that has to be reaped. */
static pid_t give_birth_between(const struct op_clone *op, struct birth *birth, int *pidfd, pid_t *helper) {
  struct executor *ex = birth->ex;
  struct between *between = &birth->handover->between;
  _cleanup_fd_ int ended = -1;
  /* It shares our descriptors, so that the clone's arrives here. */
  struct clone_args args = {.flags = CLONE_PARENT | CLONE_FILES | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&ended};
  *helper = sys_clone3(&args);
  if (*helper == 0) live_between(birth);
  if (*helper < 0) return fail_sys(&ex->fail, "clone3", op->key);
  if (process_ended(ended, -1) < 0) return fail_sys(&ex->fail, "poll", op->key);
  if (between->pid > 0) {
    *pidfd = between->pidfd;
    return between->pid;
  }
  ex->fail = between->fail;
  if (ex->fail.error == 0) (void)fail_msg(&ex->fail, ECHILD, op->key, "the process that was to join its user namespace was killed");
  return -1;
}

/* What the maker does for the new process; the child waits meanwhile. */
static int settle(const struct op_clone *op, const struct birth *birth, pid_t pid) {
  struct executor *ex = birth->ex;
  uint64_t start;
  if (joining_done(ex, op, &birth->joining, birth->other) != 0 || place_process(ex, op, pid, birth->born, &birth->joining) != 0) return -1;
  if (process_start_time(pid, &start) != 0) return fail_sys(&ex->fail, "read", "/proc/PID/stat");
  if (birth->touchable && send(birth->other, "m", 1, MSG_NOSIGNAL) != 1) return fail_sys(&ex->fail, "send", op->key);
  birth->self->pid = (uint64_t)pid;
  birth->self->start_time = start;
  ex->pid = pid;
  ex->start_time = start;
  return 0;
}

/* The parent's side. Takes the control socket over. */
static int make(const struct op_clone *op, struct birth *birth, struct buf *result) {
  struct executor *ex = birth->ex;
  _cleanup_fd_ int pidfd = -1;
  pid_t pid, helper = 0;
  if (entry_has_user(ex, &birth->entry)) {
    /* The root of that user namespace may not place anybody in the host's cgroups. */
    birth->cgroup = -1;
    birth->born = NOT_BORN;
    pid = give_birth_between(op, birth, &pidfd, &helper);
  } else {
    _cleanup_fd_ int cgroup = birth_cgroup(op, &birth->born);
    birth->cgroup = cgroup;
    if (!birth->touchable && joining_open(ex, op, birth->born, &birth->joining) != 0) return -1;
    pid = give_birth_joined(birth, &pidfd);
  }
  fd_close(&birth->control);
  if (pid < 0) return -1;
  if (settle(op, birth, pid) != 0 || buf_u32(result, (uint32_t)pid) != 0 || buf_u64(result, birth->self->start_time) != 0 ||
      buf_u32(result, (uint32_t)helper) != 0) {
    (void)sys_pidfd_send_signal(pidfd, SIGKILL);
    return -1;
  }
  if (ex->effects->process(ex->effects->home, op->key, pid, fd_steal(&pidfd), fd_steal(&birth->other)) == 0) return 1;
  /* Its end of the control socket is closed by now, which makes it leave. */
  return fail_sys(&ex->fail, "", op->key);
}

/* Zeroes that a child shares with us, so that each sees what the other writes into it later. NULL with errno. */
static void *share(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

/* What the process and we go on sharing while this plan runs. */
static int share_self(struct executor *ex) {
  if (ex->cloned != NULL) (void)munmap(ex->cloned, sizeof *ex->cloned);
  ex->cloned = share(sizeof *ex->cloned);
  if (ex->cloned == NULL) return -1;
  ex->cloned->listener = -1;
  return 0;
}

int run_clone(struct executor *ex, const struct op_clone *op, struct buf *result) {
  if (!can(ex, ex->effects->process != NULL)) return -1;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return fail_sys(&ex->fail, "socketpair", op->key);
  size_t size = sizeof(struct handover) + op->plan.len;
  struct handover *handover = share(size);
  struct birth birth = {.ex = ex, .handover = handover, .len = op->plan.len, .other = ends[0], .control = ends[1],
                        .flags = op->flags, .unshare_cgroup = (op->flags & CLONE_NEWCGROUP) != 0,
                        .of_user = geteuid() != 0, .touchable = op->uid_map[0] != '\0' && geteuid() != 0};
  for (size_t i = 0; i < JOIN_MAX; i++) birth.joining.tasks[i] = -1;
  int done = -1;
  if (handover == NULL || share_self(ex) != 0) {
    (void)fail_sys(&ex->fail, "mmap", op->key);
  } else if (entry_read(ex, op, &birth.entry) == 0) {
    birth.self = ex->cloned;
    if (op->plan.len > 0) memcpy(handover->plan, op->plan.data, op->plan.len);
    done = make(op, &birth, result);
  }
  if (handover != NULL) (void)munmap(handover, size);
  joining_close(&birth.joining);
  fd_close(&birth.control);
  fd_close(&birth.other);
  return done;
}
