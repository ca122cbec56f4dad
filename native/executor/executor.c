#define _GNU_SOURCE
#include "executor.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../common/clock.h"
#include "../common/fd.h"
#include "ops.gen.h"
#include "trace.h"

/* Enough for an error record and the counts: a process behind its seccomp filter may be unable to map more (trap 21). */
#define OUTCOME_ROOM 4096

struct op_frame {
  uint16_t code, flags;
  struct span payload;
};

/* The count of a plan's operations, with the reader at the first; bad where it is no plan of this version. */
static uint32_t read_header(struct reader *r) {
  if (reader_u32(r) != PLAN_MAGIC || reader_u32(r) != PLAN_VERSION) r->bad = true;
  return reader_u32(r);
}

static struct op_frame read_frame(struct reader *r) {
  uint32_t word = reader_u32(r); /* u16 code, u16 flags */
  struct op_frame frame = {.code = (uint16_t)word, .flags = (uint16_t)(word >> 16)};
  frame.payload = reader_bytes(r);
  return frame;
}

/* `position` is where it stopped. */
static int check(const uint8_t *plan, size_t len, unsigned depth, uint32_t *position) {
  *position = 0;
  if (depth >= FAIL_DEPTH) return -1;
  struct reader r = reader_of(plan, len);
  uint32_t count = read_header(&r);
  for (uint32_t i = 0; i < count && !r.bad; i++) {
    *position = i;
    struct op_frame frame = read_frame(&r);
    const struct op_entry *entry = ops_find(frame.code);
    if (r.bad || entry == NULL || (frame.flags & ~(OP_FLAG_TOLERATE | OP_FLAG_KEEP_GOING)) != 0) return -1;
    struct span nested;
    if (!entry->check(frame.payload, &nested)) return -1;
    uint32_t inner;
    if (nested.data != NULL && check(nested.data, nested.len, depth + 1, &inner) != 0) return -1;
  }
  return r.bad || r.left != 0 ? -1 : 0;
}

int executor_check(const uint8_t *plan, size_t len) {
  uint32_t position;
  return check(plan, len, 0, &position);
}

bool executor_only_looks(const uint8_t *plan, size_t len) {
  struct reader r = reader_of(plan, len);
  for (uint32_t left = read_header(&r); left > 0 && !r.bad; left--) {
    uint16_t code = read_frame(&r).code;
    if (code != OP_READ && code != OP_STAT && code != OP_CLOCK) return false;
  }
  return !r.bad;
}

const char *executor_only_releases(const uint8_t *plan, size_t len) {
  struct reader r = reader_of(plan, len);
  uint32_t left = read_header(&r);
  struct op_frame first = read_frame(&r);
  struct reader fields = reader_of(first.payload.data, first.payload.len);
  const char *key = reader_str(&fields);
  if (left == 0 || first.code != OP_RESUME || first.flags != 0 || reader_u32(&fields) != REPORT_EXEC || fields.bad) return NULL;
  while (--left > 0 && !r.bad)
    if (read_frame(&r).code != OP_CLOCK) return NULL;
  return r.bad ? NULL : key;
}

/* Completes ex->fail with where it happened, unless a nested plan's failure says that already. */
static void place(struct executor *ex, const char *op) {
  if (ex->placed) return;
  fail_copy(ex->fail.op, sizeof ex->fail.op, op);
  ex->fail.depth = ex->depth;
  memcpy(ex->fail.index, ex->position, sizeof ex->fail.index);
}

int fail_nested(struct executor *ex, const struct fail *inner, uint32_t at) {
  struct fail whole = *inner;
  uint32_t depth = ex->depth;
  memcpy(whole.index, ex->position, sizeof whole.index);
  if (depth > 0) whole.index[depth - 1] = at;
  for (uint32_t i = 0; i < inner->depth && i < FAIL_DEPTH && depth < FAIL_DEPTH; i++) whole.index[depth++] = inner->index[i];
  whole.depth = depth;
  ex->fail = whole;
  ex->placed = true;
  return -1;
}

uint32_t executor_clone_position(const struct executor *ex, const char *key) {
  struct reader r = reader_of(ex->plan.data, ex->plan.len);
  uint32_t count = read_header(&r);
  for (uint32_t i = 0; i < count && !r.bad; i++) {
    struct op_frame frame = read_frame(&r);
    struct reader fields = reader_of(frame.payload.data, frame.payload.len);
    if (frame.code == OP_CLONE && strcmp(reader_str(&fields), key) == 0) return i; /* `key` is its first field */
  }
  return ex->position[ex->depth - 1];
}

void executor_take_cloned(struct executor *ex, struct span plan, struct span outcome) {
  struct reader ops = reader_of(plan.data, plan.len), results = reader_of(outcome.data, outcome.len);
  if (reader_u8(&results) != 0) return;
  uint32_t count = read_header(&ops), left = reader_u32(&results), at = 0;
  /* Both are in the order of the plan. */
  for (; left > 0 && !results.bad; left--) {
    uint32_t index = reader_u32(&results);
    struct span result = reader_bytes(&results);
    struct op_frame frame = {0};
    for (; at <= index && at < count && !ops.bad; at++) frame = read_frame(&ops);
    if (ops.bad || frame.code != OP_CLONE) continue;
    struct reader fields = reader_of(result.data, result.len);
    ex->pid = (pid_t)reader_u32(&fields);
    ex->start_time = reader_u64(&fields);
  }
}

