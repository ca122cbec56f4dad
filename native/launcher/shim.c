#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "containerd.h"
#include "shim_call.h"
#include "shim_delete.h"
#include "shim_start.h"

int shim_main(int argc, char **argv) {
  struct shim_call c = shim_call_parse(argc, argv);
  if (c.version) {
    printf("containerd-shim-berth-v2:\n  Version:  %s\n  Revision: %s\n", VERSION, BUILD_ID);
    return 0;
  }
  if (c.info) {
    _cleanup_buf_ struct buf out = {0};
    if (runtime_info(&out, "io.containerd.berth.v2", VERSION, BUILD_ID) < 0) return 1;
    return write(1, out.data, out.len) == (ssize_t)out.len ? 0 : 1;
  }
  if (c.bad || !*c.verb) {
    fprintf(stderr, "containerd-shim-berth-v2: %s: start or delete with -namespace, -address and -id is needed\n", c.bad ? c.bad : "no verb");
    return 2;
  }
  return !strcmp(c.verb, "start") ? shim_start(&c) : shim_delete(&c);
}
