/* Readiness that is passed on while a process is waited for. */
#ifndef BERTH_NOTIFY_H
#define BERTH_NOTIFY_H

#include "executor.h"
#include "ops.gen.h"

/* What has come in on ex->notify. */
void notify_pass(struct executor *ex);

#endif
