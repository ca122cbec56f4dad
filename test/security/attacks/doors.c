/* Tries the same thing through each way that the kernel has for it, and prints a line for each: its name, and "open" or the errno.
 *
 *   doors read PATH            opens the file; `write` the same, for writing
 *   doors execute PATH         executes it (it has to end with 0)
 *   doors abstract NAME        connects and sends to the abstract sockets that `doors listen NAME` has, until it is killed
 *   doors signal PID           signal 0 to a process
 *   doors mkdir PATH           makes a directory, and removes it again
 *   doors chmod PATH MODE      MODE: octal */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "ways.h"

struct subject {
  const char *path;
  int flags;
  mode_t mode;
};

static long by_open(void *subject) {
  const struct subject *s = subject;
  int fd = open(s->path, s->flags);
  return fd < 0 ? -1 : done(fd, 0);
}

/* What opened it, which is closed. */
static void tell_open(const char *door, long fd) {
  tell(door, fd < 0 ? fd : done((int)fd, 0));
}

static void opens(struct subject *s) {
  struct open_how how = {.flags = (uint64_t)s->flags};
  struct io_uring_sqe request = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uint64_t)(uintptr_t)s->path, .open_flags = (uint32_t)s->flags};
  tell_open("openat", syscall(SYS_openat, AT_FDCWD, s->path, s->flags));
  tell_open("openat2", syscall(SYS_openat2, AT_FDCWD, s->path, &how, sizeof how));
  tell_open("io_uring", by_uring(&request));
#ifdef __x86_64__
  long path = (long)low(s->path, strlen(s->path) + 1);
  tell_open("open", syscall(SYS_open, s->path, s->flags));
  tell_open("int80", int80(5, path, s->flags, 0, 0));
  tell_open("x32", x32(SYS_open, (long)s->path, s->flags, 0, 0));
#endif
}

/* Executes in a child that can say why it did not. */
static long in_child(long (*execute)(const struct subject *), const struct subject *s) {
  pid_t child = fork();
  if (child == 0) {
    execute(s);
    _exit(errno);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) exit(3);
  return kernels(-WEXITSTATUS(status));
}

static char *const no_arguments[] = {"true", NULL};
static long by_execve(const struct subject *s) {
  return execve(s->path, no_arguments, no_arguments + 1);
}
static long by_execveat(const struct subject *s) {
  return syscall(SYS_execveat, AT_FDCWD, s->path, no_arguments, no_arguments + 1, 0);
}
static long by_descriptor(const struct subject *s) {
  int fd = open(s->path, O_PATH);
  return fd < 0 ? -1 : syscall(SYS_execveat, fd, "", no_arguments, no_arguments + 1, AT_EMPTY_PATH);
}
#ifdef __x86_64__
static long by_int80_execve(const struct subject *s) {
  uint32_t list[] = {(uint32_t)(uintptr_t)low("true", 5), 0};
  long arguments = (long)low(list, sizeof list);
  return int80(11, (long)low(s->path, strlen(s->path) + 1), arguments, arguments + 4, 0);
}
static long by_x32_execve(const struct subject *s) {
  return syscall(0x40000000 | 520, s->path, no_arguments, no_arguments + 1);
}
#endif
static long execute(void *subject) {
  return in_child(by_execve, subject);
}

static void executes(const struct subject *s) {
  tell("execve", in_child(by_execve, s));
  tell("execveat", in_child(by_execveat, s));
  tell("descriptor", in_child(by_descriptor, s));
#ifdef __x86_64__
  tell("int80", in_child(by_int80_execve, s));
  tell("x32", in_child(by_x32_execve, s));
#endif
}

static struct sockaddr_un abstract_address(const char *name, socklen_t *len) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path + 1, name, sizeof address.sun_path - 2);
  *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  return address;
}

static int socket_of(int type) {
  int fd = socket(AF_UNIX, type, 0);
  if (fd < 0) exit(3);
  return fd;
}

static long abstract(void *subject) {
  socklen_t len;
  struct sockaddr_un address = abstract_address(((const struct subject *)subject)->path, &len);
  int fd = socket_of(SOCK_STREAM);
  return done(fd, connect(fd, (struct sockaddr *)&address, len));
}

/* NAME is a stream socket's, NAME.datagrams that of another. */
static void abstracts(const struct subject *s) {
  socklen_t len, dlen;
  char other[64];
  snprintf(other, sizeof other, "%s.datagrams", s->path);
  struct sockaddr_un address = abstract_address(s->path, &len), datagrams = abstract_address(other, &dlen);
  struct iovec data = {.iov_base = (char[]){'x'}, .iov_len = 1};
  struct mmsghdr message = {.msg_hdr = {.msg_name = &datagrams, .msg_namelen = dlen, .msg_iov = &data, .msg_iovlen = 1}};
  tell("connect", abstract((void *)(uintptr_t)s));
  int fd = socket_of(SOCK_DGRAM);
  tell("datagram", done(fd, connect(fd, (struct sockaddr *)&datagrams, dlen)));
  fd = socket_of(SOCK_DGRAM);
  tell("sendto", done(fd, sendto(fd, "x", 1, 0, (struct sockaddr *)&datagrams, dlen)));
  fd = socket_of(SOCK_DGRAM);
  tell("sendmsg", done(fd, sendmsg(fd, &message.msg_hdr, 0)));
  fd = socket_of(SOCK_DGRAM);
  tell("sendmmsg", done(fd, sendmmsg(fd, &message, 1, 0)));
  fd = socket_of(SOCK_STREAM);
  struct io_uring_sqe request = {.opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uint64_t)(uintptr_t)&address, .off = len};
  tell("io_uring", done(fd, by_uring(&request)));
