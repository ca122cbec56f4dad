/* Programs that stay beside a container longer than the plan that started them, and what is written down of them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/arrange.h"
#include "../common/fd.h"
#include "../common/sys.h"
#include "paths.h"
#include "process.h"
#include "vector.h"

#define FDS_MAX 8
/* Between the end of its descriptors and that of the process. */
#define EXIT_MS 1000

struct pipe_ends {
  int read, write;
};

static int pipe_open(struct pipe_ends *ends) {
  int both[2];
  if (pipe2(both, O_CLOEXEC) != 0) return -1;
  *ends = (struct pipe_ends){both[0], both[1]};
  return 0;
}

static void pipe_close(struct pipe_ends *ends) {
  fd_close(&ends->read);
  fd_close(&ends->write);
}

struct birth {
  const char *path;
  char **argv, **envp;
  int fds[FDS_MAX];
  int count;
  struct pipe_ends go;     /* the child waits for its byte; EOF: its maker is gone, and it goes too */
  struct pipe_ends report; /* errno where execve fails, EOF where it does not */
  struct pipe_ends ready;
};

/* Descriptors 0 to 2, `fds`, `ready`, and until execve the report; nothing else. 0 or -1. */
static int arrange(struct birth *b) {
  int from[FDS_MAX + 2];
  for (int i = 0; i < b->count; i++) from[i] = b->fds[i];
  from[b->count] = b->ready.write;
  from[b->count + 1] = b->report.write;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return -1;
  for (int i = 0; i < 3; i++)
    if (dup2(null, i) < 0) return -1;
  b->report.write = 4 + b->count;
  return arrange_fds(3, from, (size_t)b->count + 2, (size_t)b->count + 1);
}

static _Noreturn void live(struct birth *b) {
  fd_close(&b->go.write);
  /* A session of its own: what it sends to its group is not for the monitor. */
  if (!read_byte(b->go.read) || setsid() < 0) _exit(127);
  if (arrange(b) == 0) {
    signals_reset();
    (void)execve(b->path, b->argv, b->envp);
  }
  int error = errno;
  if (write(b->report.write, &error, sizeof error) != (ssize_t)sizeof error) _exit(126);
  _exit(127);
}

/* 1: it said that it is ready, 0: it closed the descriptor, -1: fail set. */
static int hear(struct executor *ex, const struct op_spawn *op, const struct birth *b) {
  uint64_t until = now_ms() + op->timeout_ms;
  struct pollfd pollers[2] = {{.fd = b->report.read, .events = POLLIN}, {.fd = b->ready.read, .events = POLLIN}};
  for (;;) {
    int count = poll(pollers, 2, left_ms(until)), error;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_sys(&ex->fail, "poll", op->path);
    if (count == 0) return fail_msg(&ex->fail, ETIMEDOUT, op->path, "it was not ready after %u ms", op->timeout_ms);
    if (pollers[0].revents != 0) { /* before the other: without execve that ends as well */
      if (read(b->report.read, &error, sizeof error) == (ssize_t)sizeof error) {
        errno = error;
        return fail_sys(&ex->fail, "execve", op->path);
      }
      pollers[0].fd = -1;
    } else if (pollers[1].revents != 0) {
      char byte;
      ssize_t got = read(b->ready.read, &byte, 1);
      if (got < 0 && errno == EINTR) continue;
      return got < 0 ? fail_sys(&ex->fail, "read", op->path) : (int)got;
    }
  }
}

/* Why it did not say that it is ready. Reaps it. */
static int judge(struct executor *ex, const struct op_spawn *op, pid_t pid, int pidfd, int ready_fd) {
  int status = 0;
  bool ended = process_ended(pidfd, EXIT_MS) > 0;
  if (!ended || waitpid(pid, &status, 0) != pid)
    return fail_msg(&ex->fail, 0, op->path, "it closed descriptor %d without a word that it is ready", ready_fd);
  if (WIFSIGNALED(status)) return fail_msg(&ex->fail, 0, op->path, "killed by signal %d before it was ready", WTERMSIG(status));
  return fail_msg(&ex->fail, 0, op->path, "exit status %d before it was ready", WEXITSTATUS(status));
}

/* Writes down who it is, lets it go, and waits until it is ready. */
static int bring_up(struct executor *ex, const struct op_spawn *op, struct birth *b, pid_t pid, int pidfd) {
  if (process_record(pid, op->record) != 0) return fail_sys(&ex->fail, "write", op->record);
  fd_close(&b->go.read);
  fd_close(&b->report.write);
  fd_close(&b->ready.write);
  if (write(b->go.write, "g", 1) != 1) return fail_sys(&ex->fail, "write", op->path);
  int heard = hear(ex, op, b);
  return heard == 0 && op->byte != 0 ? judge(ex, op, pid, pidfd, 3 + b->count) : heard < 0 ? -1 : 0;
}

static int start(struct executor *ex, const struct op_spawn *op, struct birth *b) {
  pid_t pid = fork();
  if (pid < 0) return fail_sys(&ex->fail, "fork", op->path);
  if (pid == 0) live(b);
  _cleanup_fd_ int pidfd = sys_pidfd_open(pid);
  int done = pidfd < 0 ? fail_sys(&ex->fail, "pidfd_open", op->path) : bring_up(ex, op, b, pid, pidfd);
  if (done == 0) return 0;
  /* Not reaped yet, or by us just now: then nobody has this number as our child. */
  if (waitpid(pid, NULL, WNOHANG) == 0) {
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
  }
  (void)unlink(op->record);
  return -1;
}

int run_spawn(struct executor *ex, const struct op_spawn *op, struct buf *result) {
  (void)result;
  /* Of what is in the plan the child sees nothing. */
  _cleanup_free_ char *path = strdup(op->path);
  _cleanup_free_ char **argv = vector_of(op->args), **envp = vector_of(op->env);
  if (path == NULL || argv == NULL || envp == NULL) return fail_sys(&ex->fail, "malloc", op->path);
  struct birth b = {.path = path, .argv = argv, .envp = envp, .go = {-1, -1}, .report = {-1, -1}, .ready = {-1, -1}};
  if (op->fds.count > FDS_MAX) return fail_msg(&ex->fail, EINVAL, op->path, "more than %d descriptors", FDS_MAX);
  struct reader slots = op->fds.items;
  for (; b.count < (int)op->fds.count; b.count++)
    if ((b.fds[b.count] = slot_fd(ex, reader_u32(&slots))) < 0) return -1;
  int done = -1;
  if (pipe_open(&b.go) != 0 || pipe_open(&b.report) != 0 || pipe_open(&b.ready) != 0)
    (void)fail_sys(&ex->fail, "pipe2", op->path);
  else
    done = start(ex, op, &b);
  pipe_close(&b.go);
  pipe_close(&b.report);
  pipe_close(&b.ready);
  return done;
}
