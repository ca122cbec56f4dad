/* The connections of an agent to controllers, and which request goes over which: connected again, replayed, given up. Inside of an agent only
 * (agent.c, said.c). */
#ifndef BERTH_LINKS_H
#define BERTH_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"
#include "agent.h"
#include "journal.h"

/* A connection to a controller: the shared one (own_request 0), or one that serves a single request. */
struct link {
  struct link *next;
  struct agent *agent;
  uint64_t ticket, own_request;
  int fd;              /* -1 while connecting */
  int failed;          /* why that came to nothing, told from agent_ready: who asked with a request does not know its id yet */
  uint64_t welcome_by; /* ms; 0: it has come, or is not awaited yet */
  bool connecting, broken;
  struct buf in, out;
};

struct agent {
  enum agent_role role;
  struct agent_owner owner;
  const char *const *context;
  int epoll, timer;
  struct link *links;
  struct request *first, **last;
  uint32_t answered; /* requests that are, and not committed */
  uint64_t next_id, next_ticket, seq;
  uint32_t failed_connects;
  struct buf record;
  uint64_t retry_at; /* ms; 0: not due */
};

struct request *request_find(struct agent *, uint64_t id); /* NULL: it is answered */
void request_remove(struct agent *, struct request *);
/* Its answer goes out before its commit, from which nobody takes another; younger requests of clients are held back until that has come. */
void request_answered(struct agent *, struct request *);
/* Its commit has come, or never will: what was held back for it may go. */
void request_settled(struct agent *, struct request *);
/* What a monitor says of its own: no answer is due, the commit is its end, and it is never given up. */
bool request_is_report(const struct request *);
/* Its owner hears so, and it is gone; what a monitor says of its own, and what has been answered, is tried again later. `why` is one line. */
void request_give_up(struct agent *, struct request *, const char *why);

/* The connection that `l` was opened for: says hello, and sends what waits for it. Takes `fd` over. */
void link_up(struct link *l, int fd);
/* Who was there has gone: its requests wait for the next, or are given up. `l` itself goes with links_sweep. */
void link_break(struct link *l);
/* Sends what has been appended to `l->out`, as far as it goes. */
void link_send(struct link *l);
void link_send_outcome(struct request *, struct step *);

/* Makes sure that whatever waits for a controller has one, or one on its way. */
void links_dispatch(struct agent *);
/* For the next of what is due, if anything is. */
void links_arm(struct agent *);
void links_timer_fired(struct agent *);
/* A controller could not be reached, or ended before its first word: again soon, or given up. `error`: errno. */
void links_failed(struct agent *, int error);
void links_tell_failed(struct agent *);
/* Frees what broke, and what served a request that is answered or parked; called where no link is in use further up the stack. */
void links_sweep(struct agent *);

#endif
