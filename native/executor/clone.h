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

#define NOT_BORN 0xffffffffu
/* The cgroup that the process is to be born in: the one of version 2, at `index`. A descriptor, or -1 where there is none. */
int birth_cgroup(const struct op_clone *op, uint32_t *index);

/* Moves the new process into its cgroups but the one it was born in (or NOT_BORN), and writes its id maps. 0 or -1 (fail set). */
int place_process(struct executor *ex, const struct op_clone *op, pid_t pid, uint32_t born);
/* Writes /proc/PID/NAME in one piece; an empty text is none. 0 or -1 (fail set). */
int id_map_write(struct executor *ex, pid_t pid, const char *name, const char *text);

#endif
