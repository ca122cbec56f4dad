/* The way from the clone operation to the process it makes. */
#ifndef BERTH_CLONE_H
#define BERTH_CLONE_H

#include "executor.h"
#include "ops.gen.h"

/* Namespaces that only children enter: joined for a clone, left after it. */
struct joined {
  int own_pid, own_time; /* our own namespaces, -1 where not left */
};

/* Both return 0, or -1 (fail set). leave_namespaces is due even after join_namespaces failed. */
int join_namespaces(struct executor *ex, const struct op_clone *op, struct joined *joined);
int leave_namespaces(struct executor *ex, struct joined *joined);

/* Moves the new process into its cgroups and writes its id maps. 0 or -1 (fail set). */
int place_process(struct executor *ex, const struct op_clone *op, pid_t pid);
/* Writes /proc/PID/NAME in one piece; an empty text is none. 0 or -1 (fail set). */
int id_map_write(struct executor *ex, pid_t pid, const char *name, const char *text);

#endif
