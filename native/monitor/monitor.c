#define _GNU_SOURCE
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../executor/clone.h"
#include "command.h"
#include "loop.h"
#include "shim.h"

/* A decimal descriptor number, or -1. */
static int number(const char *text) {
  char *end;
  errno = 0;
  long n = strtol(text, &end, 10);
  return errno || end == text || *end || n < 0 || n > 1 << 20 ? -1 : (int)n;
}

int monitor_main(int argc, char **argv) {
  /* What is cloned from here must not be readable by a container that shares a namespace with it (trap 2). */
  if (prctl(PR_SET_DUMPABLE, 0) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR || loop_init() < 0) return 1;
  clone_arguments(argc, argv);
  if (argc == 4 && !strcmp(argv[1], "cli") && number(argv[2]) >= 0 && number(argv[3]) >= 0)
    return command_monitor(number(argv[2]), (unsigned)number(argv[3]));
  if (argc >= 3 && !strcmp(argv[1], "shim") && number(argv[2]) >= 0)
    return shim_monitor(number(argv[2]), (const char *const *)argv + 3);
  return 2;
}
