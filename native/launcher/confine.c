#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/arrange.h"
#include "../common/fd.h"
#include "../common/sys.h"
#include "../common/userns.h"
#include "../common/whole.h"
#include "../executor/process.h"
#include "confine_root.h"
#include "leave_cgroups.h"

#define LOG_LIMIT (1 << 20)
#define FILE_MAX (4 << 20) /* a container may make its worker say something with every call that it makes */
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)
#define FDS_MAX 64
enum { PID_TEXT = 32 };

/* What it is that is started, in messages. */
static const char *who = "";

/* Into the log: nobody waits for an answer any more. */
static _Noreturn void die(const char *what) {
  dprintf(2, "berth: %s: %s: %s\n", who, what, strerror(errno));
  _exit(1);
}

static void write_file(const char *path, const char *text) {
  _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
  /* Every one of these is a reset that may be refused to this user; what must not fail is checked by the caller. */
  if (fd >= 0 && write(fd, text, strlen(text)) < 0) return;
}

static void reset_attributes(void) {
  umask(077);
  for (int s = 1; s < _NSIG; s++) (void)signal(s, SIG_DFL); /* KILL and STOP refuse */
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, NULL);
  (void)setpriority(PRIO_PROCESS, 0, 0);
  struct sched_param normal = {0};
  (void)sched_setscheduler(0, SCHED_OTHER, &normal);
  unsigned long all[128];
  memset(all, 0xff, sizeof all);
  (void)syscall(SYS_sched_setaffinity, 0, sizeof all, all);
  (void)syscall(SYS_ioprio_set, 1, 0, 0);
  (void)personality(PER_LINUX);
  (void)prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0);
  write_file("/proc/self/oom_score_adj", "0");
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  struct rlimit core = {0, 0}; /* requests carry secrets */
  (void)setrlimit(RLIMIT_CORE, &core);
  (void)syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
}

/* The log is the one file that a worker can write to. Node ignores the signal (SIGXFSZ), and what it would write beyond is lost. */
static void bound_log(void) {
  struct rlimit size = {FILE_MAX, FILE_MAX};
  if (setrlimit(RLIMIT_FSIZE, &size) != 0) die("rlimit");
}

static void drop_privileges(void) {
  const unsigned long secure = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                               SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  /* Without CAP_SETPCAP there is nothing in the bounding set that could ever be gained: no_new_privs below is enough. */
  if (prctl(PR_SET_SECUREBITS, secure) == 0)
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap) == 0; cap++) {}
  (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct nothing[2] = {0};
  if (syscall(SYS_capset, &head, nothing) < 0) die("capset");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) die("no_new_privs");
}

