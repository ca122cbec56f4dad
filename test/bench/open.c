/* Opens and closes PATH ROUNDS times and prints how long that took once, in nanoseconds: open ROUNDS PATH [HANDLED [RIGHTS DIRECTORY]...]
 * With HANDLED it first confines itself by a Landlock ruleset of these rights (decimal): what Landlock costs without a runtime.
 * Without arguments it prints the kernel's ABI of Landlock. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "median.h"

#define BATCH 100

/* handled: rights, then pairs of rights and a directory. */
static int confine(char **handled) {
  struct landlock_ruleset_attr attr = {.handled_access_fs = strtoull(handled[0], NULL, 10)};
  int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
  if (ruleset < 0) return -1;
  for (char **rule = handled + 1; rule[0] && rule[1]; rule += 2) {
    struct landlock_path_beneath_attr beneath = {.allowed_access = strtoull(rule[0], NULL, 10), .parent_fd = open(rule[1], O_PATH | O_CLOEXEC)};
    if (beneath.parent_fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0) return -1;
    close(beneath.parent_fd);
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
}

int main(int argc, char **argv) {
  if (argc == 1) return printf("%ld\n", syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)) < 0;
  long rounds = atol(argv[1]);
  if (argc < 3 || rounds < 1) return 2;
  if (argc > 3 && confine(argv + 3) < 0) return 3;
  size_t batches = (size_t)rounds / BATCH;
  double *times = calloc(batches, sizeof *times);
  for (size_t i = 0; times && i < batches; i++) {
    double start = now_ns();
    for (int j = 0; j < BATCH; j++) {
      int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
      if (fd < 0 || close(fd) < 0) return 4;
    }
    times[i] = (now_ns() - start) / BATCH;
  }
  if (!times || batches == 0) return 5;
  print_median(times, batches);
  return 0;
}
