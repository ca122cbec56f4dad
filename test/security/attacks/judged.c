/* What programs expect of calls that somebody else makes in their stead, and what they could get by it. Prints a line for each: its name, and "open"
 * or the errno.
 *
 *   judged rights              files: as root without most of its rights, and as another user
 *   judged aliases             /data/secret by other names
 *   judged execs PATH          a program by each way to execute it
 *   judged unix                UNIX sockets
 *   judged crowd PATH COUNT    so many threads open the file at the same time
 *   judged race-open ROUNDS    opens while a thread rewrites the path from /data/open to /data/secret
 *   judged race-execve ROUNDS  executes while a thread rewrites it from /judged to /data/evil, a copy
 *   judged race-script ROUNDS  executes a link while a process turns it from the script /data/ok to the script /data/evil, and to what runs both */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, int result) {
  printf("%s %s\n", what, result >= 0 ? "open" : strerrorname_np(errno));
  fflush(stdout);
}

static void opens(const char *what, int dir, const char *path, int flags) {
  int fd = openat(dir, path, flags, 0666);
  tell(what, fd);
  if (fd >= 0) close(fd);
}

static int open2(int dir, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static void created(void) {
  struct stat info;
  umask(027);
  int fd = open("/data/new", O_CREAT | O_WRONLY | O_EXCL, 0666);
  if (fd < 0 || fstat(fd, &info) != 0) exit(2);
  printf("created %04o %u %u\n", info.st_mode & 07777, info.st_uid, info.st_gid);
  if (write(fd, "text", 4) != 4 || close(fd) != 0) exit(2);
  fd = open("/data/new", O_WRONLY | O_TRUNC);
  if (fd < 0 || fstat(fd, &info) != 0) exit(2);
  printf("truncated %ld\n", (long)info.st_size);
  close(fd);
}

static void own_descriptor(void) {
  int pair[2];
  char byte = 0, path[64];
  if (pipe(pair) != 0) exit(2);
  snprintf(path, sizeof path, "/proc/self/fd/%d", pair[1]);
  int fd = open(path, O_WRONLY);
  if (fd >= 0 && (write(fd, "x", 1) != 1 || read(pair[0], &byte, 1) != 1 || byte != 'x')) exit(2);
  tell("own-descriptor", fd);
}

static void close_on_exec(void) {
  int one = open("/data/open", O_RDONLY | O_CLOEXEC), other = open("/data/open", O_RDONLY);
  printf("cloexec %d %d\n", fcntl(one, F_GETFD), fcntl(other, F_GETFD));
}

/* What the container's cgroup does not allow, whatever its node's permissions are. */
static void devices(void) {
  static const char *const all[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/ptmx"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    int fd = open(all[i], O_RDWR | O_NOCTTY);
    if (fd < 0) {
      printf("%s: ", all[i]);
      tell("devices", fd);
      return;
    }
    close(fd);
  }
  tell("devices", 0);
  /* Memory of the machine is nobody's here; loop devices are there on every kernel. */
  if (mknod("/data/disk", S_IFBLK | 0600, makedev(7, 0)) != 0) exit(3);
  opens("host-disk", AT_FDCWD, "/data/disk", O_RDONLY);
}

static void *read_fifo(void *none) {
  (void)none;
  return (void *)(intptr_t)open("/data/fifo", O_RDONLY);
}

/* Each open waits for the other. */
static void fifo(void) {
  pthread_t thread;
  void *reader;
  if (mkfifo("/data/fifo", 0600) != 0 || pthread_create(&thread, NULL, read_fifo, NULL) != 0) exit(2);
  int writer = open("/data/fifo", O_WRONLY);
  if (pthread_join(thread, &reader) != 0) exit(2);
  tell("fifo", writer >= 0 ? (int)(intptr_t)reader : writer);
}

static int in_child(void (*what)(void)) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    what();
    _exit(0);
  }
  return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static void new_root(void) {
  if (chroot("/data") != 0) return tell("chroot", 0); /* it takes a right that is not there */
  opens("chroot", AT_FDCWD, "/open", O_RDONLY);
}

