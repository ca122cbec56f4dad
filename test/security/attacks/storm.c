/* Pipelines of programs whose system calls are judged, while every process of the container but the first is sent SIGCHLD all the time:
 *   storm HANDLER PIPELINES   runs so many, one after the other; prints how many of them never ended or failed, and what came of their opens
 *   storm HANDLER open COUNT  one end of such a pipeline: opens that many times
 *   storm HANDLER pass        the others: pass on what they read
 * HANDLER is what they have for the signal: `restarts`, which has the kernel do again what was interrupted, or `interrupts`. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 30000
#define OPENS "10"

static volatile sig_atomic_t signals;
static void handle(int number) {
  (void)number;
  signals++;
}

static int flags;
static void expect_signals(void) {
  struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
  if (sigaction(SIGCHLD, &action, NULL) != 0) exit(2);
}

static int opens(long count) {
  long allowed = 0, refused = 0, interrupted = 0, through = 0;
  expect_signals();
  for (long i = 0; i < count; i++) {
    int fd = open("/data/open", O_RDONLY);
    if (fd >= 0) allowed++;
    else if (errno == EINTR) interrupted++;
    if (fd >= 0) close(fd);
    fd = open("/data/secret", O_RDONLY);
    if (fd < 0 && errno == EPERM) refused++;
    else if (fd < 0 && errno == EINTR) interrupted++;
    else if (fd >= 0) through++;
    if (fd >= 0) close(fd);
  }
  dprintf(1, "%ld %ld %ld %ld %d\n", allowed, refused, interrupted, through, (int)signals);
  return 0;
}

static int pass(void) {
  char data[256];
  expect_signals();
  for (;;) {
    ssize_t got = read(0, data, sizeof data);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 ? 3 : 0;
    if (write(1, data, (size_t)got) != got) return 3;
  }
}

/* What a pipeline says, up to its end. False where that does not come. */
static bool hears(int from, char *said, size_t room) {
  size_t len = 0;
  for (;;) {
    struct pollfd p = {.fd = from, .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) <= 0) return false;
    ssize_t got = read(from, said + len, room - 1 - len);
    if (got < 0) return false;
    len += (size_t)got;
    said[len] = '\0';
    if (got == 0) return true;
  }
}

static int storm(const char *handler, long pipelines) {
  char command[128];
  snprintf(command, sizeof command, "/storm %s open " OPENS " | /storm %s pass | /storm %s pass", handler, handler, handler);
  pid_t sender = fork();
  if (sender == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) _exit(2);
    for (;;) (void)kill(-1, SIGCHLD);
  }
  long hung = 0, failed = 0, allowed = 0, refused = 0, interrupted = 0, through = 0, heard = 0;
  for (long i = 0; i < pipelines && hung == 0; i++) {
    int ends[2], status = 1;
    char said[1024] = "";
    if (sender < 0 || pipe2(ends, O_CLOEXEC) != 0) return 2;
    pid_t shell = fork();
    if (shell == 0) {
      dup2(ends[1], 1);
      execl("/bin/sh", "sh", "-c", command, (char *)NULL);
      _exit(127);
    }
    close(ends[1]);
    if (!hears(ends[0], said, sizeof said)) hung++;
    else (void)waitpid(shell, &status, 0);
    close(ends[0]);
    long these[5] = {0};
    if (status != 0 || sscanf(said, "%ld %ld %ld %ld %ld", &these[0], &these[1], &these[2], &these[3], &these[4]) != 5) failed++;
    allowed += these[0];
    refused += these[1];
    interrupted += these[2];
    through += these[3];
    heard += these[4];
  }
  printf("hung %ld\nfailed %ld\nallowed %ld\nrefused %ld\ninterrupted %ld\nthrough %ld\nsignals %ld\n", hung, failed, allowed, refused, interrupted, through, heard);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 3) return 4;
  flags = strcmp(argv[1], "restarts") == 0 ? SA_RESTART : 0;
  if (argc == 4 && strcmp(argv[2], "open") == 0) return opens(atol(argv[3]));
  return strcmp(argv[2], "pass") == 0 ? pass() : storm(argv[1], atol(argv[2]));
}
