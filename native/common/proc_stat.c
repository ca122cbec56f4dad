#define _GNU_SOURCE
#include "proc_stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

/* The field of this number, counted from the end of the second one. NULL where there are not as many. */
static const char *field(const char *name_end, int number) {
  for (int at = 2; name_end != NULL && at < number; at++) name_end = strchr(name_end + 1, ' ');
  return name_end == NULL ? NULL : name_end + 1;
}

int proc_stat_read(pid_t pid, struct proc_stat *stat) {
  char path[32], text[1024];
  (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) errno = ESRCH;
    return -1;
  }
  ssize_t len = read(fd, text, sizeof text - 1);
  if (len < 0) return -1;
  text[len] = '\0';
  /* The second field is the process's own choice and may hold blanks and parentheses. */
  const char *end = strrchr(text, ')');
  const char *state = field(end, 3), *flags = field(end, 9), *start = field(end, 22), *exit_code = field(end, 52);
  if (exit_code == NULL) {
    errno = EPROTO;
    return -1;
  }
  *stat = (struct proc_stat){*state, strtoul(flags, NULL, 10), strtoull(start, NULL, 10), atoi(exit_code)};
  return 0;
}
