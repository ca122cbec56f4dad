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
#include "../common/whole.h"
#include "../executor/executor.h"
#include "../monitor/agent.h"
#include "../monitor/jobs.h"
#include "arguments.h"
#include "controller.h"
#include "direct.h"
#include "install.h"
#include "remote.h"
#include "run_dir.h"
#include "self_exec.h"
#include "working_dir.h"

/* Of a service, to service managers (LSB). */
enum { NOT_RUNNING = 3 };

extern char **environ;

static struct agent *agent;
static struct executor executor;
static struct arguments arguments;
static uint32_t round_number; /* how often the answer was to ask again */
static bool asked_again;
static struct buf attempt; /* the outcome of what was tried without a controller */

/* ---- what this process does for plans ---- */

static int run_remote(void *home, const char *socket, const uint8_t *plan, size_t len, struct buf *outcome) {
  (void)home;
  if (remote_run(socket, plan, len, outcome) == 0) return 0;
  if (!spawn_failed_in()) return -1;
  outcome_failed(outcome, spawn_failed_in(), errno, "no process to hold the container could be started");
  return 0;
}
static int take(void *home, const char *name) {
  (void)home;
  return remote_take(name);
}

static int do_connect(void *owner, bool own, uint64_t ticket) {
  (void)owner;
  (void)ticket;
  return controller_connect(own || arguments.own_controller);
}

static void run_step(void *owner, uint64_t request, const char *step, const uint8_t *plan, size_t len) {
  (void)owner;
  _cleanup_buf_ struct buf outcome = {0};
  if (executor_run(&executor, plan, len, &outcome) < 0) outcome_failed(&outcome, "mmap", ENOMEM, "no memory for the outcome");
  agent_outcome(agent, request, step, plan, len, outcome.data, outcome.len);
}

/* False where nobody reads it. */
static bool print(int fd, struct span text) { return text.len == 0 || write_whole(fd, text.data, text.len) == 0; }

static void answer(void *owner, uint64_t request, const uint8_t *payload, size_t len) {
  (void)owner;
  (void)request;
  struct reader r = reader_of(payload, len);
  uint32_t code = reader_u32(&r);
  struct span out = reader_bytes(&r), err = reader_bytes(&r);
  bool again = reader_u32(&r) != 0;
  if (r.bad) {
    fputs("berth: the controller's answer can't be read\n", stderr);
    exit(1);
  }
  bool heard = print(1, out);
  (void)print(2, err);
  if (!again || !heard) exit((int)(code & 0xff));
  round_number++;
  asked_again = true;
}

static void give_up(void *owner, uint64_t request, const char *why) {
  (void)owner;
  (void)request;
  struct install in;
  char detail[PATH_MAX + 256];
  if (install_find(&in, detail, sizeof detail) < 0) fprintf(stderr, "berth: %s\n", detail);
  else fprintf(stderr, "berth: %s%s%s\n", why, *controller_place() ? ": see " : "", controller_place());
  exit(1);
}

/* ---- the request ---- */

static int strings(struct buf *out, char **list) {
  uint32_t n = 0;
  while (list[n]) n++;
  if (buf_u32(out, n) < 0) return -1;
  for (uint32_t i = 0; i < n; i++)
    if (buf_str(out, list[i]) < 0) return -1;
  return 0;
}

static int encode_request(struct buf *body, char **argv, const char *run) {
  char cwd[PATH_MAX];
  if (working_dir(cwd) < 0) return -1;
  uint32_t ttys = 0;
  struct winsize size = {0};
  for (int fd = 0; fd < 3; fd++)
    if (isatty(fd)) {
      ttys |= 1u << fd;
      (void)ioctl(fd, TIOCGWINSZ, &size); /* unknown: 0 by 0 */
    }
  return strings(body, argv) < 0 || strings(body, environ) < 0 || buf_str(body, cwd) < 0 || buf_u32(body, geteuid()) < 0 ||
                 buf_u32(body, getegid()) < 0 || buf_u32(body, (uint32_t)getpid()) < 0 || buf_u32(body, ttys) < 0 ||
                 buf_u32(body, size.ws_row) < 0 || buf_u32(body, size.ws_col) < 0 || buf_u32(body, arguments.listen_fds) < 0 ||
                 buf_u32(body, round_number) < 0 || buf_str(body, run) < 0 || buf_bytes(body, attempt.data, attempt.len) < 0
             ? -1
             : 0;
}

static int ask(char **argv, const char *run) {
  _cleanup_buf_ struct buf body = {.secret = true};
  return encode_request(&body, argv, run) == 0 && agent_request(agent, REQUEST_COMMAND, body.data, body.len, NULL) ? 0 : -1;
}

int command_main(int argc, char **argv, bool direct) {
  char why[128], run[PATH_MAX];
  (void)argc;
  if (arguments_read(argv, &arguments, why, sizeof why) < 0) {
    fprintf(stderr, "berth: %s\n", why);
    return 2;
  }
  if (run_dir(run) < 0) {
    fprintf(stderr, "berth: %s\n", run_dir_trouble());
    return 1;
  }
  if (arguments.about_controller && !controller_runs()) {
    puts("no controller is running");
    return strcmp(arguments.about_controller, "stop") ? NOT_RUNNING : 0;
  }
  remote_preserve(arguments.preserve);

  static const struct effects effects = {.remote = run_remote, .take = take};
  executor_init(&executor, &effects);
  /* What becomes of an exec that fails does not know of --no-controller. */
  direct = direct && arguments.preserve == 0 && !(arguments.own_controller && arguments.makes_process);
  if (direct && direct_verb(argv + 1, run, &executor, &attempt)) return 0;
  for (int fd = 0; fd < 3; fd++) executor.slots[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  const struct agent_owner owner = {.connect = do_connect, .run_step = run_step, .answer = answer, .give_up = give_up};
  agent = agent_new(ROLE_LAUNCHER, &owner, NULL);
  asked_again = agent != NULL; /* the first time */
  for (;;) {
    if (!agent || (asked_again && ask(argv + 1, run) < 0)) {
      fprintf(stderr, "berth: %s\n", strerror(errno));
      return 1;
    }
    asked_again = false;
    if (arguments.makes_process) remote_early();
    struct pollfd p = {.fd = agent_fd(agent), .events = POLLIN};
    if (poll(&p, 1, -1) < 0 && errno != EINTR) {
      fprintf(stderr, "berth: poll: %s\n", strerror(errno));
      return 1;
    }
    agent_ready(agent);
  }
}
