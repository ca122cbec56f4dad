/* Workers of containers: programs of the build's, in Node, confined, and with rules of their own. */
#ifndef BERTH_WORKER_H
#define BERTH_WORKER_H

#include "../launcher/confine_rules.h"
#include "executor.h"

#define WORKER_FDS 61 /* those that it is started with, its configuration, where it speaks, and its channel: FDS_MAX of confine.c */

/* What it is to be. All of it is its own, and not the plan's, which processes that are made do not have (trap 2); but the descriptors are slots'. */
struct worker {
  char *dist, *entry, *scratch, *log;
  char *record; /* of who it is, for `end-spawned`; NULL: it is `bound`, or ends with its answer */
  struct span config;
  uint32_t timeout_ms; /* to be ready in, or to answer */
  int fds[WORKER_FDS];
  size_t count;
  struct confine_rules rules;
  int channel; /* in front of its descriptors; -1: none */
  bool bound;  /* without a network, and ends with who starts it */
};

/* What an operation says of one. */
struct worker_op {
  const char *dist, *entry, *scratch, *log, *record;
  struct span config, filter;
  struct list fds, ports;
  uint32_t timeout_ms;
  struct confine_rules rules; /* without ports and filter */
};
#define WORKER_OP(op, logged, recorded)                                                                                                      \
  {.dist = (op)->dist, .entry = (op)->entry, .scratch = (op)->scratch, .log = (logged), .record = (recorded), .config = (op)->config,        \
   .filter = (op)->filter, .fds = (op)->fds, .ports = (op)->ports, .timeout_ms = (op)->timeout_ms,                                           \
   .rules = {.fs = (op)->fs, .net = (op)->net, .scoped = (op)->scoped, .rights = (op)->rights, .port_rights = (op)->port_rights}}

/* 0, or -1 with fail set. Either way it has to be let go. */
int worker_keep(struct executor *, const struct worker_op *, struct worker *);
void worker_free(struct worker *);

/* Until it says that it is ready. 0, or -1 with fail set: its own words, where it has said any. */
int worker_start(struct executor *, const struct worker *);
/* Until it ends, with its answer, of at most `max` bytes, appended to `answer`. */
int worker_ask(struct executor *, const struct worker *, size_t max, struct buf *answer);

#endif
