/* One side of the talk with the controller (docs/internals.md): requests, the journal of their steps, reconnecting and replay.
 * Used by the launcher (one request) and the monitor (many). Never blocks, but where the owner's `connect` does. */
#ifndef BERTH_AGENT_H
#define BERTH_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/buf.h"

enum agent_role { ROLE_LAUNCHER = 1, ROLE_MONITOR = 2, ROLE_FRONT = 3 };
enum request_kind { REQUEST_COMMAND = 1, REQUEST_TTRPC = 2, REQUEST_EXIT = 3, REQUEST_DISCONNECTED = 4, REQUEST_OOM = 5 };

struct agent;

/* What the owner of an agent supplies. None of these may call agent_free. */
struct agent_owner {
  /* A connected stream socket to a controller, or -1 with errno. A launcher may block in it; a monitor has the connect done by
   * a child, returns -1 with EINPROGRESS and calls agent_connected(ticket) later. `own`: one that serves nobody else. */
  int (*connect)(void *owner, bool own, uint64_t ticket);
  /* Runs a step; the owner calls agent_outcome once it is done (at once, or later). The plan stays valid until then. */
  void (*run_step)(void *owner, uint64_t request, const char *step, const uint8_t *plan, size_t len);
  /* The answer of a request; it is gone after this. */
  void (*answer)(void *owner, uint64_t request, const uint8_t *payload, size_t len);
  /* No controller could answer it (each of several died over it, or none starts): a fixed error is due. `why` is one line. */
  void (*give_up)(void *owner, uint64_t request, const char *why);
  /* It was committed without an answer, which a later commit will give. NULL where that does not occur. */
  void (*parked)(void *owner, uint64_t request);
  /* Parts of a commit that are not answers; NULL where the owner has no use for them. */
  void (*recorded)(void *owner); /* the record is another (agent_record) */
  void (*acknowledged)(void *owner, uint64_t serial);
  void (*event)(void *owner, const uint8_t *payload, size_t len);
  void (*drop)(void *owner, const char *name);
  void (*leave)(void *owner);
  void *owner;
};

/* `context`: NULL-terminated `key=value` strings, which must outlive the agent. NULL with errno where memory ran out. */
struct agent *agent_new(enum agent_role role, const struct agent_owner *owner, const char *const *context);
void agent_free(struct agent *);

/* Queues a request (body is copied), which may be answered or given up before this returns; its id is in *id (or NULL) by then. False where memory
 * ran out. */
bool agent_request(struct agent *, enum request_kind kind, const uint8_t *body, size_t len, uint64_t *id);
/* Looks for a controller before there is a request: one that has to boot does so until then. */
void agent_reach(struct agent *);
/* Nobody takes its answer any more: it is gone once its handler has committed, answered or not. */
void agent_forget(struct agent *, uint64_t request);
/* A step's outcome. */
void agent_outcome(struct agent *, uint64_t request, const char *step, const uint8_t *plan, size_t plan_len,
                   const uint8_t *outcome, size_t len);
/* As the last commit left it; valid until the next. */
const struct buf *agent_record(const struct agent *);
/* For poll/epoll: readable when agent_ready has something to do. */
int agent_fd(const struct agent *);
void agent_ready(struct agent *);
/* The connection that `connect` promised with EINPROGRESS, or -1 with why in `error` (errno). */
void agent_connected(struct agent *, uint64_t ticket, int fd, int error);

#endif
