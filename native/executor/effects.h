/* What the operations need that leave something behind in the process that lasts. */
#ifndef BERTH_EFFECTS_H
#define BERTH_EFFECTS_H

#include <errno.h>
#include <stdbool.h>

#include "executor.h"
#include "ops.gen.h"

/* Whether this process has the effect; fails the operation where not. */
static inline bool can(struct executor *ex, bool has) {
  if (!has) (void)fail_msg(&ex->fail, EPERM, "", "not possible here");
  return has;
}

#endif
