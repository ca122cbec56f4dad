#define _GNU_SOURCE
#include "trace.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "../common/clock.h"
#include "executor.h"
#include "ops.gen.h"

#define RECORDS 1000u /* a create has some two hundred */

struct record {
  uint64_t start, end;
  uint16_t code;
  bool inside;
  _Atomic bool whole; /* its writer may be half way, or gone */
};

/* Shared with cloned processes, whose operations are recorded beside ours. */
struct trace {
  _Atomic uint32_t next;
  struct record records[RECORDS];
};

static uint64_t program_start;

void trace_program_starts(void) { program_start = clock_ns(); }

void trace_add(struct trace *trace, uint16_t code, bool inside, uint64_t start) {
  uint32_t at = atomic_load(&trace->next);
  do {
    if (at >= RECORDS) return;
  } while (!atomic_compare_exchange_weak(&trace->next, &at, at + 1));
  struct record *r = &trace->records[at];
  r->start = start;
  r->end = clock_ns();
  r->code = code;
  r->inside = inside;
  atomic_store(&r->whole, true);
}

void trace_free(struct trace *trace) {
  if (trace != NULL) (void)munmap(trace, sizeof *trace);
}

int run_trace(struct executor *ex, const struct op_trace *op, struct buf *result) {
  (void)op;
  (void)result;
  if (ex->trace != NULL) return 0;
  void *trace = mmap(NULL, sizeof *ex->trace, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (trace == MAP_FAILED) return fail_sys(&ex->fail, "mmap", "trace");
  ex->trace = trace;
  return 0;
}

static int append(const struct record *r, struct buf *result) {
  return buf_u64(result, r->start) != 0 || buf_u64(result, r->end) != 0 || buf_u32(result, r->code) != 0 || buf_u32(result, r->inside) != 0
             ? -1
             : 0;
}

int run_traced(struct executor *ex, const struct op_traced *op, struct buf *result) {
  (void)op;
  if (ex->trace == NULL) return fail_msg(&ex->fail, EINVAL, "trace", "it was not begun");
  uint32_t count = atomic_load(&ex->trace->next);
  int done = buf_u64(result, program_start);
  for (uint32_t i = 0; i < count && done == 0; i++)
    if (atomic_load(&ex->trace->records[i].whole)) done = append(&ex->trace->records[i], result);
  trace_free(ex->trace);
  ex->trace = NULL;
  return done != 0 ? fail_sys(&ex->fail, "mmap", "trace") : 1;
}
