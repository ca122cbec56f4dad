/* The interpreter of plans: what an operation may use, and how it fails. */
#ifndef BERTH_EXECUTOR_H
#define BERTH_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/buf.h"  /* struct buf: growing byte buffer in mappings of its own */
#include "../common/fail.h" /* struct fail, fail_sys(), fail_msg() */
#include "../common/reader.h"

#define NO_SLOT 0xffffffffu
#define SLOTS 512

struct oom_files;  /* oom.h */
struct trace;      /* trace.h */
struct op_lend;    /* ops.gen.h */
struct op_prepare;
struct op_situation;

/* What an executed plan leaves in the process that lasts. A monitor that runs the plan itself applies it at once; a forked
 * executor sends it home over its job socket. Each takes over the descriptors given. 0, or -1 with errno. A member that is NULL
 * is not possible in this process. */
struct effects {
  int (*keep)(void *home, const char *name, int fd);
  int (*drop)(void *home, const char *name);
  int (*pump)(void *home, const char *name, int from, int to);
  /* Monitor: the pumps under `name` are to end some time after their process. */
  int (*linger)(void *home, const char *name, uint32_t quiet_ms, uint32_t limit_ms);
  /* Monitor: the end of a process is told once what is in the FIFOs kept below `name` has been read. */
  int (*unread)(void *home, const char *name, uint32_t quiet_ms, uint32_t limit_ms);
  /* Monitor: the pumps under `name` move at most so many bytes, else the container `key` is ended. */
  int (*meter)(void *home, const char *name, const char *key, uint64_t bytes);
  int (*process)(void *home, const char *key, pid_t pid, int pidfd, int control);
  int (*stay)(void *home, const char *socket, const char *exit_file, const char *key);
  /* Looks a kept descriptor up; still owned by home. -1 where there is none. */
  int (*lookup)(void *home, const char *name);
  /* The control socket of a held process (-1: none) and whether it was released. */
  int (*held)(void *home, const char *key, bool *released);
  int (*released)(void *home, const char *key);
  /* Launcher only: runs a plan elsewhere; appends the whole outcome to `outcome`. */
  int (*remote)(void *home, const char *socket, const uint8_t *plan, size_t len, struct buf *outcome);
  /* Process behind `remote`: takes the descriptor over, sends it with the outcome. */
  int (*give)(void *home, const char *name, int fd);
  /* Launcher: a descriptor that was given; ownership passes to the caller. -1 where there is none. */
  int (*take)(void *home, const char *name);
  /* Monitor: blocks until the pumps under `name` have nothing to move. 1, 0 when time ran out, -1. */
  int (*drain)(void *home, const char *name, uint32_t timeout_ms);
  /* Monitor: tells of OOMs from now on; takes the descriptors over. */
  int (*watch_oom)(void *home, const char *key, struct oom_files *);
  /* Monitor: runs the plan once the process has run for so long. */
  int (*deadline)(void *home, const char *key, uint64_t ms, const uint8_t *plan, size_t len);
  /* Monitor: the process has a guard, which ends as the other end of `told` does; takes that over. The plan kills the container. */
  int (*guard)(void *home, const char *key, int told, const uint8_t *plan, size_t len);
  /* To a held process. */
  int (*signal)(void *home, const char *key, int signal);
  /* Monitor of the command line: what it is to do by itself. */
  int (*situation)(void *home, const struct op_situation *, pid_t pid, uint64_t start_time);
  int (*prepare)(void *home, const struct op_prepare *, const struct buf *answer);
  int (*lend)(void *home, const struct op_lend *);
  void *home;
  pid_t monitor; /* the process that lasts, where it is one: this one, or its parent */
};

/* A mapping that a cloned process shares with its maker. What it is told of itself, as it can't see its own id in the namespace it was
 * made from: filled in before the first `g`. And what it says where no system call is left to say it with (trap 21). */
struct cloned {
  uint64_t pid, start_time;
  _Atomic int listener; /* number of the descriptor of its seccomp listener, -1 before there is one */
};

