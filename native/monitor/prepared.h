/* What a monitor does about a verb by itself: what TypeScript has prepared for the situations that its container can be in. */
#ifndef BERTH_PREPARED_H
#define BERTH_PREPARED_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"
#include "../common/reader.h"
#include "../executor/executor.h"
#include "jobs.h"

struct prepared;

/* The effects of `situation`, `prepare` and `lend`. 0 or -1 with errno. */
int prepared_situation(const struct op_situation *, pid_t pid, uint64_t start_time);
int prepared_add(const struct op_prepare *, const struct buf *answer);
int prepared_lend(const struct op_lend *);

enum prepared_found {
  PREPARED_NOTHING, /* it is TypeScript's to answer */
  PREPARED_ENDING,  /* the container's process has ended, which this process is about to be told, and then leaves */
  PREPARED_FOUND,
};
/* What is prepared for this verb now. */
enum prepared_found prepared_find(const char *verb, const char *word, const struct prepared **);
struct span prepared_answer(const struct prepared *);
/* The plan that is for whoever asked to run; no data where it is for this process. */
struct span prepared_lent(const struct prepared *);
/* A pidfd of the container's process, which is lent with it; still held. -1 where it has gone. */
int prepared_process(void);

/* Runs its plan: one that can't block in `here`, with `quick` called before this returns; any other in a child, with `later` called once that has
 * ended. 0, or -1 with errno (neither is called then). */
int prepared_run(const struct prepared *, struct executor *here, job_done quick, job_done later, void *context);
/* Whether a plan with this outcome has changed nothing. */
bool prepared_untouched(const struct prepared *, const struct buf *outcome);

#endif
