/* What the kernel tells of a memory cgroup that ran out of memory: a counter, and a descriptor that is ready when it may have grown. */
#ifndef BERTH_OOM_H
#define BERTH_OOM_H

#include <stdbool.h>
#include <stdint.h>

/* v1: `event` is an eventfd, which is ready before the kill, and when the cgroup is removed (trap 19). v2: `event` is -1, and `counter`
 * itself is ready for POLLPRI at any change of its file. */
struct oom_files {
  int event, counter;
};

struct oom_count {
  uint64_t kills;
  bool stuck; /* v1: out of memory, and the killer is off: everything in the cgroup waits */
};

/* 0, or -1 with errno where the directory is none of a memory controller's. */
int oom_open(int memory, struct oom_files *);
/* Reads the counter anew. 0, or -1 with errno: the cgroup has gone. */
int oom_read(int counter, struct oom_count *);

#endif