struct executor {
  const struct effects *effects;
  int slots[SLOTS]; /* -1: empty */
  struct fail fail; /* why the operation at hand failed */

  /* The process last cloned by this plan. */
  pid_t pid;
  uint64_t start_time;
  struct cloned *cloned; /* NULL: none yet */
  const char *let_go;    /* the key of a process that `go` has let go, until its next `resume`; in the plan */

  struct trace *trace; /* NULL: nobody has asked */

  /* `notify`: sockets of the container and of our caller; -1. */
  int notify, notify_caller;

  /* Set by the owner: descriptors from 3 on that belong to the container, which a cloned process keeps; and a mapping (with
   * the outer plan, say) that it must not keep (trap 2). */
  unsigned preserve;
  void *unwanted;
  size_t unwanted_len;
  bool busy;            /* others wait meanwhile: nothing is opened that could keep us waiting for who writes into it */
  bool own_children;    /* what is cloned is a child of ours, not of our parent */
  char *const *given;   /* arguments for the process, NULL-terminated; NULL: none were given */

  /* Where we are: the plan that runs, and the position in it and in those around it. */
  struct span plan;
  uint32_t depth;
  uint32_t position[FAIL_DEPTH];
  bool placed; /* fail.index and fail.op are of a nested plan: complete already */

  /* Inside a cloned process only. */
  bool inside;
  int control;      /* SOCK_SEQPACKET to who made us */
  int root;         /* the container's root directory, -1 before `rootfs`, "/" after `pivot` */
  int proc;         /* a procfs of our own, detached; -1 until needed */
  char *exec_path;  /* found by find-exec */
  bool own_terminal; /* stdio is a terminal that was made for this process */
  char *home;       /* HOME=… for the program, where the plan leaves it to the container's users */
  bool joined_user; /* a user namespace: others may be in it */
  bool unshare_cgroup; /* after the first `g`: the root of that namespace is the cgroup joined by then (trap 8) */
  bool of_user; /* made by a process without privilege */
  bool confined; /* in a Landlock domain */
  struct cloned *self;
};

/* Runs an encoded plan and appends its outcome (docs/internals.md) to `outcome`. 0 when every operation was done, 1 when one
 * failed (the outcome says which), -1 when not even that could be said (memory). */
int executor_run(struct executor *ex, const uint8_t *plan, size_t len, struct buf *outcome);

/* Whether the bytes are a plan, with all that is nested in it: decodes everything, runs nothing. 0 or -1. */
int executor_check(const uint8_t *plan, size_t len);

/* Whether a plan reads files and the clock and does nothing else; its operations are not decoded for that. */
bool executor_only_looks(const uint8_t *plan, size_t len);
/* The key of the process, which lies in the plan, where that does nothing but let one go until it is executed, and read the clock; else NULL. */
const char *executor_only_releases(const uint8_t *plan, size_t len);

void executor_init(struct executor *ex, const struct effects *effects);
void executor_close(struct executor *ex); /* closes every slot */

/* The descriptor in a slot, or -1 with fail set (EBADF). */
int slot_fd(struct executor *ex, uint32_t slot);
/* Puts a descriptor into a slot (closing what was there); takes it over even when it fails. */
int slot_put(struct executor *ex, uint32_t slot, int fd);

/* For handlers with a plan of their own: `inner` failed below the operation at hand, or below the one at `at` in the running
 * plan. Always -1. */
int fail_nested(struct executor *ex, const struct fail *inner, uint32_t at);
/* The position of the clone of this key in the running plan; that of the operation at hand where there is none. */
uint32_t executor_clone_position(const struct executor *ex, const char *key);

/* The process that a plan which ran elsewhere, with this outcome, has cloned last is what this plan has cloned, too. */
void executor_take_cloned(struct executor *ex, struct span plan, struct span outcome);

/* Appends the template with its holes filled. 0 or -1 (fail set). */
int template_render(struct executor *ex, struct list parts, struct buf *out);

#endif
