/* Processes that end: reaped in one place (a second wait elsewhere would eat a container's exit), numbered, told once their
 * exit is on disk, kept until the controller has acknowledged them. */
#ifndef BERTH_EXITS_H
#define BERTH_EXITS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct held_process;

/* Called with each exit of a held process; `wait_status` as of waitpid(2), `time` in ns since the epoch. */
typedef void (*exit_seen)(const char *key, pid_t pid, int wait_status, uint64_t time);

/* The parent's way (under containerd): blocks SIGCHLD and reaps whatever ends. 0 or -1. */
int exits_reap(exit_seen seen);
/* A child of our own (an executor, a connector) whose exit means nothing to anyone. */
void exits_ignore(pid_t pid);
/* An executor has reported all it did: exits that nobody knew before may belong to a process it cloned. */
void exits_recheck(void);

/* Blocks SIGCHLD and reaps the ignored children only, each by its pid: hooks that run in this process wait for their own. 0 or -1. */
int exits_reap_ignored(void);
/* The way of one who is not the parent (command line): watches the pidfd. 0 or -1. */
int exits_watch(struct held_process *, exit_seen seen);

#endif
