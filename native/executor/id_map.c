/* The id maps of a new user namespace. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fd.h"
#include "clone.h"
#include "paths.h"
#include "program.h"

#define MAPPER_MS 30000 /* its name service may be slow */

int id_map_write(struct executor *ex, pid_t pid, const char *name, const char *text) {
  if (text[0] == '\0') return 0;
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  _cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail_sys(&ex->fail, "open", path);
  /* One write: the kernel takes a map whole or not at all. */
  ssize_t put = write(fd, text, strlen(text));
  return put == (ssize_t)strlen(text) ? 0 : fail_sys(&ex->fail, "write", path);
}

/* Has newuidmap(1) or newgidmap(1), which are privileged, write a map that we may not write: for ids that /etc/subuid and /etc/subgid
 * give this user. They get no environment and no descriptor of ours. */
static int map_by(struct executor *ex, const char *mapper, const char *pid, const char *map) {
  char *envp[] = {NULL};
  _cleanup_free_ char *text = strdup(map), *path = strdup(mapper), *name = strdup(pid);
  _cleanup_free_ char **argv = calloc(strlen(map) / 2 + 4, sizeof *argv); /* a number takes its separator too */
  _cleanup_fd_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (text == NULL || path == NULL || name == NULL || argv == NULL) return fail_sys(&ex->fail, "malloc", mapper);
  if (null < 0) return fail_sys(&ex->fail, "open", "/dev/null");
  size_t argc = 0;
  argv[argc++] = path;
  argv[argc++] = name;
  char *rest;
  for (char *number = strtok_r(text, " \n", &rest); number != NULL; number = strtok_r(NULL, " \n", &rest)) argv[argc++] = number;
  const struct program program = {.path = path, .argv = argv, .envp = envp, .timeout_ms = MAPPER_MS};
  return program_run(ex, &program, null);
}

int id_map(struct executor *ex, pid_t pid, const char *name, const char *map, const char *mapper) {
  if (*mapper == '\0' || *map == '\0') return id_map_write(ex, pid, name, map);
  char text[16];
  (void)snprintf(text, sizeof text, "%d", (int)pid);
  return map_by(ex, mapper, text, map);
}
