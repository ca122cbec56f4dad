#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../common/exit_status.h"
#include "../common/fd.h"
#include "../common/replace.h"
#include "../executor/executor.h"
#include "../launcher/confine.h"
#include "../launcher/install.h"
#include "../launcher/run_dir.h"
#include "agent.h"
#include "clients.h"
#include "connector.h"
#include "ending.h"
#include "events.h"
#include "exits.h"
#include "front.h"
#include "jobs.h"
#include "loop.h"
#include "oom_watch.h"
#include "pumps.h"
#include "release.h"
#include "unread.h"

#define FLUSH_MS 5000 /* how long the last events may take, as the reference */
/* How long the record on disk may stay behind: most containers that end at once have none written. */
#define RECORD_MS 20

/* An exit or an OOM that the controller has not acknowledged lives in the agent, as a request; this numbers them. */
static uint64_t next_serial;
static struct agent *agent;
static struct source agent_source, quit_signals;
static const char *socket_path, *state_dir, *id;
static bool leaving;

static const char *value(const char *const *context, const char *key) {
  size_t n = strlen(key);
  for (; *context; context++)
    if (!strncmp(*context, key, n) && (*context)[n] == '=') return *context + n + 1;
  return NULL;
}

/* ---- what the agent asks for ---- */

static void connected(uint64_t ticket, int fd, int error) { agent_connected(agent, ticket, fd, error); }

static int start_connect(void *owner, bool own, uint64_t ticket) {
  (void)owner;
  if (connector_start(own, ticket, connected) == 0) errno = EINPROGRESS;
  return -1;
}

struct running_step {
  uint64_t request;
  char *name;
  struct buf plan; /* for the journal's key; hidden from children as every plan */
};

static void step_done(void *context, const struct buf *outcome) {
  struct running_step *s = context;
  agent_outcome(agent, s->request, s->name, s->plan.data, s->plan.len, outcome->data, outcome->len);
  exits_recheck();
  buf_free(&s->plan);
  free(s->name);
  free(s);
}

/* Files of a bundle and of the kernel's are read at once: to fork somebody who does it takes twice as long as to do it. False where it is more
 * than that. */
static bool look(uint64_t request, const char *name, const uint8_t *plan, size_t len) {
  if (!executor_only_looks(plan, len)) return false;
  static const struct effects none;
  struct executor ex;
  executor_init(&ex, &none);
  ex.busy = true;
  _cleanup_buf_ struct buf outcome = {.secret = true};
  if (executor_run(&ex, plan, len, &outcome) < 0) outcome_failed(&outcome, "mmap", ENOMEM, "no memory for the outcome");
  executor_close(&ex);
  agent_outcome(agent, request, name, plan, len, outcome.data, outcome.len);
  return true;
}

static void run_step(void *owner, uint64_t request, const char *name, const uint8_t *plan, size_t len) {
  (void)owner;
  if (look(request, name, plan, len)) return;
  struct running_step *s = calloc(1, sizeof *s);
  int error = ENOMEM;
  if (s) {
    *s = (struct running_step){.request = request, .name = strdup(name), .plan = {.secret = true}};
    if (s->name && buf_append(&s->plan, plan, len) == 0) {
      if (release_start(s->plan.data, s->plan.len, step_done, s) || job_start(s->plan.data, s->plan.len, step_done, s) == 0) return;
      error = errno;
    }
    buf_free(&s->plan);
    free(s->name);
    free(s);
  }
  struct buf outcome = {0};
  outcome_failed(&outcome, "fork", error, "");
  agent_outcome(agent, request, name, plan, len, outcome.data, outcome.len);
  buf_free(&outcome);
}

static void answer(void *owner, uint64_t request, const uint8_t *payload, size_t len) {
  (void)owner;
  client_answer(request, payload, len);
}

static void give_up(void *owner, uint64_t request, const char *why) {
  (void)owner;
  client_give_up(request, why);
}

static void parked(void *owner, uint64_t request) {
  (void)owner;
  client_parked(request);
}

/* The record on disk serves people only (`berth list --all`): a write that fails costs nothing that the monitor itself knows. */
static void save_record(struct timer *t) {
  if (jobs_running()) { /* a step may be about to remove the directory */
    timer_set(t, RECORD_MS);
    return;
  }
  const struct buf *record = agent_record(agent);
  char path[4096];
  int n = snprintf(path, sizeof path, "%s/%s/record", state_dir, id);
  if (n > 0 && (size_t)n < sizeof path) (void)file_replace(path, record->data, record->len);
}
static struct timer record_changed = {.fire = save_record};

static void recorded(void *owner) {
  (void)owner;
  if (!record_changed.due) timer_set(&record_changed, RECORD_MS);
}

static void drop(void *owner, const char *name) {
  (void)owner;
  job_drop(name);
}

static void add_event(void *owner, const uint8_t *payload, size_t len) {
  (void)owner;
  events_add(payload, len);
}

