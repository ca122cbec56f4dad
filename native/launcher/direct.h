/* Verbs that need no controller: TypeScript has said at `create` what they come to, to the container's monitor, and in a plan on disk for
 * when that has ended. */
#ifndef BERTH_DIRECT_H
#define BERTH_DIRECT_H

#include <stdbool.h>

#include "../common/buf.h"
#include "../executor/executor.h"

/* True where the command is done (exit code 0). Else it is the controller's, which finds things as they were, but for what `attempt` holds where
 * it is not empty: the outcome of a plan that was tried. `run`: the default of --root. */
bool direct_verb(char *const *argv, const char *run, struct executor *, struct buf *attempt);

/* Asks the monitor on `socket` what is prepared for the verb. The connection that the answer comes on, -1 with errno. */
int direct_ask(const char *socket, const char *verb, const char *word);
/* The command of an `exec` of the plain form. NULL: it is none. */
char *const *direct_given(char *const *argv);

#endif
