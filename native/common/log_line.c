#define _GNU_SOURCE
#include "log_line.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"

void log_line(const char *fifo, const char *message) {
  _cleanup_fd_ int fd = open(fifo, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) return;
  struct timespec now;
  struct tm utc;
  if (clock_gettime(CLOCK_REALTIME, &now) < 0 || !gmtime_r(&now.tv_sec, &utc)) return;
  char line[PIPE_BUF], when[32]; /* one write: lines of several writers do not mix */
  (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
  int start = snprintf(line, sizeof line, "time=\"%s.%09ldZ\" level=warning msg=\"", when, now.tv_nsec);
  size_t len = (size_t)start;
  for (const char *c = message; *c && len < sizeof line - 4; c++) {
    if (*c == '"' || *c == '\\') line[len++] = '\\';
    line[len++] = (unsigned char)*c < ' ' ? ' ' : *c;
  }
  line[len++] = '"';
  line[len++] = '\n';
  (void)!write(fd, line, len);
}
