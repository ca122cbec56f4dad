/* The monitor's event loop: descriptors and deadlines. Single-threaded; nothing called from it may block. */
#ifndef BERTH_LOOP_H
#define BERTH_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* A watched descriptor, embedded in what owns it. The owner closes `fd` itself, after loop_unwatch. */
struct source {
  int fd;
  void (*ready)(struct source *, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP … */
};

/* A deadline, embedded in what owns it. */
struct timer {
  uint64_t due; /* CLOCK_MONOTONIC, ms; 0: not set */
  void (*fire)(struct timer *);
  struct timer *next;
  struct source *listener; /* of loop_accept_failed */
};

int loop_init(void);
/* The epoll descriptor (for children, which close it). */
int loop_fd(void);
int loop_watch(struct source *, uint32_t events);
int loop_change(struct source *, uint32_t events);
void loop_unwatch(struct source *);

void timer_set(struct timer *, uint64_t ms_from_now);
void timer_clear(struct timer *);

/* A listener whose accept failed: where descriptors or memory are short it is left alone for a moment, for it would be ready at once
 * again. `timer` is the listener's own. */
void loop_accept_failed(struct source *listener, struct timer *timer);

/* Runs until loop_stop. */
void loop_run(void);
void loop_stop(void);

#endif
