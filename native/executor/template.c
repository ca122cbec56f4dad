/* Templates: bytes with holes for what is known only when the operation runs (trap 13). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "executor.h"
#include "ops.gen.h"
#include "process.h"

static int append_number(struct buf *out, uint64_t number) {
  char text[24];
  int len = snprintf(text, sizeof text, "%" PRIu64, number);
  return buf_append(out, text, (size_t)len);
}

static int append_part(struct executor *ex, struct reader *parts, struct buf *out) {
  uint8_t kind = reader_u8(parts);
  switch (kind) {
    case HOLE_LITERAL: {
      struct span literal = reader_bytes(parts);
      return buf_append(out, literal.data, literal.len);
    }
    case HOLE_PID:
      return append_number(out, ex->self != NULL ? ex->self->pid : (uint64_t)ex->pid);
    case HOLE_START_TIME:
      return append_number(out, ex->self != NULL ? ex->self->start_time : ex->start_time);
    case HOLE_PID32:
      return buf_u32(out, ex->self != NULL ? (uint32_t)ex->self->pid : (uint32_t)ex->pid);
    case HOLE_OWN_PID:
      return append_number(out, (uint64_t)getpid());
    case HOLE_OWN_START_TIME: {
      uint64_t start;
      return process_start_time(getpid(), &start) != 0 ? -1 : append_number(out, start);
    }
    case HOLE_NOW: {
      struct timespec now;
      if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
      return append_number(out, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    }
    default:
      errno = EPROTO;
      return -1;
  }
}

int template_render(struct executor *ex, struct list parts, struct buf *out) {
  for (uint32_t i = 0; i < parts.count; i++)
    if (append_part(ex, &parts.items, out) != 0) return fail_sys(&ex->fail, "", "template");
  return 0;
}