/* False where this user may not have them. */
static bool own_namespaces(bool network) {
  unsigned uid = geteuid(), gid = getegid();
  int wanted = NAMESPACES | (network ? CLONE_NEWNET : 0);
  if (unshare(wanted) == 0) return true;
  if (unshare(CLONE_NEWUSER | wanted) < 0) return false;
  char map[64];
  write_file("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "%u %u 1", uid, uid);
  write_file("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "%u %u 1", gid, gid);
  write_file("/proc/self/gid_map", map);
  return true;
}

/* What this process is to whoever started it: it can't find out once it has a /proc of its own. */
static void outer_pid(char text[PID_TEXT]) {
  char target[16];
  ssize_t n = readlink("/proc/self", target, sizeof target - 1);
  target[n > 0 ? n : 0] = 0;
  snprintf(text, PID_TEXT, "BERTH_PID=%s", n > 0 ? target : "0");
}

static _Noreturn void run_node(const struct install *in, const struct confined *what, int ask, bool namespaces, bool of_host) {
  char pid[PID_TEXT];
  outer_pid(pid);
  if (namespaces && confine_root(in, what->scratch) < 0) {
    /* What an unprivileged user may mount depends on the host (mounts that are locked, say). Its controller has no more rights than
     * its caller in any case, and goes on; that of the host's root does not. */
    if (of_host) die(confine_root_failed());
    dprintf(2, "berth: %s: no root file system of its own: %s: %s\n", who, confine_root_failed(), strerror(errno));
    (void)umount2(what->scratch, MNT_DETACH);
    if (chdir("/") < 0) die("/");
  }
  if (!namespaces) dprintf(2, "berth: %s: no namespaces of its own: not permitted here\n", who);
  drop_privileges();
  /* Between a change of rights, which would undo it, and the filter, which refuses it. */
  if (what->bound && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) die("pdeathsig");
  const char *failed;
  if (what->rules && confine_enter(in, what->rules, ask, &failed) < 0) die(failed);
  /* A file that is not there: the host's is not its own, and where Landlock keeps it from that one, Node would not start. */
  char openssl[PATH_MAX + 32];
  (void)snprintf(openssl, sizeof openssl, "OPENSSL_CONF=%s/none", in->dist);
  /* MALLOC_*: freed memory goes back to the kernel, also what V8's helper threads took; not by small steps that are taken back at once. */
  char *env[] = {openssl, "PATH=", "HOME=/", "LANG=C.UTF-8", "MALLOC_ARENA_MAX=1", "MALLOC_TRIM_THRESHOLD_=131072", "MALLOC_TOP_PAD_=524288", pid, NULL};
  execve(in->node, (char *const *)(uintptr_t)what->argv, env);
  die(in->node);
}

/* A new log where the old one has grown long. */
static int open_log(const char *path) {
  _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  struct stat st;
  if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > LOG_LIMIT && ftruncate(fd, 0) < 0) return -1;
  return fd_steal(&fd);
}

static char handed_down[16];

const char *confine_idle(void) {
  const char *set = *handed_down ? handed_down : getenv("BERTH_CONTROLLER_IDLE");
  return set && *set && strspn(set, "0123456789") == strlen(set) && strlen(set) < 8 ? set : "300";
}

void confine_idle_is(const char *seconds) { (void)snprintf(handed_down, sizeof handed_down, "%s", seconds); }

/* Makes `out` 1 and 2, the null device 0, what is given 3 and up; all others go. */
static int arrange(const struct confined *what, int null, int out) {
  int from[3 + FDS_MAX] = {null, out, out};
  for (size_t i = 0; i < what->count; i++) from[3 + i] = what->fds[i];
  return arrange_fds(0, from, 3 + what->count, 3 + what->count);
}

/* Between who starts and what is started, which ends with us as we end with its starter. */
static void outlive(pid_t starter, pid_t pid) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != starter) _exit(1);
  (void)sys_close_range(0, ~0u, 0);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}

int confine_start(const struct install *in, const struct confined *what) {
  if (what->count > FDS_MAX) {
    errno = EINVAL;
    return -1;
  }
  pid_t starter = getpid(), first = what->of_container ? fork() : fork_outside_cgroups();
  if (first < 0) return -1;
  if (first == 0) {
    who = what->who;
    int out = open_log(what->log), null = open("/dev/null", O_RDONLY);
    if (out < 0 || null < 0 || setsid() < 0) _exit(1);
    if (arrange(what, null, out) != 0) die(errno == ENOSYS ? "close_range" : "descriptors"); /* the only call of it that may be missing */
    if (chdir("/") < 0) die("/");
    reset_attributes();
    if (what->of_container) bound_log();
    bool of_host = geteuid() == 0 && initial_user_namespace();
    bool namespaces = own_namespaces(!what->of_container || what->alone);
    int ask[2] = {-1, -1};
    if (what->rules && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ask) < 0) die("socketpair");
    int known[2] = {-1, -1};
    if (what->record && pipe2(known, O_CLOEXEC) < 0) die("pipe2");
    pid_t second = fork(); /* the first process of the new pid namespace */
    if (second == 0) {
      fd_close(&known[1]);
      /* It is known by then, or whoever was to see to that is gone. */
      if (what->record && !read_byte(known[0])) _exit(1);
      run_node(in, what, ask[1], namespaces, of_host);
    }
    fd_close(&ask[1]);
    if (second > 0 && what->record && (process_record(second, what->record) != 0 || write(known[1], "k", 1) != 1)) die(what->record);
    if (second > 0 && what->rules) confine_answer(ask[0]);
    if (second > 0 && what->bound) outlive(starter, second);
    _exit(second < 0 ? 1 : 0);
  }
  if (what->bound) return 0;
  int status;
  pid_t got;
  do got = waitpid(first, &status, 0);
  while (got < 0 && errno == EINTR);
  if (got == first && WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  errno = got < 0 ? errno : EAGAIN;
  return -1;
}
