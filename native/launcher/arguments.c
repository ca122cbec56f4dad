#define _GNU_SOURCE
#include "arguments.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRESERVE_MAX 1024

/* Flags whose value may be the next argument, where it matters which argument is the first without a dash: before the verb, and
 * behind `exec`, where what follows the container's id is another program's (src/cli/main.ts, src/cli/exec.ts). */
static const char *const global_values[] = {"log", "log-format", "root", "config", "criu", "rootless", NULL};
static const char *const exec_values[] = {"console-socket", "cwd",   "env", "user",         "additional-gids", "process", "pid-file", "pidfd-socket",
                                          "process-label",  "apparmor", "cap", "preserve-fds", "cgroup",          NULL};
#define EXEC_LETTERS "eugpc"

/* Strict decimal, at most PRESERVE_MAX; -1 where it is none. */
static int number(const char *text) {
  int n = 0;
  if (!*text) return -1;
  for (; *text; text++) {
    if (*text < '0' || *text > '9') return -1;
    n = n * 10 + (*text - '0');
    if (n > PRESERVE_MAX) return -1;
  }
  return n;
}

static bool takes_next(const char *arg, const char *const *names, const char *letters) {
  if (arg[1] != '-') { /* -e V, -te V; not -eV, -e=V */
    const char *first = strpbrk(arg + 1, letters);
    return first && !first[1];
  }
  for (; *names; names++)
    if (!strcmp(arg + 2, *names)) return true;
  return false;
}

/* The position of the first argument from `i` on that is neither a flag nor a flag's value; of `--` where that comes before. */
static int first_plain(char **argv, int i, const char *const *names, const char *letters) {
  for (; argv[i] && argv[i][0] == '-' && argv[i][1] && strcmp(argv[i], "--"); i++)
    if (takes_next(argv[i], names, letters) && argv[i + 1]) i++;
  return i;
}

/* The descriptors that the activation protocol gave this process (sd_listen_fds(3)). Where LISTEN_PID names another one they are
 * not ours: engines that were activated themselves pass the variables on without the descriptors. */
static int listen_fds(void) {
  const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
  char self[16];
  snprintf(self, sizeof self, "%d", getpid());
  return !count || (pid && strcmp(pid, self)) ? 0 : number(count);
}

/* The word of `controller status` or `controller stop`; NULL where it is another command. */
static const char *about_controller(char *const *words) {
  if (!words[0] || strcmp(words[0], "controller")) return NULL;
  while (*++words)
    if (!strcmp(*words, "status") || !strcmp(*words, "stop")) return *words;
  return NULL;
}

int arguments_read(char **argv, struct arguments *a, char *why, size_t size) {
  static const char no_controller[] = "--no-controller", flag[] = "--preserve-fds";
  *a = (struct arguments){0};
  if (!argv[0]) return 0;
  int verb = first_plain(argv, 1, global_values, "");
  for (int i = 1; i < verb; i++) {
    if (strcmp(argv[i], no_controller)) continue;
    a->own_controller = true;
    for (int j = i; argv[j]; j++) argv[j] = argv[j + 1];
    i--, verb--;
  }
  a->about_controller = about_controller(argv + verb);
  if (!argv[verb] || (strcmp(argv[verb], "create") && strcmp(argv[verb], "run") && strcmp(argv[verb], "exec"))) return 0;

  a->makes_process = true;
  int end = -1, n = 0, listen = listen_fds();
  if (!strcmp(argv[verb], "exec")) end = first_plain(argv, verb + 1, exec_values, EXEC_LETTERS);
  for (int i = verb + 1; argv[i] && i != end && strcmp(argv[i], "--"); i++) {
    const char *value = NULL;
    if (!strcmp(argv[i], flag)) value = argv[i + 1] ? argv[i + 1] : "";
    else if (!strncmp(argv[i], flag, sizeof flag - 1) && argv[i][sizeof flag - 1] == '=') value = argv[i] + sizeof flag;
    if (!value) continue;
    n = number(value);
    if (n < 0) {
      snprintf(why, size, "--preserve-fds: a number from 0 to %d is needed", PRESERVE_MAX);
      return -1;
    }
  }
  if (listen < 0) {
    snprintf(why, size, "LISTEN_FDS: a number from 0 to %d is needed", PRESERVE_MAX);
    return -1;
  }
  for (int fd = 3; fd < 3 + n + listen; fd++) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    snprintf(why, size, "%s: descriptor %d is not open", fd < 3 + listen ? "LISTEN_FDS" : flag, fd);
    return -1;
  }
  a->listen_fds = (unsigned)listen;
  a->preserve = (unsigned)(n + listen);
  return 0;
}
