/* What a process can get out of another one: each way that works is a line on standard output.
 *
 *   pry PID [READABLE]     READABLE: a file that PID's root has and ours has not */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/mount.h>

static const char *pid_text;

static const char *proc(const char *name) {
  static char path[4200];
  snprintf(path, sizeof path, "/proc/%s/%s", pid_text, name);
  return path;
}

static void reads(const char *name) {
  char byte;
  int fd = open(proc(name), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0 && read(fd, &byte, 1) == 1) printf("read %s\n", name);
  if (fd >= 0) close(fd);
}

static void follows(const char *name) {
  char target[4096];
  struct stat info;
  if (readlink(proc(name), target, sizeof target) >= 0) printf("readlink %s\n", name);
  if (stat(proc(name), &info) == 0) printf("stat %s\n", name);
}

/* The executable: writing to it, and taking the read-only mount it is on away. */
static void overwrites(void) {
  if (open(proc("exe"), O_WRONLY | O_CLOEXEC) >= 0) printf("write exe\n");
  int fd = open(proc("exe"), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  printf("open exe\n");
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (open(link, O_WRONLY | O_CLOEXEC) >= 0) printf("write exe again\n");
  struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
  if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0) printf("remount exe\n");
  if (mount(NULL, link, NULL, MS_REMOUNT | MS_BIND, NULL) == 0) printf("remount exe by name\n");
  int tree = (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  if (tree < 0) return;
  printf("clone exe\n");
  if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) return;
  snprintf(link, sizeof link, "/proc/self/fd/%d", tree);
  if (open(link, O_WRONLY | O_CLOEXEC) >= 0 || errno == ETXTBSY) printf("write clone of exe\n");
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  pid_text = argv[1];
  pid_t pid = (pid_t)strtol(pid_text, NULL, 10);
  struct stat info;
  if (pid <= 0 || stat(proc("stat"), &info) != 0) { /* a test that looked at nothing would always pass */
    printf("no process %s\n", pid_text);
    return 1;
  }
  static const char *const files[] = {"mem", "environ", "maps", "smaps", "auxv", "stack", "syscall", "io", "pagemap", "personality", "timers"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) reads(files[i]);
  static const char *const links[] = {"root", "cwd", "exe", "ns/mnt", "ns/pid", "ns/user", "ns/net"};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) follows(links[i]);
  for (int fd = 0; fd < 64; fd++) {
    char name[32];
    snprintf(name, sizeof name, "fd/%d", fd);
    follows(name);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) continue;
    if (syscall(SYS_pidfd_getfd, pidfd, fd, 0) >= 0) printf("pidfd_getfd %d\n", fd);
    close(pidfd);
  }
  if (argc > 2) {
    char name[4096];
    snprintf(name, sizeof name, "root%s", argv[2]);
    reads(name);
    snprintf(name, sizeof name, "cwd%s", argv[2]);
    reads(name);
  }
  overwrites();
  char byte;
  struct iovec to = {&byte, 1}, from = {(void *)0x400000, 1};
  if (process_vm_readv(pid, &to, 1, &from, 1, 0) >= 0 || errno == EFAULT) printf("process_vm_readv\n");
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) printf("ptrace seize\n");
  if (ptrace(PTRACE_ATTACH, pid, 0, 0) == 0) {
    printf("ptrace attach\n");
    (void)waitpid(pid, NULL, __WALL);
    (void)ptrace(PTRACE_DETACH, pid, 0, 0);
  }
  return 0;
}
