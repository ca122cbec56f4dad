/* A system call that is judged before anything is done: in a process of its own, which ends with it, so that whatever the container makes it wait for
 * holds up nobody else. It reads what the call names, asks, and then does itself, on what it has read and pinned, what the caller wanted: the call is
 * never let go on by memory that somebody could have changed meanwhile. Only execve is, and then looked at before its first instruction. */
#ifndef BERTH_CALL_H
#define BERTH_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/buf.h"
#include "../common/tracee.h"

#define DOMAINS_MAX 16 /* the kernel's own bound (landlock(7)) */
#define DEVICES_MAX 4

/* What there is for all calls of a container. */
struct means {
  int root; /* of the container, whatever a process of it has for its own: what paths are told from */
  int user; /* its user namespace: where an ordinary user's supervisor has rights to anything */
  int domains[DOMAINS_MAX]; /* Landlock rulesets that its processes are held to */
  size_t n_domains;
  int devices[DEVICES_MAX]; /* cgroup.procs of where the kernel is told which devices they may open */
  size_t n_devices;
};

/* What is asked for; as src/policy/worker/judge/event.ts has it. */
enum kind { KIND_EXECVE, KIND_CONNECT, KIND_BIND, KIND_OPEN, KINDS };

/* From the process of a call to the supervisor: a datagram that begins with one of these. */
enum { SAY_QUESTION = 'q', SAY_OWN_LINK = 'l', SAY_ANSWERING = 'a' };
#define QUESTION_MAX (160u << 10)

struct asked {
  struct call call;
  const struct means *means;
  const char *name; /* of the system call */
  uint64_t id;      /* of the notification */
  int listener;
  int supervisor; /* where questions go */
};

typedef void deal(struct asked *);
struct deal_entry {
  const char *name;
  deal *deal;
};
extern const struct deal_entry execute_deals[], open_deals[], socket_deals[];

/* Knows the call of this name; NULL where there is nothing of it to be judged. */
const struct deal_entry *deal_of(const char *name);

/* Puts the event, which begin_event began, to the worker. 0, or the errno that the call is to fail with. */
int ask(struct asked *, const struct buf *event);
/* One of the caller's own /proc/PID links: "fd/3", "exe" … A descriptor (O_PATH, or the file itself), or -1 with errno. */
int ask_own_link(struct asked *, const char *link);

/* The call is over: each of these is the last thing that is done about it. */
void answer_error(const struct asked *, int error);
void answer_value(const struct asked *, int64_t value);
void answer_fd(const struct asked *, int fd, bool close_on_exec);
/* It goes on by itself. 0 or -1. */
int answer_continue(const struct asked *);

/* Whether the caller still waits: what was opened and read by its pid is of it then, and not of another that has got its number. */
bool still_waits(const struct asked *);

#endif
