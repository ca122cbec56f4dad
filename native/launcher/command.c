#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/reader.h"
#include "../executor/executor.h"
#include "../monitor/agent.h"
#include "../monitor/jobs.h"
#include "controller.h"
#include "install.h"
#include "remote.h"

#define PRESERVE_MAX 1024

extern char **environ;

static struct agent *agent;
static struct executor executor;
static bool own_controller;

static _Noreturn void usage(const char *what) {
  fprintf(stderr, "berth: %s\n", what);
  exit(2);
}

/* ---- what this process does for plans ---- */

static int run_remote(void *home, const char *socket, const uint8_t *plan, size_t len, struct buf *outcome) {
  (void)home;
  return remote_run(socket, plan, len, outcome);
}
static int take(void *home, const char *name) {
  (void)home;
  return remote_take(name);
}

static int do_connect(void *owner, bool own, uint64_t ticket) {
  (void)owner;
  (void)ticket;
  return controller_connect(own || own_controller);
}

static void run_step(void *owner, uint64_t request, const char *step, const uint8_t *plan, size_t len) {
  (void)owner;
  _cleanup_buf_ struct buf outcome = {0};
  if (executor_run(&executor, plan, len, &outcome) < 0) outcome_failed(&outcome, "mmap", ENOMEM, "no memory for the outcome");
  agent_outcome(agent, request, step, plan, len, outcome.data, outcome.len);
}

static void write_all(int fd, struct span text) {
  while (text.len > 0) {
    ssize_t n = write(fd, text.data, text.len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return; /* nobody reads it */
    text.data += n;
    text.len -= (size_t)n;
  }
}

static void answer(void *owner, uint64_t request, const uint8_t *payload, size_t len) {
  (void)owner;
  (void)request;
  struct reader r = reader_of(payload, len);
  uint32_t code = reader_u32(&r);
  struct span out = reader_bytes(&r), err = reader_bytes(&r);
  if (r.bad) {
    fputs("berth: the controller's answer can't be read\n", stderr);
    exit(1);
  }
  write_all(1, out);
  write_all(2, err);
  exit((int)(code & 0xff));
}

static void give_up(void *owner, uint64_t request, const char *why) {
  (void)owner;
  (void)request;
  struct install in;
  char detail[PATH_MAX + 256];
  if (install_find(&in, detail, sizeof detail) < 0) fprintf(stderr, "berth: %s\n", detail);
  else fprintf(stderr, "berth: %s\n", why);
  exit(1);
}

/* ---- the request ---- */

/* Strict decimal, at most `max`; -1 where it is none. */
static int number(const char *text, int max) {
  int n = 0;
  if (!*text) return -1;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || n > max) return -1;
    n = n * 10 + (*text - '0');
  }
  return n > max ? -1 : n;
}

/* The only flags that this side must know: descriptors are inherited, not sent, and the kind of controller comes first. */
static unsigned preserved(int argc, char **argv, int listen_fds) {
  int n = 0;
  for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
    static const char flag[] = "--preserve-fds";
    const char *value = NULL;
    if (!strcmp(argv[i], flag)) value = i + 1 < argc ? argv[i + 1] : "";
    else if (!strncmp(argv[i], flag, sizeof flag - 1) && argv[i][sizeof flag - 1] == '=') value = argv[i] + sizeof flag;
    if (!value) continue;
    n = number(value, PRESERVE_MAX);
    if (n < 0) usage("--preserve-fds: a number from 0 to 1024 is needed");
  }
  n += listen_fds;
  for (int fd = 3; fd < 3 + n; fd++) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    char text[96];
    snprintf(text, sizeof text, "--preserve-fds, LISTEN_FDS: descriptor %d is not open", fd);
    usage(text);
  }
  return (unsigned)n;
}

static int strings(struct buf *out, char **list) {
  uint32_t n = 0;
  while (list[n]) n++;
  if (buf_u32(out, n) < 0) return -1;
  for (uint32_t i = 0; i < n; i++)
    if (buf_str(out, list[i]) < 0) return -1;
  return 0;
}

static int encode_request(struct buf *body, char **argv, int listen_fds) {
  char cwd[PATH_MAX];
  if (!getcwd(cwd, sizeof cwd)) return -1;
  uint32_t ttys = 0;
  struct winsize size = {0};
  for (int fd = 0; fd < 3; fd++)
    if (isatty(fd)) {
      ttys |= 1u << fd;
      (void)ioctl(fd, TIOCGWINSZ, &size); /* unknown: 0 by 0 */
    }
  return strings(body, argv) < 0 || strings(body, environ) < 0 || buf_str(body, cwd) < 0 || buf_u32(body, geteuid()) < 0 ||
                 buf_u32(body, getegid()) < 0 || buf_u32(body, (uint32_t)getpid()) < 0 || buf_u32(body, ttys) < 0 ||
                 buf_u32(body, size.ws_row) < 0 || buf_u32(body, size.ws_col) < 0 || buf_u32(body, (uint32_t)listen_fds) < 0
             ? -1
             : 0;
}

int command_main(int argc, char **argv) {
  /* Flags before the verb; this one chooses who serves them, so it can't be left to who does. */
  for (int i = 1; i < argc && argv[i][0] == '-'; i++)
    if (!strcmp(argv[i], "--no-controller")) own_controller = true;
  const char *listen = getenv("LISTEN_FDS");
  int listen_fds = listen ? number(listen, PRESERVE_MAX) : 0;
  if (listen_fds < 0) usage("LISTEN_FDS: a number from 0 to 1024 is needed");
  remote_preserve(preserved(argc, argv, listen_fds));

  static const struct effects effects = {.remote = run_remote, .take = take};
  executor_init(&executor, &effects);
  for (int fd = 0; fd < 3; fd++) executor.slots[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* -1 where it is not open */
  const struct agent_owner owner = {.connect = do_connect, .run_step = run_step, .answer = answer, .give_up = give_up};
  struct buf body = {.secret = true};
  agent = agent_new(ROLE_LAUNCHER, &owner, NULL);
  if (!agent || encode_request(&body, argv + 1, listen_fds) < 0 || !agent_request(agent, REQUEST_COMMAND, body.data, body.len)) {
    fprintf(stderr, "berth: %s\n", strerror(errno));
    return 1;
  }
  buf_free(&body);
  for (;;) {
    struct pollfd p = {.fd = agent_fd(agent), .events = POLLIN};
    if (poll(&p, 1, -1) < 0 && errno != EINTR) return 1;
    agent_ready(agent);
  }
}