static void other_user(void) {
  struct stat info;
  if (setgid(1000) != 0 || setuid(1000) != 0) exit(2);
  opens("user", AT_FDCWD, "/data/open", O_RDONLY);
  opens("user-other", AT_FDCWD, "/data/mine", O_RDONLY);
  int fd = open("/data/users", O_CREAT | O_WRONLY, 0600);
  if (fd < 0 || fstat(fd, &info) != 0) exit(2);
  printf("user-created %u\n", info.st_uid);
  fflush(stdout);
}

/* Root of a user namespace of its own has no right to more than its user has. */
static void nested_root(void) {
  if (setgid(1000) != 0 || setuid(1000) != 0 || unshare(CLONE_NEWUSER) != 0) exit(2);
  opens("unmapped", AT_FDCWD, "/data/open", O_RDONLY);
  if (prctl(PR_SET_DUMPABLE, 1) != 0) exit(2); /* after a change of ids the file is root's */
  int map = open("/proc/self/uid_map", O_WRONLY);
  tell("uid-map", map >= 0 && write(map, "0 1000 1", 8) == 8 ? 0 : -1);
  opens("nested-root", AT_FDCWD, "/data/open", O_RDONLY);
  opens("nested-root-other", AT_FDCWD, "/data/mine", O_RDONLY);
}

/* A symlink of somebody else's in a directory where everybody may make some. */
static void planted(void) {
  if (setgid(2000) != 0 || setuid(2000) != 0) exit(2);
  opens("planted", AT_FDCWD, "/data/sticky/link", O_RDONLY);
}
static void plants(void) {
  if (setuid(1000) != 0 || symlink("/data/open", "/data/sticky/link") != 0) exit(2);
}

static void rights(void) {
  int dir = open("/data", O_RDONLY | O_DIRECTORY), path = open("/data", O_PATH);
  if (chdir("/data") != 0) exit(2);
  opens("relative", AT_FDCWD, "open", O_RDONLY);
  opens("at", path, "open", O_RDONLY);
  opens("above-the-root", dir, "../../../data/open", O_RDONLY);
  opens("missing", AT_FDCWD, "/data/none", O_RDONLY);
  opens("no-directory", AT_FDCWD, "/data/open/x", O_RDONLY);
  opens("nofollow", AT_FDCWD, "/data/link", O_RDONLY | O_NOFOLLOW);
  opens("exclusive", AT_FDCWD, "/data/link", O_WRONLY | O_CREAT | O_EXCL);
  opens("directory", AT_FDCWD, "/data", O_WRONLY);
  created();
  opens("self", AT_FDCWD, "/proc/self/status", O_RDONLY);
  opens("thread-self", AT_FDCWD, "/proc/thread-self/status", O_RDONLY);
  own_descriptor();
  close_on_exec();
  devices();
  opens("tmpfile", AT_FDCWD, "/data", O_TMPFILE | O_RDWR);
  fifo();
  if (in_child(new_root) != 0) exit(2);
  tell("beneath", open2(dir, "../data/open", O_RDONLY, RESOLVE_BENEATH));
  tell("in-root", open2(dir, "/open", O_RDONLY, RESOLVE_IN_ROOT));
  if (in_child(other_user) != 0 || in_child(nested_root) != 0) exit(2);
  if (mkdir("/data/sticky", 0700) != 0 || chmod("/data/sticky", 01777) != 0 || in_child(plants) != 0 || in_child(planted) != 0) exit(2);
  struct rlimit few = {.rlim_cur = 3, .rlim_max = 3};
  if (setrlimit(RLIMIT_NOFILE, &few) != 0) exit(2);
  opens("too-many", AT_FDCWD, "/data/open", O_RDONLY);
}

static void in_jail(void) {
  if (chroot("/data") != 0 || chdir("/") != 0) exit(2);
  opens("chroot-allowed", AT_FDCWD, "/open", O_RDONLY);
  opens("chroot", AT_FDCWD, "/secret", O_RDONLY);
  opens("chroot-above", AT_FDCWD, "../../secret", O_RDONLY);
  opens("chroot-link", AT_FDCWD, "/up", O_RDONLY);
}

