/* deadline */
#include "effects.h"

int run_deadline(struct executor *ex, const struct op_deadline *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->deadline != NULL)) return -1;
  return ex->effects->deadline(ex->effects->home, op->key, op->ms, op->plan.data, op->plan.len) == 0 ? 0 : fail_sys(&ex->fail, "", op->key);
}
