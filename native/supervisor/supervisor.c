#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/fd.h"
#include "../common/peer.h"
#include "../common/rights.h"

#define READ_MS 5000 /* to find out what a call is about */
#define LOOK_MS 1000 /* how often those are looked for whose caller is gone */
#define NO_MODULE 0xffffffffu
#define X32_BIT 0x40000000u

/* Larger than any kernel's, which wants it zeroed (seccomp_unotify(2)). */
union notification {
  struct seccomp_notif asked;
  uint8_t room[512];
};

static void refuse(int listener, uint64_t id, int error) {
  struct seccomp_notif_resp response = {.id = id, .error = -error};
  (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response); /* ENOENT: it was answered, or its caller is gone */
}

/* ---- The process of a call ---------------------------------------------------------------------------------------- */

static void close_all(const struct supervisor *s, int own) {
  for (size_t i = 0; i < CALLS_MAX; i++)
    if (s->dealings[i].pid != 0 && s->dealings[i].process != own) (void)close(s->dealings[i].process);
  const int others[] = {s->channel, s->control, s->guard, s->init};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (others[i] >= 0) (void)close(others[i]); /* the guard is to see the end of one process, not of all of them */
}

static _Noreturn void deal_with(struct supervisor *s, const struct dealing *d, const union notification *n, int question, pid_t parent) {
  uint64_t args[6];
  memcpy(args, n->asked.data.args, sizeof args);
  bool x32 = n->asked.data.arch == AUDIT_ARCH_X86_64 && ((uint32_t)n->asked.data.nr & X32_BIT) != 0;
  bool narrow = x32 || n->asked.data.arch == AUDIT_ARCH_I386 || n->asked.data.arch == AUDIT_ARCH_ARM;
  struct asked a = {.call = {.pid = (pid_t)n->asked.pid, .args = args, .narrow = narrow},
                    .means = &s->means, .id = n->asked.id, .listener = d->listener, .supervisor = question};
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(1);
  close_all(s, -1);
  for (size_t i = 0; i < s->n_watched; i++) {
    if (s->watched[i].arch != n->asked.data.arch || s->watched[i].number != (uint32_t)n->asked.data.nr) continue;
    a.name = s->watched[i].what->name;
    s->watched[i].what->deal(&a);
    _exit(0);
  }
  answer_error(&a, EPERM);
  _exit(0);
}

/* ---- What is dealt with ------------------------------------------------------------------------------------------- */

static struct dealing *vacant(struct supervisor *s) {
  for (size_t i = 0; i < CALLS_MAX; i++)
    if (s->dealings[i].pid == 0) return &s->dealings[i];
  return NULL;
}

/* 0, or -1: it can't be dealt with. */
static int begin(struct supervisor *s, int listener, const union notification *n) {
  struct dealing *d = vacant(s);
  int ends[2];
  if (d == NULL || n->asked.pid == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  const int room = (int)QUESTION_MAX * 2;
  (void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  *d = (struct dealing){.call = {.pid = (pid_t)n->asked.pid}, .id = n->asked.id, .listener = listener, .process = ends[0],
                        .due = now_ms() + (s->answer_ms > READ_MS ? s->answer_ms : READ_MS)};
  pid_t self = getpid(), pid = fork();
  if (pid == 0) {
    (void)close(ends[0]);
    deal_with(s, d, n, ends[1], self);
  }
  (void)close(ends[1]);
  if (pid < 0) fd_close(&d->process);
  else d->pid = pid;
  return pid < 0 ? -1 : 0;
}

/* Its process is gone, or goes; whatever it has not answered is refused (S16). */
static void end(struct dealing *d) {
  fd_close(&d->process);
  (void)kill(d->pid, SIGKILL);
  refuse(d->listener, d->id, EPERM);
  d->pid = 0;
}

static void verdict(struct dealing *d, uint32_t error) {
  d->asked = false;
  d->due = 0;
  (void)rights_send(d->process, &error, sizeof error, NULL, 0, MSG_DONTWAIT);
}

/* The number of a question says whose it is, and which of theirs. */
static uint64_t question_of(struct supervisor *s, const struct dealing *d) { return (++s->next << 8) | (uint64_t)(d - s->dealings); }

static void answered(struct supervisor *s, uint64_t question, uint32_t error, uint32_t module) {
  struct dealing *d = (question & 0xff) < CALLS_MAX ? &s->dealings[question & 0xff] : NULL;
  if (d == NULL || d->pid == 0 || !d->asked || d->question != question) return; /* it was too late */
  if (error != 0) count_refusal(s, module, d->kind);
  verdict(d, error > 4095 ? EPERM : error);
}

static void no_verdict(struct supervisor *s, struct dealing *d) {
  if (d->asked) count_refusal(s, NO_MODULE, d->kind);
  verdict(d, EPERM);
}

/* "fd/3", "exe", "cwd", "root", "ns/net": names that the process of a call can't have made of anything else. */
static int own_link(const struct dealing *d, const char *link) {
  char path[96], *end;
  if (strncmp(link, "fd/", 3) == 0) {
    unsigned long number = strtoul(link + 3, &end, 10);
    if (link[3] < '0' || link[3] > '9' || *end != '\0' || number > 0x7fffffff) return -EACCES;
    int fd = tracee_fd(&d->call, (int)number);
    return fd >= 0 ? fd : -ENOENT;
  }
  static const char *const known[] = {"exe", "cwd", "root", "ns/user", "ns/net", "ns/ipc", "ns/uts", "ns/pid", "ns/mnt", "ns/cgroup", "ns/time"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(link, known[i]) != 0) continue;
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)d->call.pid, known[i]);
    int fd = open(path, O_PATH | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
  }
  return -EACCES;
}

