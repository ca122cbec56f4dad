/* The way from the clone operation to the process it makes. */
#ifndef BERTH_CLONE_H
#define BERTH_CLONE_H

#include <stdbool.h>

#include "executor.h"
#include "ops.gen.h"

/* Where this process's arguments lie: they name paths of the host, and anyone who sees a cloned process may read them in /proc/PID/cmdline
 * (trap 2). It says what it is instead. To be called once, with the vector of main. */
void clone_arguments(int argc, char **argv);
/* For a process that was cloned: this is its only argument from now on, and its name. */
void clone_named(const char *name);

#define NAMESPACE_KINDS 8

/* What is entered for a clone; copied out of the plan, which forked children do not have (trap 2). */
struct entry {
  uint32_t slots[NAMESPACE_KINDS], count;
  bool new_time;
  char time_offsets[128];
};

/* 0 or -1 (fail set). */
int entry_read(struct executor *ex, const struct op_clone *op, struct entry *entry);
/* Whether a user namespace is among them: there is no way back then, so that another process has to go. */
bool entry_has_user(struct executor *ex, const struct entry *entry);

/* Namespaces that were joined for a clone: our own, to go back to; -1 where not left. */
struct joined {
  int own[NAMESPACE_KINDS];
};

/* Both return 0, or -1 (fail set). leave_namespaces is due even after join_namespaces failed. */
int join_namespaces(struct executor *ex, const struct entry *entry, struct joined *joined);
int leave_namespaces(struct executor *ex, struct joined *joined);
/* For the process that does not come back. 0 or -1 (fail set). */
int join_for_good(struct executor *ex, const struct entry *entry);

const char *namespace_name(int type);
/* The kernel refuses to enter the user namespace that one is in already. */
bool is_own_user_namespace(int ns);

#define NOT_BORN 0xffffffffu
/* The cgroup that the process is to be born in: the one of version 2, at `index`. A descriptor, or -1 where there is none. */
int birth_cgroup(const struct op_clone *op, uint32_t *index);

/* The cgroups of version 1 that the new process moves itself into. */
#define JOIN_MAX 32
struct joining {
  int tasks[JOIN_MAX]; /* by the position of the cgroup; -1: it is moved there by its maker */
};
/* Opens them. 0 or -1 (fail set). */
int joining_open(struct executor *ex, const struct op_clone *op, uint32_t born, struct joining *);
void joining_close(struct joining *);
/* For the new process: joins, and tells `control` how that went. False where nobody hears it. */
bool joining_do(const struct joining *, int control);
/* For its maker: hears it. 0 or -1 (fail set). */
int joining_done(struct executor *ex, const struct op_clone *op, const struct joining *, int control);

/* Moves the new process into its cgroups but the one it was born in (or NOT_BORN) and those that it joins itself, and writes its id maps. 0 or
 * -1 (fail set). */
int place_process(struct executor *ex, const struct op_clone *op, pid_t pid, uint32_t born, const struct joining *);
/* Writes /proc/PID/NAME in one piece; an empty text is none. 0 or -1 (fail set). */
int id_map_write(struct executor *ex, pid_t pid, const char *name, const char *text);
/* The same, or by this program where it is not "". */
int id_map(struct executor *ex, pid_t pid, const char *name, const char *map, const char *mapper);

#endif
