#define _GNU_SOURCE
#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/fd.h"
#include "resolve.h"

#define PASSWD "/etc/passwd"
#define PASSWD_MAX (16u << 20)
/* The fields of passwd(5), counted from 0. */
#define FIELD_UID 2
#define FIELD_HOME 5
#define LINE_SIZE (PATH_MAX + 1024)

/* The image decides what the name stands for: nothing but a file is opened, a device might act on it. */
static int open_passwd(const struct executor *ex) {
  struct stat info;
  _cleanup_fd_ int named = root_open(ex, PASSWD, O_PATH | O_CLOEXEC, 0);
  if (named < 0 || fstat(named, &info) != 0 || !S_ISREG(info.st_mode)) return -1;
  _cleanup_fd_ int fd = root_open(ex, PASSWD, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
  return fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? fd_steal(&fd) : -1;
}

/* Whether the line is of this user and names a directory, which is written behind HOME_NAME then. Cuts the line up. */
static bool is_user(char *line, uint32_t uid, char variable[HOME_SIZE]) {
  char *fields[FIELD_HOME + 1], *rest = line, *end;
  for (int i = 0; i <= FIELD_HOME; i++)
    if ((fields[i] = strsep(&rest, ":")) == NULL) return false;
  const char *text = fields[FIELD_UID], *home = fields[FIELD_HOME];
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  unsigned long long number = strtoull(text, &end, 10);
  if (errno != 0 || *end != '\0' || number != uid || *home == '\0' || strlen(home) >= PATH_MAX) return false;
  strcpy(variable + strlen(HOME_NAME), home);
  return true;
}

void home_find(const struct executor *ex, uint32_t uid, char variable[HOME_SIZE]) {
  strcpy(variable, HOME_NAME "/");
  _cleanup_fd_ int fd = open_passwd(ex);
  char line[LINE_SIZE];
  size_t len = 0, total = 0;
  bool whole = true; /* a longer line is none of ours: no path is that long */
  for (ssize_t got; fd >= 0 && total < PASSWD_MAX && (got = read(fd, line + len, sizeof line - 1 - len)) > 0; total += (size_t)got) {
    len += (size_t)got;
    line[len] = '\0';
    char *at = line, *newline;
    for (; (newline = memchr(at, '\n', (size_t)(line + len - at))) != NULL; at = newline + 1) {
      *newline = '\0';
      if (whole && is_user(at, uid, variable)) return;
      whole = true;
    }
    len = (size_t)(line + len - at);
    memmove(line, at, len);
    if (len == sizeof line - 1) {
      len = 0;
      whole = false;
    }
  }
  line[len] = '\0';
  if (whole) (void)is_user(line, uid, variable);
}
