/* Operations about what a monitor does by itself: situation, prepare, lend, signal. */
#include "../common/fd.h"
#include "effects.h"

int run_situation(struct executor *ex, const struct op_situation *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->situation != NULL)) return -1;
  return ex->effects->situation(ex->effects->home, op, ex->pid, ex->start_time) == 0 ? 0 : fail_sys(&ex->fail, "", op->key);
}

int run_prepare(struct executor *ex, const struct op_prepare *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->prepare != NULL)) return -1;
  _cleanup_buf_ struct buf answer = {.data = NULL};
  if (template_render(ex, op->answer, &answer) != 0) return -1;
  return ex->effects->prepare(ex->effects->home, op, &answer) == 0 ? 0 : fail_sys(&ex->fail, "", op->verb);
}

int run_lend(struct executor *ex, const struct op_lend *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->lend != NULL)) return -1;
  return ex->effects->lend(ex->effects->home, op) == 0 ? 0 : fail_sys(&ex->fail, "", op->verb);
}

int run_signal(struct executor *ex, const struct op_signal *op, struct buf *result) {
  (void)result;
  if (!can(ex, ex->effects->signal != NULL)) return -1;
  return ex->effects->signal(ex->effects->home, op->key, (int)op->signal) == 0 ? 0 : fail_sys(&ex->fail, "pidfd_send_signal", op->key);
}
