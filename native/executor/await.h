/* Waiting for a process on behalf of whoever called us. */
#ifndef BERTH_AWAIT_H
#define BERTH_AWAIT_H

#include <signal.h>
#include <sys/types.h>

#include "executor.h"
#include "ops.gen.h"

/* Blocks what is to be passed on and opens it for reading; `before` is the mask to go back to. -1 with errno. */
int signals_open(sigset_t *before);
/* The next signal that came, 0: none. */
int signals_next(int signals);
/* Passes on all that came. */
void signals_pass(int signals, int pidfd);
/* Reaps the process, a child of ours; the result is its wait status. As a handler. */
int reap_result(struct executor *ex, pid_t pid, struct buf *result);

#endif
