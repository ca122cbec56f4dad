/* Limits and scheduling of the process. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../executor/executor.h"
#include "identity.h"
#include "init.h"
#include "ops.gen.h"

/* Of <linux/ioprio.h>, which older headers do not have. */
#define IOPRIO_OF_PROCESS 1

/* struct sched_attr in its first version (sched_setattr(2)); C libraries disagree on whether they have it. */
struct scheduling {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

int run_rlimit(struct executor *ex, const struct op_rlimit *op, struct buf *result) {
  (void)result;
  struct rlimit64 limit = {.rlim_cur = op->soft, .rlim_max = op->hard};
  if (syscall(SYS_prlimit64, 0, op->resource, &limit, NULL) == 0) return 0;
  char subject[32];
  (void)snprintf(subject, sizeof subject, "resource %u", op->resource);
  return fail_sys(&ex->fail, "prlimit", subject);
}

int run_scheduler(struct executor *ex, const struct op_scheduler *op, struct buf *result) {
  (void)result;
  struct scheduling attr = {
    .size = sizeof attr,
    .policy = op->policy,
    .flags = op->flags,
    .nice = (int32_t)op->nice,
    .priority = op->priority,
    .runtime = op->runtime,
    .deadline = op->deadline,
    .period = op->period,
  };
  if (syscall(SYS_sched_setattr, 0, &attr, 0) == 0) return 0;
  (void)fail_sys(&ex->fail, "sched_setattr", "scheduler");
  if (ex->fail.error == EPERM && (op->policy == SCHED_FIFO || op->policy == SCHED_RR))
    fail_copy(ex->fail.detail, sizeof ex->fail.detail, "it takes CAP_SYS_NICE and, where cgroups have one, a real-time budget (cpu.rt_runtime_us)");
  return -1;
}

int run_ioprio(struct executor *ex, const struct op_ioprio *op, struct buf *result) {
  (void)result;
  return syscall(SYS_ioprio_set, IOPRIO_OF_PROCESS, 0, op->value) == 0 ? 0 : fail_sys(&ex->fail, "ioprio_set", "I/O priority");
}

int run_affinity(struct executor *ex, const struct op_affinity *op, struct buf *result) {
  (void)result;
  if (syscall(SYS_sched_setaffinity, 0, op->mask.len, op->mask.data) == 0) return 0;
  return fail_sys(&ex->fail, "sched_setaffinity", "CPU affinity");
}

/* The kernel takes the number of bits, and one more. */
int run_memory_policy(struct executor *ex, const struct op_memory_policy *op, struct buf *result) {
  (void)result;
  const void *nodes = op->nodes.len == 0 ? NULL : op->nodes.data;
  if (syscall(SYS_set_mempolicy, op->mode, nodes, nodes == NULL ? 0 : op->nodes.len * 8 + 1) == 0) return 0;
  if (errno == ENOSYS) return fail_msg(&ex->fail, ENOSYS, "memory policy", "this kernel is built without CONFIG_NUMA");
  return fail_sys(&ex->fail, "set_mempolicy", "memory policy");
}

int run_personality(struct executor *ex, const struct op_personality *op, struct buf *result) {
  (void)result;
  return personality(op->persona) >= 0 ? 0 : fail_sys(&ex->fail, "personality", "personality");
}

int run_seccomp(struct executor *ex, const struct op_seccomp *op, struct buf *result) {
  (void)result;
  size_t count = op->program.len / sizeof(struct sock_filter);
  if (count == 0 || count > BPF_MAXINSNS || op->program.len % sizeof(struct sock_filter) != 0)
    return fail_msg(&ex->fail, EINVAL, "seccomp", "not a program of 1 to %d instructions", BPF_MAXINSNS);
  /* Read by the kernel only, which does not care how it is aligned. */
  struct sock_fprog program = {.len = (unsigned short)count, .filter = (struct sock_filter *)(uintptr_t)op->program.data};
  /* Without no_new_privs it takes CAP_SYS_ADMIN in force (seccomp(2)). */
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 && identity_raise(ex) != 0) return -1;
  bool listens = (op->flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
  /* Whoever made us gets at our descriptors only while we are dumpable, if it has no privilege. */
  bool shown = listens && ex->of_user;
  if (shown && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_sys(&ex->fail, "prctl", "PR_SET_DUMPABLE");
  if (listens && init_report(ex, REPORT_LISTENER, -1) != 0) return -1;
  long loaded = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, op->flags, &program);
  if (loaded < 0) return fail_sys(&ex->fail, "seccomp", "filter");
  if (!listens) return 0;
  /* Whatever we call now may be held up until someone listens, who has to get the descriptor without us (trap 21, S17). */
  ex->self->listener = (int)loaded;
  init_wait_go(ex);
  /* A listener that we kept would leave our next call without an answer where theirs is gone. */
  (void)close((int)loaded);
  /* A profile may refuse this: then it is so already as it would be after execve. */
  if (shown) (void)identity_hide(ex);
  return 0;
}
