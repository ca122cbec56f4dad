/* What a monitor says about a verb that it was asked for (docs/internals.md, "Launcher and monitor"). */
#ifndef BERTH_VERDICT_H
#define BERTH_VERDICT_H

enum peer_verdict {
  PEER_DONE = 0,     /* what follows is for standard output */
  PEER_NOT_MINE = 1, /* nothing has changed */
  PEER_FAILED = 2,   /* what follows is the plan's outcome, for TypeScript to tell */
};

#endif
