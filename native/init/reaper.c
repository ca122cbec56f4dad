/* The first process of a pid namespace, where the program would mind being that: the kernel keeps from the first process every signal that it
 * has no handler for, and leaves orphans to it that programs do not expect (pid_namespaces(7)). */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "../executor/executor.h"
#include "ops.gen.h"

/* Reaps what has ended; ends as the program does. */
static void reap(pid_t program) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
    if (pid == program) _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* All signals are blocked, so that the kernel keeps none back. Those that it sends itself, a terminal's, the program has got too; but for
 * the one that a terminal's end sends to its leader only. */
static _Noreturn void keep(pid_t program, const sigset_t *all) {
  for (;;) {
    siginfo_t info;
    int signal = sigwaitinfo(all, &info);
    if (signal == SIGCHLD) reap(program);
    else if (signal > 0 && (info.si_code != SI_KERNEL || signal == SIGHUP)) (void)kill(program, signal); /* gone: reaped next */
  }
}

int run_reaper(struct executor *ex, const struct op_reaper *op, struct buf *result) {
  (void)op, (void)result;
  sigset_t all, before;
  (void)sigfillset(&all);
  if (sigprocmask(SIG_BLOCK, &all, &before) != 0) return fail_sys(&ex->fail, "sigprocmask", "");
  pid_t pid = fork();
  if (pid < 0) return fail_sys(&ex->fail, "fork", "the program");
  if (pid == 0) return sigprocmask(SIG_SETMASK, &before, NULL) == 0 ? 0 : fail_sys(&ex->fail, "sigprocmask", "");
  /* What the program closes is to be closed; who waits for its execve waits for our end too. */
  if (sys_close_range(0, ~0u, 0) != 0) _exit(1);
  keep(pid, &all);
}
