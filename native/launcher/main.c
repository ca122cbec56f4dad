/* One static program; what it is called decides what it is. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "../executor/trace.h"
#include "../monitor/monitor.h"
#include "../observer/observer.h"
#include "command.h"
#include "exec.h"
#include "shim.h"

/* A caller may have closed some of 0 to 2. What this process opens must not take their place: it would become the container's, or
 * what is meant for a person would be written into it. False where not even that can be had. */
static bool fill_stdio(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd < 3);
  return fd >= 3 && close(fd) == 0;
}

int main(int argc, char **argv) {
  trace_program_starts();
  /* Ignored, as some callers leave it, it would take the exits of our own children away. */
  if (!fill_stdio() || signal(SIGCHLD, SIG_DFL) == SIG_ERR) return 1;
  const char *name = argc > 0 && argv[0] ? argv[0] : "";
  const char *slash = strrchr(name, '/');
  if (slash) name = slash + 1;
  if (!strcmp(name, "berth-monitor")) return monitor_main(argc, argv);
  if (!strcmp(name, "berth-observer")) return observer_main(argc, argv);
  if (!strncmp(name, "containerd-shim-", 16)) return shim_main(argc, argv);
  if (!strcmp(name, "berth-exec")) return exec_main(argc, argv);
  return command_main(argc, argv, strcmp(name, "berth-command") != 0);
}
