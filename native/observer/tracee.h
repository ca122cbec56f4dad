/* The process whose system call is looked at. Others may change what it points to meanwhile: what is seen is what it says at this moment,
 * which is good enough to learn from and for nothing else. */
#ifndef BERTH_TRACEE_H
#define BERTH_TRACEE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct call {
  pid_t pid; /* of the thread */
  const uint64_t *args;
  bool narrow; /* its pointers have 32 bits */
};

/* Both 0 or -1. */
int tracee_read(const struct call *, uint64_t address, void *to, size_t len);
int tracee_string(const struct call *, uint64_t address, char to[PATH_MAX]);
/* A pointer or a size at this address, and the size of one. */
int tracee_word(const struct call *, uint64_t address, uint64_t *value);
size_t tracee_word_size(const struct call *);
/* A copy of one of its descriptors, or -1. */
int tracee_fd(const struct call *, int fd);
/* The process that the thread is of, or -1. */
pid_t tracee_process(const struct call *);

/* Where a path of it leads: without symlinks, as seen in its root. */
struct place {
  char path[PATH_MAX];
  struct stat info;
  int fd; /* O_PATH */
};
#define _cleanup_place_ __attribute__((cleanup(place_cleanup)))
void place_cleanup(struct place *);

/* The path as given, from where it is relative to; not resolved. 0 or -1. */
int tracee_path(const struct call *, int dir, const char *path, char whole[PATH_MAX]);
/* 0, or -1 with errno: ENOENT where nothing is there. */
int tracee_resolve(const struct call *, const char *whole, bool follow, struct place *);

#endif