static void in_namespaces(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return tell("mount", -1);
  tell("mount", mount("/data", "/tmp", NULL, MS_BIND, NULL));
  tell("open_tree", (int)syscall(SYS_open_tree, AT_FDCWD, "/data", 1));
  tell("fsopen", (int)syscall(SYS_fsopen, "overlay", 0));
}

static void aliases(void) {
  char path[64];
  int dir = open("/data", O_PATH), link = open("/data/secret", O_PATH);
  if (symlink("/../secret", "/data/up") != 0) exit(2);
  opens("dot-dot", AT_FDCWD, "/data/../data/./secret", O_RDONLY);
  opens("slashes", AT_FDCWD, "//data//secret", O_RDONLY);
  opens("directory", dir, "secret", O_RDONLY);
  snprintf(path, sizeof path, "/proc/self/fd/%d", link);
  opens("descriptor", AT_FDCWD, path, O_RDONLY);
  snprintf(path, sizeof path, "/proc/self/fd/%d/secret", dir);
  opens("below-descriptor", AT_FDCWD, path, O_RDONLY);
  opens("proc-root", AT_FDCWD, "/proc/self/root/data/secret", O_RDONLY);
  opens("other-root", AT_FDCWD, "/proc/1/root/data/secret", O_RDONLY);
  if (chdir("/data") != 0) exit(2);
  opens("cwd", AT_FDCWD, "/proc/self/cwd/secret", O_RDONLY);
  opens("thread-cwd", AT_FDCWD, "/proc/thread-self/cwd/secret", O_RDONLY);
  if (in_child(in_jail) != 0 || in_child(in_namespaces) != 0) exit(2);
}

static char *arguments[] = {"judged", "executed", NULL};
static char *environment[] = {NULL};
static const char *program;

static void by_execve(void) { execve(program, arguments, environment); }
static void by_execveat(void) { execveat(open("/", O_PATH), program + 1, arguments, environment, 0); }
static void by_empty_path(void) { execveat(open(program, O_PATH), "", arguments, environment, AT_EMPTY_PATH); }
static void by_proc(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", open(program, O_PATH));
  execve(path, arguments, environment);
}
static void *thread_executes(void *none) {
  by_execve();
  int error = errno;
  (void)none;
  return (void *)(intptr_t)error;
}
static void by_thread(void) {
  pthread_t thread;
  void *error;
  if (pthread_create(&thread, NULL, thread_executes, NULL) != 0 || pthread_join(thread, &error) != 0) exit(2);
  errno = (int)(intptr_t)error;
}
#ifdef __x86_64__
static void by_int80(void) {
  char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) exit(2);
  uint32_t *vector = (uint32_t *)(void *)(low + 256);
  strcpy(low, program);
  strcpy(low + 128, "judged");
  strcpy(low + 192, "executed");
  vector[0] = (uint32_t)(uintptr_t)(low + 128);
  vector[1] = (uint32_t)(uintptr_t)(low + 192);
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(11), "b"(low), "c"(vector), "d"(vector + 2) : "memory", "r8", "r9", "r10", "r11");
  errno = -result;
}
#endif

/* The program says by its status that it was executed: any but the one that says that it was not. */
static void executes(const char *what, void (*how)(void), int vforked) {
  int status, pair[2], error = 0;
  if (pipe2(pair, O_CLOEXEC) != 0) exit(2);
  pid_t pid = vforked ? vfork() : fork();
  if (pid == 0) {
    how();
    error = errno;
    if (write(pair[1], &error, sizeof error) < 0) _exit(3);
    _exit(3);
  }
  close(pair[1]);
  if (pid < 0 || waitpid(pid, &status, 0) != pid) exit(2);
  errno = 0;
  if (read(pair[0], &error, sizeof error) == sizeof error) errno = error;
  close(pair[0]);
  printf("%s %s\n", what, errno != 0 ? strerrorname_np(errno) : WIFEXITED(status) ? "executed" : "killed");
  fflush(stdout);
}

static void execs(const char *path) {
  program = path;
  int null = open("/dev/null", O_RDWR), out = dup(1);
  (void)out;
  dup2(null, 2);
  executes("execve", by_execve, 0);
  executes("execveat", by_execveat, 0);
  executes("empty-path", by_empty_path, 0);
  executes("proc-self-fd", by_proc, 0);
  executes("thread", by_thread, 0);
  executes("vfork", by_execve, 1);
#ifdef __x86_64__
  executes("int80", by_int80, 0);
#endif
}

