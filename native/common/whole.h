/* Files read and written whole. */
#ifndef BERTH_WHOLE_H
#define BERTH_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

/* Appends what is left of the file; EFBIG where that is more than `max`. Files of unknown size (procfs, cgroup) too. 0 or -1. */
int read_whole(int fd, size_t max, struct buf *out);
/* 0 or -1 with errno. */
int write_whole(int fd, const void *data, size_t len);
/* Waits for a byte, whatever it is: a sign of whoever has the other end. False where that is closed instead. */
bool read_byte(int fd);

#endif
