/* What a controller says: steps, and commits, on their own or once a step is done (docs/internals.md). */
#ifndef BERTH_SAID_H
#define BERTH_SAID_H

#include "../common/reader.h"
#include "links.h"

/* Both take the frame's payload. False where it is malformed, or there is no memory for it: the connection is of no use then. */
bool said_step(struct link *, struct reader *body);
bool said_commit(struct link *, struct reader *body);

#endif