static void give_link(const struct dealing *d, const char *link) {
  int fd = own_link(d, link);
  uint32_t error = fd < 0 ? (uint32_t)-fd : 0;
  uint64_t id = d->id;
  if (fd >= 0 && ioctl(d->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) != 0) error = ESRCH;
  (void)rights_send(d->process, &error, sizeof error, &fd, error == 0, MSG_DONTWAIT);
  fd_close(&fd);
}

static void put_question(struct supervisor *s, struct dealing *d, const char *data, size_t len) {
  if (len < 4) return end(d);
  memcpy(&d->kind, data, sizeof d->kind);
  d->asked = true;
  d->question = question_of(s, d);
  d->due = now_ms() + s->answer_ms;
  if (d->kind >= KINDS || link_ask(s, d->question, data, len) != 0) no_verdict(s, d);
}

/* What the process of a call has to say. */
static void hear(struct supervisor *s, struct dealing *d) {
  static char said[QUESTION_MAX + 1];
  ssize_t len;
  do len = recv(d->process, said, sizeof said - 1, MSG_DONTWAIT);
  while (len < 0 && errno == EINTR);
  if (len < 0 && errno == EAGAIN) return;
  if (len <= 0) return end(d);
  said[len] = '\0';
  if (said[0] == SAY_ANSWERING) {
    d->answering = true;
    d->due = 0;
  } else if (said[0] == SAY_OWN_LINK) {
    give_link(d, said + 1);
  } else if (said[0] == SAY_QUESTION) {
    put_question(s, d, said + 1, (size_t)len - 1);
  } else {
    end(d);
  }
}

/* Nobody waits for it any more; but for one that is answered this very moment, whose word for that lies here. */
static bool is_abandoned(const struct dealing *d) {
  uint64_t id = d->id;
  char byte;
  return ioctl(d->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) != 0 && recv(d->process, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

/* Too late is refused, and so is what nobody waits for any more. */
static void look_after(struct supervisor *s) {
  uint64_t now = now_ms();
  for (size_t i = 0; i < CALLS_MAX; i++) {
    struct dealing *d = &s->dealings[i];
    if (d->pid == 0 || d->answering) continue;
    if (is_abandoned(d)) {
      end(d);
    } else if (d->due != 0 && now >= d->due) {
      if (!d->asked) count_refusal(s, NO_MODULE, 0);
      if (d->asked) no_verdict(s, d);
      else end(d);
    }
  }
}

/* ---- Listeners ---------------------------------------------------------------------------------------------------- */

/* All that wait, as long as there is something else to be done now and then. */
static void receive(struct supervisor *s, int listener) {
  struct pollfd p = {.fd = listener, .events = POLLIN};
  for (int i = 0; i < CALLS_MAX && poll(&p, 1, 0) > 0 && (p.revents & POLLIN) != 0; i++) {
    union notification n = {.room = {0}};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n.asked) != 0) return; /* it was killed, or interrupted (S17) */
    if (begin(s, listener, &n) == 0) continue;
    count_refusal(s, NO_MODULE, 0);
    refuse(listener, n.asked.id, EPERM);
  }
}