#ifdef __x86_64__
  long copy = (long)low(&address, sizeof address);
  fd = socket_of(SOCK_STREAM);
  tell("int80", done(fd, int80(362, fd, copy, len, 0)));
  uint32_t list[] = {(uint32_t)socket_of(SOCK_STREAM), (uint32_t)copy, len};
  tell("socketcall", done((int)list[0], int80(102, 3, (long)low(list, sizeof list), 0, 0)));
  fd = socket_of(SOCK_STREAM);
  tell("x32", done(fd, x32(SYS_connect, fd, (long)&address, len, 0)));
#endif
}

static int listen_at(const char *name) {
  socklen_t len;
  struct sockaddr_un address = abstract_address(name, &len);
  int fd = socket_of(SOCK_STREAM);
  if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 64) != 0) return 3;
  char other[64];
  snprintf(other, sizeof other, "%s.datagrams", name);
  address = abstract_address(other, &len);
  if (bind(socket_of(SOCK_DGRAM), (struct sockaddr *)&address, len) != 0) return 3;
  puts("listening");
  fflush(stdout);
  for (;;) pause();
}

static long by_kill(void *subject) {
  return kill(atoi(((const struct subject *)subject)->path), 0);
}

static void signals(const struct subject *s) {
  pid_t pid = atoi(s->path);
  siginfo_t info = {.si_code = SI_QUEUE};
  tell("kill", kill(pid, 0));
  tell("tkill", syscall(SYS_tkill, pid, 0));
  tell("tgkill", syscall(SYS_tgkill, pid, pid, 0));
  tell("sigqueue", syscall(SYS_rt_sigqueueinfo, pid, 0, &info));
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  tell("pidfd", fd < 0 ? fd : done(fd, syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0)));
#ifdef __x86_64__
  tell("int80", int80(37, pid, 0, 0, 0));
  tell("x32", x32(SYS_kill, pid, 0, 0, 0));
#endif
}

static long directory(long result, const char *path) {
  if (result >= 0 && rmdir(path) != 0) exit(3);
  return result;
}

static long by_mkdirat(void *subject) {
  const struct subject *s = subject;
  return directory(syscall(SYS_mkdirat, AT_FDCWD, s->path, 0700), s->path);
}

static void directories(const struct subject *s) {
  struct io_uring_sqe request = {.opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, .addr = (uint64_t)(uintptr_t)s->path, .len = 0700};
  tell("mkdirat", by_mkdirat((void *)(uintptr_t)s));
  tell("io_uring", directory(by_uring(&request), s->path));
#ifdef __x86_64__
  long path = (long)low(s->path, strlen(s->path) + 1);
  tell("mkdir", directory(syscall(SYS_mkdir, s->path, 0700), s->path));
  tell("int80", directory(int80(39, path, 0700, 0, 0), s->path));
  tell("int80-at", directory(int80(296, AT_FDCWD, path, 0700, 0), s->path));
  tell("x32", directory(x32(SYS_mkdir, (long)s->path, 0700, 0, 0), s->path));
#endif
}

static long by_fchmodat(void *subject) {
  const struct subject *s = subject;
  return syscall(SYS_fchmodat, AT_FDCWD, s->path, s->mode);
}

static void modes(const struct subject *s) {
  tell("fchmodat", by_fchmodat((void *)(uintptr_t)s));
  tell("above", syscall(SYS_fchmodat, AT_FDCWD, s->path, (1L << 32) | s->mode));
#ifdef __x86_64__
  long path = (long)low(s->path, strlen(s->path) + 1);
  tell("int80", int80(306, AT_FDCWD, path, s->mode, 0));
  tell("x32", x32(SYS_fchmodat, AT_FDCWD, (long)s->path, s->mode, 0));
#endif
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*doors)(struct subject *);
    attempt *act;
    int flags;
  } kinds[] = {
      {"read", opens, by_open, O_RDONLY},
      {"write", opens, by_open, O_WRONLY},
      {"execute", (void (*)(struct subject *))executes, execute, 0},
      {"abstract", (void (*)(struct subject *))abstracts, abstract, 0},
      {"signal", (void (*)(struct subject *))signals, by_kill, 0},
      {"mkdir", (void (*)(struct subject *))directories, by_mkdirat, 0},
      {"chmod", (void (*)(struct subject *))modes, by_fchmodat, 0},
  };
  int again = argc > 1 && strcmp(argv[1], "again") == 0;
  char **words = argv + 1 + again;
  if (argc < 3 + again) return 2;
  if (strcmp(words[0], "listen") == 0) return listen_at(words[1]);
  struct subject s = {.path = words[1], .mode = words[2] ? (mode_t)strtol(words[2], NULL, 8) : 0};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(words[0], kinds[i].name) != 0) continue;
    s.flags = kinds[i].flags;
    if (again) return tell("exec", kinds[i].act(&s)), 0;
    kinds[i].doors(&s);
    tell_elsewhere(kinds[i].act, &s, (char *[]){argv[0], "again", words[0], words[1], words[2], NULL});
    return 0;
  }
  return 2;
}
