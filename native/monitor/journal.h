/* What an agent remembers of its requests until they are answered: their bodies, and the outcome of every step (DESIGN: replay). */
#ifndef BERTH_JOURNAL_H
#define BERTH_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"
#include "../common/reader.h"
#include "agent.h"

struct step {
  struct step *next;
  char *name;
  uint64_t hash; /* of the plan: a newer build may run another plan under the same name (trap 9) */
  bool done;
  bool asked; /* the connection of today waits for the outcome */
  struct buf plan, outcome;
  bool has_answer;      /* the controller has said beforehand what its request is to be answered once it is done: */
  struct buf when_done;
};

struct link; /* a connection to a controller */

struct request {
  struct request *next;
  uint64_t id;
  enum request_kind kind;
  struct buf body;
  struct step *steps;
  struct link *link; /* which controller runs it, NULL: none */
  uint32_t strikes;  /* controllers that ended while it ran */
  bool forgotten;    /* nobody takes its answer */
  bool answered;     /* before its commit: younger ones are held back until that has come */
  bool parked;       /* committed without an answer: waits for another request's commit */
};

/* A hash to tell plans of one name apart, not against malice (the controller is trusted with plans). */
uint64_t journal_hash(const void *data, size_t len);
struct step *journal_find(struct request *, const char *name, uint64_t hash);
/* `answer`: NULL where the controller gives it. */
struct step *journal_add(struct request *, const char *name, uint64_t hash, struct span plan, const struct span *answer);
/* Forgets all steps that are done (those that run still belong to someone: they stay until their outcome comes). */
void journal_clear(struct request *);
void request_free(struct request *);

#endif