/* One operation. As a handler, with the failure placed. */
static int run_one(struct executor *ex, const struct op_frame *frame, struct buf *result) {
  const struct op_entry *entry = ops_find(frame->code);
  uint64_t start = ex->trace != NULL ? clock_ns() : 0;
  memset(&ex->fail, 0, sizeof ex->fail);
  ex->placed = false;
  int done;
  if (entry == NULL)
    done = fail_msg(&ex->fail, ENOSYS, "", "unknown operation %u", (unsigned)frame->code);
  else if (ex->inside ? !entry->inside : !entry->outside)
    done = fail_msg(&ex->fail, EPERM, "", "not possible %s the container", ex->inside ? "inside" : "outside");
  else if ((done = entry->run(ex, frame->payload, result)) == -2)
    done = fail_msg(&ex->fail, EPROTO, "", "malformed operation");
  if (ex->trace != NULL && start != 0) trace_add(ex->trace, frame->code, ex->inside, start);
  if (done < 0) place(ex, entry == NULL ? "" : entry->name);
  return done;
}

/* Runs what lies in the plan; appends results. 0; 1: failed, ex->fail says why; -1: no memory. */
static int run_all(struct executor *ex, struct reader *r, uint32_t count, struct buf *results, uint32_t *n_results) {
  _cleanup_buf_ struct buf result = {.data = NULL};
  struct fail first;
  bool failed = false;
  for (uint32_t i = 0; i < count; i++) {
    ex->position[ex->depth - 1] = i;
    struct op_frame frame = read_frame(r);
    result.len = 0;
    int done = run_one(ex, &frame, &result);
    if (done > 0) {
      if (buf_u32(results, i) != 0 || buf_bytes(results, result.data, result.len) != 0) return -1;
      (*n_results)++;
    }
    if (done >= 0 || (frame.flags & OP_FLAG_TOLERATE) != 0) continue;
    if (!failed) first = ex->fail;
    failed = true;
    if ((frame.flags & OP_FLAG_KEEP_GOING) == 0) break;
  }
  if (!failed) return 0;
  ex->fail = first;
  ex->placed = true;
  return 1;
}

/* A plan that is refused as a whole. `depth` of the record: one less where the header is at fault. */
static void refuse(struct executor *ex, const uint8_t *plan, size_t len, uint32_t position) {
  struct reader r = reader_of(plan, len);
  uint32_t magic = reader_u32(&r), version = reader_u32(&r);
  ex->placed = false;
  if (ex->depth >= FAIL_DEPTH) {
    (void)fail_msg(&ex->fail, ELOOP, "plan", "nested too deep");
  } else if (r.bad || magic != PLAN_MAGIC) {
    (void)fail_msg(&ex->fail, EPROTO, "plan", "not a plan");
  } else if (version != PLAN_VERSION) {
    (void)fail_msg(&ex->fail, EPROTO, "plan", "version %u, and this build reads version %u", version, PLAN_VERSION);
  } else {
    (void)fail_msg(&ex->fail, EPROTO, "plan", "malformed operation");
    ex->position[ex->depth++] = position;
    place(ex, "");
    ex->depth--;
    ex->placed = true;
    return;
  }
  place(ex, "");
  ex->placed = true;
}

int executor_run(struct executor *ex, const uint8_t *plan, size_t len, struct buf *outcome) {
  if (buf_reserve(outcome, OUTCOME_ROOM) != 0) return -1;
  _cleanup_buf_ struct buf results = {.data = NULL};
  uint32_t count = 0, position;
  int done;
  /* A plan that is malformed anywhere runs nowhere: half of one would be the worst outcome. */
  if (check(plan, len, ex->depth, &position) != 0) {
    memset(&ex->fail, 0, sizeof ex->fail);
    refuse(ex, plan, len, position);
    done = 1;
  } else {
    struct reader r = reader_of(plan, len);
    uint32_t operations = read_header(&r);
    struct span outer = ex->plan;
    ex->plan = (struct span){plan, len};
    ex->depth++;
    done = run_all(ex, &r, operations, &results, &count);
    ex->depth--;
    ex->plan = outer;
    if (ex->depth == 0) ex->let_go = NULL; /* it lies in the plan */
  }
  if (done < 0) return -1;
  if (buf_u8(outcome, (uint8_t)done) != 0) return -1;
  if (done != 0 && fail_encode(&ex->fail, outcome) != 0) return -1;
  if (buf_u32(outcome, count) != 0 || buf_append(outcome, results.data, results.len) != 0) return -1;
  return done;
}

void executor_init(struct executor *ex, const struct effects *effects) {
  *ex = (struct executor){.effects = effects, .notify = -1, .notify_caller = -1, .control = -1, .root = -1, .proc = -1};
  for (int i = 0; i < SLOTS; i++) ex->slots[i] = -1;
}

void executor_close(struct executor *ex) {
  for (int i = 0; i < SLOTS; i++) fd_close(&ex->slots[i]);
  if (ex->cloned != NULL) (void)munmap(ex->cloned, sizeof *ex->cloned);
  ex->cloned = NULL;
  trace_free(ex->trace);
  ex->trace = NULL;
}

int slot_fd(struct executor *ex, uint32_t slot) {
  if (slot < SLOTS && ex->slots[slot] >= 0) return ex->slots[slot];
  char name[16];
  (void)snprintf(name, sizeof name, "slot %u", slot);
  return fail_msg(&ex->fail, EBADF, name, slot < SLOTS ? "it is empty" : "there is no such slot");
}

int slot_put(struct executor *ex, uint32_t slot, int fd) {
  if (slot >= SLOTS) {
    fd_close(&fd);
    char name[16];
    (void)snprintf(name, sizeof name, "slot %u", slot);
    return fail_msg(&ex->fail, EBADF, name, "there is no such slot");
  }
  fd_close(&ex->slots[slot]);
  ex->slots[slot] = fd;
  return 0;
}