/* An exec's, which comes with a word that is of no interest here. */
static void take_listener(struct supervisor *s) {
  _cleanup_fd_ int from = accept4(s->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (from < 0 || peer_check(from, true) != 0) return;
  char word[64];
  struct pollfd p = {.fd = from, .events = POLLIN};
  int listener = -1;
  if (poll(&p, 1, LOOK_MS) <= 0 || rights_receive(from, word, sizeof word, &listener, 0) <= 0 || listener < 0) return;
  for (size_t i = 0; i < LISTENERS_MAX; i++) {
    if (s->listeners[i] >= 0) continue;
    s->listeners[i] = listener;
    return;
  }
  (void)close(listener); /* its calls fail: ENOSYS */
}

/* Nobody is left to ask by it. */
static void drop_listener(struct supervisor *s, int *listener) {
  for (size_t i = 0; i < CALLS_MAX; i++)
    if (s->dealings[i].pid != 0 && s->dealings[i].listener == *listener) {
      if (s->dealings[i].answering) return; /* it looks at what was executed */
      end(&s->dealings[i]);
    }
  fd_close(listener);
}

/* ---- All of it ---------------------------------------------------------------------------------------------------- */

enum { INIT, GUARD, CHANNEL, CONTROL, FIXED };

/* What is waited for: no more than what is open, as poll(2) takes no more at a time than there may be descriptors (RLIMIT_NOFILE). */
struct waiting {
  struct pollfd p[FIXED + CALLS_MAX + LISTENERS_MAX];
  nfds_t count;
  nfds_t calls[CALLS_MAX], listeners[LISTENERS_MAX]; /* where these are among them; 0: nowhere */
};

static nfds_t wait_for(struct waiting *w, int fd) {
  if (fd < 0) return 0;
  w->p[w->count] = (struct pollfd){.fd = fd, .events = POLLIN};
  return w->count++;
}

static short came(const struct waiting *w, nfds_t at) { return at == 0 ? 0 : w->p[at].revents; }

/* The worker is gone: what was asked of it is refused. 0, or -1 where the container is not to go on without. */
static int worker_lost(struct supervisor *s) {
  fd_close(&s->channel);
  for (size_t i = 0; i < CALLS_MAX; i++)
    if (s->dealings[i].pid != 0 && s->dealings[i].asked) no_verdict(s, &s->dealings[i]);
  return s->restarts ? link_start(s) : -1;
}

/* Not when each ends: one that waits for a disk holds up nobody. What it dealt with is over first: from then on somebody else may get its pid, who is not
 * to be killed for it. */
static void reap(struct supervisor *s) {
  for (;;) {
    siginfo_t ended = {0};
    int done = waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT);
    if (done != 0 && errno == EINTR) continue;
    if (done != 0 || ended.si_pid == 0) return;
    for (size_t i = 0; i < CALLS_MAX; i++)
      if (s->dealings[i].pid == ended.si_pid) end(&s->dealings[i]);
    (void)waitpid(ended.si_pid, NULL, WNOHANG);
  }
}

/* False once it can't go on. */
static bool turn(struct supervisor *s, const struct waiting *w) {
  const struct pollfd *p = w->p;
  reap(s);
  if ((p[CHANNEL].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && link_hear(s, answered) != 0 && worker_lost(s) != 0) return false;
  if (p[CONTROL].revents != 0) take_listener(s);
  for (size_t i = 0; i < CALLS_MAX; i++)
    if (came(w, w->calls[i]) != 0 && s->dealings[i].pid != 0) hear(s, &s->dealings[i]);
  look_after(s);
  for (size_t i = 0; i < LISTENERS_MAX; i++) {
    short events = came(w, w->listeners[i]);
    if ((events & POLLIN) != 0) receive(s, s->listeners[i]);
    else if ((events & (POLLHUP | POLLERR)) != 0) drop_listener(s, &s->listeners[i]);
  }
  return link_flush(s) == 0 || worker_lost(s) == 0;
}

void supervise(struct supervisor *s) {
  static struct waiting w;
  struct pollfd *p = w.p;
  for (;;) {
    int timeout = -1;
    w.count = FIXED;
    p[INIT] = (struct pollfd){.fd = s->init, .events = POLLIN};
    p[GUARD] = (struct pollfd){.fd = s->guard, .events = POLLIN};
    p[CHANNEL] = (struct pollfd){.fd = s->channel, .events = (short)(POLLIN | (s->out.len > 0 ? POLLOUT : 0))};
    p[CONTROL] = (struct pollfd){.fd = s->control, .events = POLLIN};
    for (size_t i = 0; i < CALLS_MAX; i++) {
      const struct dealing *d = &s->dealings[i];
      w.calls[i] = wait_for(&w, d->pid == 0 ? -1 : d->process);
      if (d->pid == 0 || d->answering) continue;
      int left = d->due == 0 ? LOOK_MS : left_ms(d->due);
      if (left > LOOK_MS) left = LOOK_MS;
      if (timeout < 0 || left < timeout) timeout = left;
    }
    for (size_t i = 0; i < LISTENERS_MAX; i++) w.listeners[i] = wait_for(&w, s->listeners[i]);
    int count = poll(p, w.count, timeout);
    if (count < 0 && errno != EINTR) return;
    if (count < 0) continue;
    if (p[INIT].revents != 0 || p[GUARD].revents != 0) return;
    if (!turn(s, &w)) return;
  }
}
