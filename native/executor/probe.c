/* What this host lets us do, found out by doing it: each probe in a process of its own, with which everything that it made goes. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/fd.h"
#include "../common/sys.h"
#include "bpf.h"
#include "paths.h"
#include "process.h"

#define LANDLOCK_VERSION 1u
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#define NO_FD 1000000 /* a descriptor that nobody has */

struct answer {
  uint32_t error;
  uint64_t value;
};

/* A system call that must fail, as nothing is given that it could work on: 0 where it fails by this errno, which means that it is there. */
static int expect(long got, int error) {
  if (got >= 0) return 0;
  if (errno == error) return 0;
  return -1;
}

/* A mount namespace of our own, in a user namespace where it takes one. */
static int own_mounts(void) {
  if (unshare(CLONE_NEWNS) == 0) return 0;
  return errno == EPERM ? unshare(CLONE_NEWUSER | CLONE_NEWNS) : -1;
}

static int probe_mount_tree(void) {
  if (own_mounts() != 0) return -1;
  return sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | AT_RECURSIVE);
}

static int probe_mount_attributes(uint64_t attr, uint64_t userns) {
  int tree = probe_mount_tree();
  struct mount_attr attributes = {.attr_set = attr, .userns_fd = userns};
  return tree < 0 ? -1 : sys_mount_setattr(tree, "", AT_EMPTY_PATH, &attributes);
}

/* A file system, made and attached. */
static int probe_mount_new(void) {
  if (own_mounts() != 0 || sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return -1;
  int fs = sys_fsopen("tmpfs");
  if (fs < 0 || sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) return -1;
  int mount = sys_fsmount(fs, 0), at = open("/", O_PATH | O_CLOEXEC);
  return mount < 0 || at < 0 ? -1 : sys_move_mount(mount, at);
}

static int probe_clone3(uint64_t flags) {
  struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD, .cgroup = NO_FD};
  long pid = syscall(SYS_clone3, &args, sizeof args); /* without what stands in for it */
  if (pid == 0) _exit(0);
  return (flags & CLONE_INTO_CGROUP) != 0 ? expect(pid, EBADF) : (int)pid;
}

/* The status of a child that has been reaped. */
static int probe_pidfd_exit(void) {
  struct {
    uint64_t mask, fields[6];
    uint32_t more[2];
  } info = {.mask = 8}; /* struct pidfd_info of Linux 6.15, PIDFD_INFO_EXIT */
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  int pidfd = pid < 0 ? -1 : sys_pidfd_open(pid);
  if (pidfd < 0 || waitpid(pid, NULL, 0) != pid || ioctl(pidfd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, sizeof info), &info) < 0) return -1;
  errno = ENOSYS;
  return (info.mask & 8) != 0 ? 0 : -1;
}

static int probe_pidfd_signal(void) {
  return expect(sys_pidfd_send_signal(NO_FD, 0), EBADF);
}

static int probe_program(uint32_t type, uint32_t attach) {
  /* r0 = 1; exit */
  struct bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 1}, {.code = BPF_JMP | BPF_EXIT}};
  return bpf_load(&(struct bpf_loading){"", type, attach, program, sizeof program});
}

/* EAGAIN: whoever listens there takes no more. Not waited for, as it might never. */
static int probe_connect(const struct sockaddr_un *to) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)to, sizeof *to);
}

static int probe_namespaces(uint64_t types) {
  if (unshare((int)types) == 0) return 0;
  return errno == EPERM && (types & CLONE_NEWUSER) == 0 ? unshare((int)types | CLONE_NEWUSER) : -1;
}

/* -1 with errno, or what it found. */
static long probe(const struct op_probe *op, const struct sockaddr_un *to) {
  uint32_t action = (uint32_t)op->argument;
  switch (op->what) {
    case PROBE_OPENAT2: return sys_openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS);
    case PROBE_MOUNT_TREE: return probe_mount_tree();
    case PROBE_MOUNT_ATTRIBUTES: return probe_mount_attributes(MOUNT_ATTR_RDONLY, 0);
    case PROBE_MOUNT_NEW: return probe_mount_new();
    case PROBE_MOUNT_IDMAP: return expect(probe_mount_attributes(MOUNT_ATTR_IDMAP, NO_FD), EBADF);
    case PROBE_CLONE3: return probe_clone3(op->argument);
    case PROBE_CLOSE_RANGE: return sys_close_range(~0u, ~0u, CLOSE_RANGE_CLOEXEC);
    case PROBE_EXECVEAT: return expect(sys_execveat(-1, ".", NULL, NULL, -1), EINVAL);
    case PROBE_MEMFD: return memfd_create("berth", MFD_CLOEXEC | (unsigned)op->argument);
    case PROBE_PIDFD_OPEN: return sys_pidfd_open(getpid());
    case PROBE_PIDFD_SIGNAL: return probe_pidfd_signal();
    case PROBE_PIDFD_EXIT: return probe_pidfd_exit();
    case PROBE_NAMESPACES: return probe_namespaces(op->argument);
    case PROBE_SECCOMP_ACTION: return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
    case PROBE_SECCOMP_FLAGS: return expect(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)op->argument, NULL), EFAULT);
    case PROBE_LANDLOCK: return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
    case PROBE_DEVICE_FILTER: return probe_program(BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE);
    case PROBE_NETWORK_FILTER: return probe_program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT);
    case PROBE_MEMORY_POLICY: return syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0);
    case PROBE_CONNECT: return probe_connect(to);
    default: errno = EINVAL; return -1;
  }
}

static int say(struct executor *ex, const struct answer *answer, struct buf *result) {
  return buf_u32(result, answer->error) == 0 && buf_u64(result, answer->value) == 0 ? 1 : fail_sys(&ex->fail, "mmap", "probe");
}

int run_probe(struct executor *ex, const struct op_probe *op, struct buf *result) {
  /* Copied: a child does not have the plan's memory. */
  struct sockaddr_un to;
  _cleanup_fd_ int dir = -1;
  if (unix_address(op->path, &to, &dir) != 0) return say(ex, &(struct answer){.error = (uint32_t)errno}, result);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_sys(&ex->fail, "pipe2", "probe");
  _cleanup_fd_ int reader = ends[0], writer = ends[1];
  pid_t pid = fork();
  if (pid < 0) return fail_sys(&ex->fail, "fork", "probe");
  if (pid == 0) {
    signals_reset();
    long found = probe(op, &to);
    struct answer said = {.error = found < 0 ? (uint32_t)errno : 0, .value = found < 0 ? 0 : (uint64_t)found};
    _exit(write(writer, &said, sizeof said) == (ssize_t)sizeof said ? 0 : 1);
  }
  fd_close(&writer);
  struct answer answer;
  ssize_t got;
  do got = read(reader, &answer, sizeof answer);
  while (got < 0 && errno == EINTR);
  pid_t ended;
  do ended = waitpid(pid, NULL, 0);
  while (ended < 0 && errno == EINTR);
  if (got != (ssize_t)sizeof answer) answer = (struct answer){.error = EPERM}; /* killed for asking */
  return say(ex, &answer, result);
}
