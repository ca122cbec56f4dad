#include "../common/log_line.h"
#include "executor.h"
#include "ops.gen.h"

int run_log(struct executor *ex, const struct op_log *op, struct buf *result) {
  (void)ex;
  (void)result;
  log_line(op->path, op->message);
  return 0;
}
