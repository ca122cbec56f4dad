/* The system calls that are looked at: what each says of files and addresses. */
#ifndef BERTH_CALLS_H
#define BERTH_CALLS_H

#include "../common/tracee.h"
#include "place.h"

/* 0; -1: what was seen could not be written. */
typedef int look(const struct call *);

/* NULL where nothing is known of a call of this name. */
look *look_of(const char *name);

/* files.c, program.c, sockets.c */
extern const struct look_entry {
  const char *name;
  look *look;
} file_looks[], socket_looks[];
look look_execve, look_execveat;

#endif
