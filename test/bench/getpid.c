/* Asks for its own pid ROUNDS times and prints how long one call took, in nanoseconds: getpid ROUNDS [filtered]
 * `filtered`: under the shortest filter there is, which allows everything: what any filter costs. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "median.h"

#define BATCH 1000

static int filter(void) {
  struct sock_filter allow = {.code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW};
  struct sock_fprog program = {.len = 1, .filter = &allow};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int main(int argc, char **argv) {
  long rounds = argc > 1 ? atol(argv[1]) : 0;
  if (rounds < 1) return 2;
  if (argc > 2 && filter() < 0) return 3;
  size_t batches = (size_t)rounds / BATCH;
  double *times = calloc(batches, sizeof *times);
  for (size_t i = 0; times && i < batches; i++) {
    double start = now_ns();
    for (int j = 0; j < BATCH; j++) syscall(SYS_getpid);
    times[i] = (now_ns() - start) / BATCH;
  }
  if (!times || batches == 0) return 4;
  print_median(times, batches);
  return 0;
}