static socklen_t named(struct sockaddr_un *address, const char *name) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (*name != '@') {
    strcpy(address->sun_path, name);
    return sizeof *address;
  }
  strcpy(address->sun_path + 1, name + 1);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
}

static int bound(int type, const char *name) {
  struct sockaddr_un address;
  socklen_t len = named(&address, name);
  int fd = socket(AF_UNIX, type, 0);
  if (bind(fd, (struct sockaddr *)&address, len) != 0) return -1;
  if (type == SOCK_STREAM && listen(fd, 16) != 0) exit(2);
  return fd;
}

static int connected(const char *name) {
  struct sockaddr_un address;
  socklen_t len = named(&address, name);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr *)&address, len) == 0 ? fd : -1;
}

/* A datagram to a path, with a descriptor and who it is from. */
static void datagrams(void) {
  int to = bound(SOCK_DGRAM, "/data/dgram"), yes = 1, fd = socket(AF_UNIX, SOCK_DGRAM, 0), given = open("/data/open", O_RDONLY);
  struct sockaddr_un address;
  socklen_t len = named(&address, "/data/dgram");
  char byte = 'x', room[256];
  if (to < 0 || setsockopt(to, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0) exit(2);
  tell("datagram", (int)sendto(fd, &byte, 1, 0, (struct sockaddr *)&address, len));
  if (recv(to, &byte, 1, 0) != 1) exit(2);
  union {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.room = {0}};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_name = &address, .msg_namelen = len, .msg_iov = &data, .msg_iovlen = 1,
                           .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof given)};
  memcpy(CMSG_DATA(header), &given, sizeof given);
  if (sendmsg(fd, &message, 0) != 1) return tell("rights", -1);
  message = (struct msghdr){.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  if (recvmsg(to, &message, 0) != 1) exit(2);
  int got = -1;
  struct ucred ids = {.uid = 77};
  for (header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_type == SCM_RIGHTS) memcpy(&got, CMSG_DATA(header), sizeof got);
    if (header->cmsg_type == SCM_CREDENTIALS) memcpy(&ids, CMSG_DATA(header), sizeof ids);
  }
  tell("rights", got >= 0 && read(got, room, 4) == 4 && memcmp(room, "open", 4) == 0 ? 0 : -1);
  printf("ids %u %u\n", ids.uid, ids.gid);
  fflush(stdout);
}

static void unix_sockets(void) {
  tell("bind", bound(SOCK_STREAM, "/data/yes"));
  tell("bind-refused", bound(SOCK_STREAM, "/data/no"));
  tell("bind-again", bound(SOCK_STREAM, "/data/yes"));
  if (symlink("/data/yes", "/data/yes-link") != 0) exit(2);
  tell("connect", connected("/data/yes"));
  tell("connect-link", connected("/data/yes-link"));
  if (bound(SOCK_STREAM, "@yes") < 0) exit(2);
  tell("abstract", connected("@yes"));
  tell("abstract-refused", connected("@no"));
  datagrams();
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  tell("disconnect", connect(fd, &none, sizeof none));
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  tell("netlink", bind(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), (struct sockaddr *)&kernel, sizeof kernel));
}

static const char *crowded;
static pthread_barrier_t together;
static _Atomic int opened;
static void *joins(void *none) {
  pthread_barrier_wait(&together);
  if (open(crowded, O_RDONLY) >= 0) opened++;
  return none;
}

static void crowd(const char *path, int count) {
  pthread_t *threads = calloc((size_t)count, sizeof *threads);
  pthread_attr_t small;
  crowded = path;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  pthread_barrier_init(&together, NULL, (unsigned)count);
  for (int i = 0; i < count; i++)
    if (pthread_create(&threads[i], &small, joins, NULL) != 0) exit(2);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  printf("opened %d of %d\n", opened, count);
}

static char path[64] __attribute__((aligned(64)));
static const char *first, *second;
static volatile int racing = 1;
static void *rewrites(void *none) {
  while (racing) {
    memcpy(path, first, strlen(first) + 1);
    memcpy(path, second, strlen(second) + 1);
  }
  return none;
}

