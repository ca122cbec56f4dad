#define _GNU_SOURCE
#include "shim.h"

#include <stdio.h>
#include <string.h>

#include "shim_call.h"
#include "shim_delete.h"
#include "shim_info.h"
#include "shim_start.h"

int shim_main(int argc, char **argv) {
  struct shim_call c = shim_call_parse(argc, argv);
  if (c.version) {
    printf("containerd-shim-berth-v2:\n  Version:  %s\n  Revision: %s\n", VERSION, BUILD_ID);
    return 0;
  }
  if (c.info) return shim_info();
  if (c.bad || !*c.verb) {
    fprintf(stderr, "containerd-shim-berth-v2: %s: start or delete with -namespace, -address and -id is needed\n", c.bad ? c.bad : "no verb");
    return 2;
  }
  return !strcmp(c.verb, "start") ? shim_start(&c) : shim_delete(&c);
}
