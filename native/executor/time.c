/* Clocks. */
#define _GNU_SOURCE
#include <errno.h>
#include <time.h>

#include "paths.h"

void pause_ms(unsigned ms) {
  struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) continue;
}

uint64_t now_ms(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0;
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int left_ms(uint64_t until) {
  uint64_t now = now_ms();
  if (now >= until) return 0;
  return until - now > INT_MAX ? INT_MAX : (int)(until - now);
}

int run_clock(struct executor *ex, const struct op_clock *op, struct buf *result) {
  (void)op;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return fail_sys(&ex->fail, "clock_gettime", "CLOCK_REALTIME");
  if (buf_u64(result, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) != 0) return fail_sys(&ex->fail, "mmap", "");
  return 1;
}