static pthread_t rewriter(const char *one, const char *other) {
  pthread_t thread;
  first = one;
  second = other;
  strcpy(path, first);
  if (pthread_create(&thread, NULL, rewrites, NULL) != 0) exit(2);
  return thread;
}

static void outcome(pthread_t thread, long through, long refusals, long rounds) {
  racing = 0;
  pthread_join(thread, NULL);
  printf("through %ld\nrefused %s\n", through, refusals > 0 && refusals < rounds ? "some" : "all or none");
}

static void race_open(long rounds) {
  pthread_t thread = rewriter("/data/open", "/data/secret");
  long through = 0, refusals = 0;
  for (long i = 0; i < rounds; i++) {
    char byte = 0;
    int fd = open(path, O_RDONLY);
    if (fd < 0) refusals++;
    else if (read(fd, &byte, 1) == 1 && byte == 's') through++;
    if (fd >= 0) close(fd);
  }
  outcome(thread, through, refusals, rounds);
}

/* The memory is shared by processes, so that the one that executes does not take the one that rewrites along. */
static void race_execve(long rounds) {
  char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  static char *const args[] = {"judged", "which", NULL};
  long through = 0, refusals = 0;
  strcpy(shared, "/judged");
  pid_t rewriting = fork();
  if (rewriting == 0)
    for (;;) {
      strcpy(shared, "/judged");
      strcpy(shared, "/data/evil");
    }
  for (long i = 0; i < rounds; i++) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
      execve(shared, args, environment);
      _exit(40);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) exit(2);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 40) refusals++;
    else if (WEXITSTATUS(status) == 42) through++;
  }
  kill(rewriting, SIGKILL);
  printf("through %ld\nrefused %s\n", through, refusals > 0 && refusals < rounds ? "some" : "all or none");
}

static void turn(const char *to) {
  (void)unlink("/data/turned");
  if (symlink(to, "/data/turned") != 0 || rename("/data/turned", "/data/turn") != 0) exit(2);
}

/* With the name that a script's interpreter gets as its first argument: by its arguments alone the interpreter looks like one that runs a script. */
static void race_script(long rounds) {
  static char *const args[] = {"/data/turn", "direct", NULL};
  long through = 0, refusals = 0;
  turn("/data/ok");
  pid_t turning = fork();
  if (turning == 0)
    for (;;) {
      turn("/data/evil");
      turn("/data/ok");
      turn("/judged");
      turn("/data/ok");
    }
  for (long i = 0; i < rounds; i++) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
      execve(args[0], args, environment);
      _exit(40);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) exit(2);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 40) refusals++;
    else if (WEXITSTATUS(status) == 42) through++;
  }
  kill(turning, SIGKILL);
  printf("through %ld\nrefused %s\n", through, refusals > 0 && refusals < rounds ? "some" : "all or none");
}

static int which(void) {
  char self[256];
  ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
  if (len < 0) return 43;
  self[len] = '\0';
  return strcmp(self, "/judged") == 0 ? 41 : 42;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "rights") == 0) rights();
  else if (argc == 2 && strcmp(argv[1], "aliases") == 0) aliases();
  else if (argc == 3 && strcmp(argv[1], "execs") == 0) execs(argv[2]);
  else if (argc == 2 && strcmp(argv[1], "unix") == 0) unix_sockets();
  else if (argc == 4 && strcmp(argv[1], "crowd") == 0) crowd(argv[2], atoi(argv[3]));
  else if (argc == 3 && strcmp(argv[1], "race-open") == 0) race_open(atol(argv[2]));
  else if (argc == 3 && strcmp(argv[1], "race-execve") == 0) race_execve(atol(argv[2]));
  else if (argc == 3 && strcmp(argv[1], "race-script") == 0) race_script(atol(argv[2]));
  else if (argc == 2 && strcmp(argv[1], "which") == 0) return which();
  else if (argc == 4 && strcmp(argv[1], "ok") == 0) return 41;
  else if (argc >= 2 && (strcmp(argv[1], "direct") == 0 || strcmp(argv[1], "evil") == 0)) return 42;
  else return 4;
  return 0;
}
