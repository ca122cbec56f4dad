/* Ways to call the kernel, which programs that attack it have in common. */
#pragma once
#include <errno.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The door, and "open" or the errno. */
static inline void tell(const char *door, long result) {
  printf("%s %s\n", door, result >= 0 ? "open" : strerrorname_np(errno));
  fflush(stdout);
}

/* What it came to, once the descriptor is closed. */
static inline int done(int fd, long result) {
  int error = errno;
  close(fd);
  errno = error;
  return (int)result;
}

static inline long kernels(long result) {
  if (result >= 0) return result;
  errno = (int)-result;
  return -1;
}

#ifdef __x86_64__
/* A system call of 32-bit programs, by its number there. */
static inline long int80(long number, long a, long b, long c, long d) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory", "r8", "r9", "r10", "r11");
  return kernels((int)result);
}

/* The same number with the bit of x32: ENOSYS where the kernel has no such ABI. */
static inline long x32(long number, long a, long b, long c, long d) {
  return syscall(0x40000000 | number, a, b, c, d);
}

/* A copy where 32-bit programs could have it. */
static inline void *low(const void *data, size_t size) {
  void *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (copy == MAP_FAILED) exit(3);
  return memcpy(copy, data, size);
}
#endif

/* One request through a ring of its own. */
static inline long by_uring(const struct io_uring_sqe *request) {
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
  int result = ((struct io_uring_cqe *)(rings + params.cq_off.cqes))[0].res;
  close(ring);
  return kernels(result);
}

/* The plain way: 0 or more, or -1 with errno. */
typedef long attempt(void *subject);
struct elsewhere {
  attempt *act;
  void *subject;
};

static inline void *from_thread(void *argument) {
  struct elsewhere *where = argument;
  tell("thread", where->act(where->subject));
  return NULL;
}

/* From another thread, after a fork, and after an execve of this program with `again`, which is to end by telling "exec". */
static inline void tell_elsewhere(attempt *act, void *subject, char *const again[]) {
  struct elsewhere where = {.act = act, .subject = subject};
  pthread_t thread;
  if (pthread_create(&thread, NULL, from_thread, &where) != 0 || pthread_join(thread, NULL) != 0) exit(3);
  pid_t child = fork();
  if (child == 0) {
    tell("fork", act(subject));
    execv(again[0], again);
    _exit(3);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) exit(3);
}