/* ---- the end ---- */

static void quit(struct timer *t) {
  (void)t;
  loop_stop();
}
static struct timer last_moment = {.fire = quit};

static void quit_if_flushed(void) {
  /* A client of gRPC closes its connection once it has the last answer, which is on its way through a controller. */
  if (leaving && events_empty() && !clients_unsent() && !fronts_open()) loop_stop();
}

static void leave(void *owner) {
  (void)owner;
  if (leaving) return;
  leaving = true;
  timer_clear(&record_changed); /* the directory may be another shim's from now on */
  /* While it still listens: a start of the same group would take a path where nobody answers for its own. */
  if (socket_path) (void)unlink(socket_path);
  clients_stop_listening();
  timer_set(&last_moment, FLUSH_MS);
}

static void quit_signal(struct source *s, uint32_t events) {
  (void)events;
  struct signalfd_siginfo drop;
  while (read(s->fd, &drop, sizeof drop) > 0) {}
  /* As the reference: containers of a shim that is told to end are killed by `delete`. */
  if (socket_path && !leaving) (void)unlink(socket_path);
  loop_stop();
}

static void agent_source_ready(struct source *s, uint32_t events) {
  (void)s;
  (void)events;
  agent_ready(agent);
  quit_if_flushed();
}

static void acknowledged(void *owner, uint64_t serial) {
  (void)owner;
  oom_looked(serial);
}

static uint64_t ran_out_of_memory(const char *key) {
  struct buf body = {0};
  uint64_t serial = ++next_serial;
  if (buf_u64(&body, serial) < 0 || buf_str(&body, key) < 0 || !agent_request(agent, REQUEST_OOM, body.data, body.len, NULL)) serial = 0;
  buf_free(&body);
  return serial;
}

static void tell_exit(const struct buf *exit) { (void)agent_request(agent, REQUEST_EXIT, exit->data, exit->len, NULL); }

static void exited(const char *key, pid_t pid, int status, uint64_t time) {
  pump_process_ended(key);
  if (!strchr(key, '/') && state_dir) { /* a container's init: on disk before anyone is told */
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s/exit.json", state_dir, key);
    if (n > 0 && (size_t)n < sizeof path) (void)exit_write(path, pid, status, time, ending_reason(key, status)); /* no directory: a failed create */
  }
  struct buf body = {0};
  if (buf_u64(&body, ++next_serial) == 0 && buf_str(&body, key) == 0 && buf_u32(&body, (uint32_t)pid) == 0 &&
      buf_u32(&body, (uint32_t)status) == 0 && buf_u64(&body, time) == 0 && buf_u32(&body, oom_suspected(key)) == 0)
    unread_tell(key, &body);
  buf_free(&body);
  ending_forget(key);
}

static int watch_quit_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
  quit_signals = (struct source){signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), quit_signal};
  return quit_signals.fd < 0 ? -1 : loop_watch(&quit_signals, EPOLLIN);
}

int shim_monitor(int listener, const char *const *context) {
  socket_path = value(context, "socket");
  state_dir = value(context, "stateDir");
  id = value(context, "id");
  events_to(value(context, "ttrpcAddress"));
  const char *dist = value(context, "dist"), *run = value(context, "runDir"), *idle = value(context, "idle");
  if (!state_dir || !id || !dist || !run || !idle) return 2;
  install_is(dist);
  run_dir_is(run);
  confine_idle_is(idle);
  const struct agent_owner owner = {.connect = start_connect, .run_step = run_step, .answer = answer, .give_up = give_up,
                                    .parked = parked, .recorded = recorded, .acknowledged = acknowledged,
                                    .event = add_event, .drop = drop, .leave = leave};
  /* The controller is told this process's pid, which the launcher could not know. */
  size_t n = 0;
  while (context[n]) n++;
  const char **all = calloc(n + 2, sizeof *all);
  char pid[32];
  snprintf(pid, sizeof pid, "pid=%d", getpid());
  if (!all) return 1;
  memcpy(all, context, n * sizeof *all);
  all[n] = pid;
  agent = agent_new(ROLE_MONITOR, &owner, all);
  /* Orphans of a container without an own pid namespace come to its shim, as the reference has it. */
  if (!agent || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || exits_reap(exited) < 0 || watch_quit_signals() < 0 ||
      fcntl(listener, F_SETFD, FD_CLOEXEC) < 0 || fcntl(listener, F_SETFL, O_NONBLOCK) < 0)
    return 1;
  agent_source = (struct source){agent_fd(agent), agent_source_ready};
  if (loop_watch(&agent_source, EPOLLIN) < 0 || clients_listen(listener, agent) < 0) return 1;
  events_on_empty(quit_if_flushed);
  fronts_on_end(quit_if_flushed);
  oom_on_seen(ran_out_of_memory);
  unread_on_read(tell_exit);
  agent_reach(agent); /* containerd's Create is on its way */
  loop_run();
  return 0;
}
