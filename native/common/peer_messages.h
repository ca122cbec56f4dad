/* What a launcher and a monitor say to each other (docs/internals.md, "Launcher and monitor"). */
#ifndef BERTH_PEER_MESSAGES_H
#define BERTH_PEER_MESSAGES_H

enum to_monitor { PEER_RUN = 1, PEER_VERB = 4 };
enum from_monitor { PEER_OUTCOME = 2, PEER_DESCRIPTOR = 3, PEER_ANSWER = 5 };
/* Flags of PEER_RUN: in the monitor itself. */
enum run_flags { RUN_INLINE = 1 };

/* Of PEER_ANSWER, about the verb that was asked for. */
enum peer_verdict {
  PEER_DONE = 0,     /* what follows is for standard output */
  PEER_NOT_MINE = 1, /* nothing has changed */
  PEER_FAILED = 2,   /* what follows is the plan's outcome, for TypeScript to tell */
  PEER_YOURS = 3,    /* what follows is a plan for the launcher, which has been lent what that takes */
};

#endif
