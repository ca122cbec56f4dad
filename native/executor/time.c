/* The time of day. */
#define _GNU_SOURCE
#include <time.h>

#include "executor.h"
#include "ops.gen.h"

int run_clock(struct executor *ex, const struct op_clock *op, struct buf *result) {
  (void)op;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return fail_sys(&ex->fail, "clock_gettime", "CLOCK_REALTIME");
  if (buf_u64(result, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) != 0) return fail_sys(&ex->fail, "mmap", "");
  return 1;
}
