/* Who is asked for the system calls of a container that its policy's module judges (docs/internals.md, "The supervisor's calls"). */
#ifndef BERTH_SUPERVISOR_H
#define BERTH_SUPERVISOR_H

#include "../executor/worker.h"
#include "call.h"

#define CALLS_MAX 128     /* dealt with at a time; more are refused */
#define LISTENERS_MAX 256 /* of the init and of execs */
#define WATCHED_MAX 96    /* numbers of calls, of all ABIs */

/* A call that is dealt with: by a process, which ends with it. */
struct dealing {
  pid_t pid; /* 0: none */
  struct call call;
  uint64_t id;
  int listener, process; /* the latter: a socket to it */
  uint64_t due;          /* when it is refused; 0: never */
  uint64_t question;     /* its number */
  uint32_t kind;         /* of what it has asked */
  bool asked, answering;
};

struct supervisor {
  int channel, control, counters; /* to the worker, of new listeners, of what was refused */
  int listeners[LISTENERS_MAX];
  struct dealing dealings[CALLS_MAX];
  struct means means;
  struct {
    uint32_t arch, number;
    const struct deal_entry *what;
  } watched[WATCHED_MAX];
  size_t n_watched;
  uint32_t answer_ms, modules;
  bool restarts;
  int begun;       /* where it says that it has begun, or why not */
  int init, guard; /* pidfd of the container's first process; where it is seen that its guard ends */
  struct executor *ex; /* for why a worker could not be started */
  struct worker worker;
  uint64_t began[8]; /* when the last of these did */
  size_t starts;
  struct buf in, out;
  uint64_t next; /* number of the next question */
};

/* Until the container's first process has ended, or it can't go on. */
void supervise(struct supervisor *);

/* worker_link.c. 0, or -1: there is no worker, and there is to be none. */
int link_start(struct supervisor *);
int link_ask(struct supervisor *, uint64_t question, const void *event, size_t len);
/* Reads what the worker says; `answer` is called for each. 0, or -1 where it is gone. */
int link_hear(struct supervisor *, void (*answer)(struct supervisor *, uint64_t question, uint32_t error, uint32_t module));
int link_flush(struct supervisor *);

/* Counts a refusal, of a module and a kind of call; of no module, where there was no verdict. */
void count_refusal(struct supervisor *, uint32_t module, uint32_t kind);

#endif
