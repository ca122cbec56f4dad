/* Who makes a call: its root, its working directory, its rights; and how to act in its stead without having more than these. */
#ifndef BERTH_CALLER_H
#define BERTH_CALLER_H

#include <stdint.h>
#include <sys/types.h>

#include "call.h"

#define GROUPS_MAX 256 /* more than that may be in nobody's way, but who has them is not acted for */

struct ids {
  uint32_t uid[4], gid[4]; /* real, effective, saved, of files */
  gid_t groups[GROUPS_MAX];
  size_t n_groups;
  uint64_t capabilities; /* in force */
  mode_t umask;
  pid_t process;          /* as we see it */
  pid_t own_process, own; /* in its own pid namespace: the process, the thread */
};

struct caller {
  struct ids ids; /* as this process sees them, which may change its user namespace to theirs */
  pid_t process;  /* as the supervisor sees it */
  uint32_t uid, gid; /* in force, as it sees them itself */
  int pidfd;
  int procs;      /* our /proc (O_PATH) */
  int proc;       /* its directory there (O_PATH) */
  int root, cwd;  /* O_PATH */
  int self;       /* the directory of our own descriptors in our /proc: their names there are links to what they are (O_PATH) */
};
#define _cleanup_caller_ __attribute__((cleanup(caller_cleanup)))
#define NOBODY ((struct caller){.pidfd = -1, .procs = -1, .proc = -1, .root = -1, .cwd = -1, .self = -1})
void caller_cleanup(struct caller *);

/* 0, or an errno. */
int caller_open(const struct asked *, struct caller *);
/* One of its descriptors, or -1 with errno. */
int caller_fd(const struct caller *, int fd);
/* The container's root becomes ours. 0, or an errno: ESRCH where what was read so far may be of somebody else. */
int caller_enter(const struct asked *);
/* And the caller's namespaces (but for those of processes and mounts), Landlock domains, ids, capabilities and umask: for good. 0, or an errno. */
int caller_become(const struct asked *, struct caller *);
/* The kernel asks the cgroup that a process is in which devices it may open. 0, or an errno. */
int caller_devices(const struct asked *);
/* The device that is its controlling terminal, 0 where it has none. */
dev_t caller_terminal(const struct caller *);

/* Begins an event: the call, and who makes it. 0 or -1. */
int begin_event(struct buf *, const struct asked *, const struct caller *, enum kind);

#endif
