/* Tries the same thing through each way that the kernel has for it, and prints a line for each: its name, and "open" or the errno.
 *
 *   doors file PATH        opens the file
 *   doors abstract NAME    connects to the abstract socket */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *door, int fd) {
  printf("%s %s\n", door, fd >= 0 ? "open" : strerrorname_np(errno));
  fflush(stdout);
  if (fd >= 0) close(fd);
}

/* One request through a ring of its own. */
static int by_uring(const struct io_uring_sqe *request) {
  struct io_uring_params params = {0};
  int ring = (int)syscall(SYS_io_uring_setup, 1, &params);
  if (ring < 0) return -1;
  size_t len = params.sq_off.array + params.sq_entries * sizeof(unsigned);
  size_t completed = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  size_t size = len > completed ? len : completed;
  char *rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
  struct io_uring_sqe *entries = mmap(NULL, sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
  if (rings == MAP_FAILED || entries == MAP_FAILED || (params.features & IORING_FEAT_SINGLE_MMAP) == 0) return -1;
  *entries = *request;
  ((unsigned *)(rings + params.sq_off.array))[0] = 0;
  __atomic_store_n((unsigned *)(rings + params.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
  int done = ((struct io_uring_cqe *)(rings + params.cq_off.cqes))[0].res;
  close(ring);
  if (done >= 0) return done;
  errno = -done;
  return -1;
}

static int uring_open(const char *path) {
  struct io_uring_sqe request = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uint64_t)(uintptr_t)path, .open_flags = O_RDONLY};
  return by_uring(&request);
}

#ifdef __x86_64__
/* open(2) of 32-bit programs: its path has to lie where they could have it. */
static int int80_open(const char *path) {
  char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) return -1;
  strcpy(low, path);
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(5), "b"(low), "c"(O_RDONLY), "d"(0) : "memory", "r8", "r9", "r10", "r11");
  if (result >= 0) return result;
  errno = -result;
  return -1;
}
#endif

static void *from_thread(void *path) {
  tell("thread", open(path, O_RDONLY));
  return NULL;
}

static void file(const char *path, const char *self) {
  struct open_how how = {.flags = O_RDONLY};
  tell("open", (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY));
  tell("openat2", (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
  tell("io_uring", uring_open(path));
#ifdef __x86_64__
  tell("int80", int80_open(path));
#endif
  pthread_t thread;
  if (pthread_create(&thread, NULL, from_thread, (void *)(uintptr_t)path) != 0 || pthread_join(thread, NULL) != 0) exit(2);
  pid_t child = fork();
  if (child == 0) {
    tell("fork", open(path, O_RDONLY));
    if (self != NULL) execl(self, self, "exec", path, NULL);
    _exit(2);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) exit(2);
}

static int abstract(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path + 1, name, sizeof address.sun_path - 2);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  return fd >= 0 && connect(fd, (struct sockaddr *)&address, len) == 0 ? fd : -1;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "file") == 0)
    file(argv[2], argv[0]);
  else if (argc == 3 && strcmp(argv[1], "exec") == 0)
    tell("execve", open(argv[2], O_RDONLY));
  else if (argc == 3 && strcmp(argv[1], "abstract") == 0)
    tell("abstract", abstract(argv[2]));
  else
    return 2;
  return 0;
}
