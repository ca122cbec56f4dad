/* One static program; what it is called decides what it is. */
#include <string.h>

#include "../monitor/monitor.h"
#include "command.h"
#include "shim.h"

int main(int argc, char **argv) {
  const char *name = argc > 0 && argv[0] ? argv[0] : "";
  const char *slash = strrchr(name, '/');
  if (slash) name = slash + 1;
  if (!strcmp(name, "berth-monitor")) return monitor_main(argc, argv);
  if (!strncmp(name, "containerd-shim-", 16)) return shim_main(argc, argv);
  return command_main(argc, argv);
}
