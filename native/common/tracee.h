/* The process whose system call is looked at. Others may change what it points to meanwhile: what is seen is what it says at this moment.
 * That is good enough to learn from; who decides by it has to act on the copy, never to let the call read again. */
#ifndef BERTH_TRACEE_H
#define BERTH_TRACEE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "buf.h"

struct call {
  pid_t pid; /* of the thread */
  const uint64_t *args;
  bool narrow; /* its pointers have 32 bits */
};

/* All 0, or -1 with errno: ENAMETOOLONG where a string has no end in what there is room for. */
int tracee_read(const struct call *, uint64_t address, void *to, size_t len);
int tracee_string(const struct call *, uint64_t address, char to[PATH_MAX]);
/* Appends it with its NUL. */
int tracee_text(const struct call *, uint64_t address, size_t max, struct buf *to);
/* A pointer or a size at this address, and the size of one. */
int tracee_word(const struct call *, uint64_t address, uint64_t *value);
size_t tracee_word_size(const struct call *);
/* A copy of one of its descriptors, or -1 with errno. */
int tracee_fd(const struct call *, int fd);
/* A pidfd of it, or -1 with errno. */
int tracee_pidfd(const struct call *);
/* The process that the thread is of, or -1. */
pid_t tracee_process(const struct call *);

#endif
