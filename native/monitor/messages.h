/* The messages between an agent and a controller (docs/internals.md), as bytes. */
#ifndef BERTH_MESSAGES_H
#define BERTH_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"
#include "../common/reader.h"
#include "journal.h"

#define PROTOCOL 1

enum from_controller { MSG_WELCOME = 1, MSG_STEP = 2, MSG_COMMIT = 3 };
/* Both ways, on the link of a front: bytes of its client's connection, and of the ttrpc that is made of them. */
enum of_front { MSG_WIRE = 16, MSG_CALLS = 17 };
enum commit_flags { COMMIT_RECORD = 1, COMMIT_LEAVE = 2 };

/* All append a frame: 0, or -1 with errno. */
int message_hello(struct buf *out, enum agent_role role, uint64_t seq, const struct buf *record, const char *const *context);
int message_request(struct buf *out, const struct request *);
int message_outcome(struct buf *out, const struct request *, const struct step *);
int message_refused(struct buf *out, uint64_t id, uint64_t seq, const struct buf *record);

/* A commit, decoded to its end before anything of it is applied. */
struct commit {
  uint64_t id, base;
  uint32_t flags;
  struct span record;
  uint32_t answers, serials, events;
  struct reader answer, serial, event; /* at the first of each list */
  struct list drops;
};
bool commit_read(struct reader body, struct commit *);

#endif
