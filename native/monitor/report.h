/* What a forked executor tells its monitor, over a SOCK_SEQPACKET pair: one datagram each, descriptors ride along. */
#ifndef BERTH_REPORT_H
#define BERTH_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../executor/executor.h"

enum report {
  REPORT_KEEP = 1, /* str name; the descriptor */
  REPORT_DROP,     /* str name */
  REPORT_PUMP,     /* str name; from, to */
  REPORT_LINGER,   /* str name, u32 quiet ms, u32 limit ms */
  REPORT_PROCESS,  /* str key, u32 pid; pidfd, control */
  REPORT_RELEASED, /* str key */
  REPORT_DRAIN,    /* str name, u32 ms: answered by one byte, 0 or 1 */
  REPORT_OOM,      /* str key; v1: eventfd, counter; v2: counter */
  REPORT_CHUNK,    /* a part of the outcome: the rest of the datagram */
  REPORT_DONE,     /* its last part */
  REPORT_DEADLINE = 64, /* str key, u64 ms, the plan: the rest of the datagram */
  REPORT_METER,         /* str name, str key, u64 bytes */
  REPORT_UNREAD,        /* str name, u32 quiet ms, u32 limit ms */
  REPORT_GUARD,         /* str key, the plan: the rest of the datagram; what its guard tells by */
};

#define REPORT_SIZE 16384 /* a datagram at most */
#define REPORT_FDS 2

/* The effects of an executor that `monitor` has forked: applied to its own copy of the tables, and reported on `*socket`. */
struct effects report_effects(int *socket, pid_t monitor);
/* Sends the outcome. 0 or -1. */
int report_outcome(int socket, const struct buf *outcome);

#endif
