/* Owned descriptors, mappings and strings: given back where their variable goes out of scope. */
#ifndef BERTH_FD_H
#define BERTH_FD_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buf.h"

/* `_cleanup_fd_ int fd = open(…);` and so on; errno survives the cleanup. */
#define _cleanup_fd_ __attribute__((cleanup(fd_cleanup)))
#define _cleanup_buf_ __attribute__((cleanup(buf_cleanup)))
#define _cleanup_free_ __attribute__((cleanup(free_cleanup)))
#define _cleanup_dir_ __attribute__((cleanup(dir_cleanup)))

/* Closes, keeping errno, and leaves -1 behind. */
static inline void fd_close(int *fd) {
  int saved = errno;
  if (*fd >= 0) (void)close(*fd);
  *fd = -1;
  errno = saved;
}

/* Hands a descriptor on: the variable no longer owns it. */
static inline int fd_steal(int *fd) {
  int taken = *fd;
  *fd = -1;
  return taken;
}

static inline void fd_cleanup(int *fd) {
  fd_close(fd);
}

static inline void buf_cleanup(struct buf *b) {
  int saved = errno;
  buf_free(b);
  errno = saved;
}

static inline void free_cleanup(void *pointer) {
  int saved = errno;
  free(*(void **)pointer);
  errno = saved;
}

static inline void dir_cleanup(DIR **dir) {
  int saved = errno;
  if (*dir != NULL) (void)closedir(*dir);
  errno = saved;
}

/* A path that names the descriptor, for calls that take no descriptor. */
#define FD_PATH_SIZE 32
static inline const char *fd_path(char (*path)[FD_PATH_SIZE], int fd) {
  (void)snprintf(*path, sizeof *path, "/proc/self/fd/%d", fd);
  return *path;
}

#endif
