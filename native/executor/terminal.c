/* Connects the caller's terminal with the container's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "../common/fd.h"
#include "../common/sys.h"
#include "await.h"
#include "notify.h"
#include "paths.h"

#define CHUNK 4096

/* The caller's terminal as it was: put back however this process ends. */
static struct termios before;
static bool is_raw;

static void restore(void) {
  if (is_raw) (void)tcsetattr(0, TCSADRAIN, &before);
  is_raw = false;
}

/* No terminal on standard input is no error: bytes are moved all the same. */
static int make_raw(void) {
  static bool registered;
  if (tcgetattr(0, &before) != 0) return 0;
  if (!registered && atexit(restore) != 0) return -1;
  registered = true;
  struct termios raw = before;
  cfmakeraw(&raw);
  is_raw = true;
  return tcsetattr(0, TCSADRAIN, &raw);
}

struct relay {
  struct executor *ex;
  int master, pidfd, signals;
  bool input_open, output_open;
  uint8_t pending[CHUNK]; /* input that the master did not take yet */
  size_t at, len;
};

static void copy_size(const struct relay *relay) {
  struct winsize size;
  if (ioctl(0, TIOCGWINSZ, &size) == 0) (void)ioctl(relay->master, TIOCSWINSZ, &size);
}

static void take_signals(const struct relay *relay) {
  int signal;
  while ((signal = signals_next(relay->signals)) != 0) {
    if (signal == SIGWINCH)
      copy_size(relay); /* the kernel tells the foreground group of the other terminal */
    else
      (void)sys_pidfd_send_signal(relay->pidfd, signal);
  }
}

static void take_input(struct relay *relay) {
  ssize_t got = read(0, relay->pending, sizeof relay->pending);
  if (got > 0) {
    relay->at = 0;
    relay->len = (size_t)got;
  } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
    relay->input_open = false;
  }
}

static void put_input(struct relay *relay) {
  ssize_t put = write(relay->master, relay->pending + relay->at, relay->len - relay->at);
  if (put > 0)
    relay->at += (size_t)put;
  else if (errno != EINTR && errno != EAGAIN)
    relay->at = relay->len; /* nobody reads it any more */
}

/* Moves one chunk of output. 0 when there is none now, -1 with errno where ours can't be written. */
static int move_output(struct relay *relay) {
  uint8_t chunk[CHUNK];
  ssize_t got = read(relay->master, chunk, sizeof chunk);
  if (got > 0) return write_whole(1, chunk, (size_t)got) == 0 ? 1 : -1;
  if (got < 0 && errno == EINTR) return 1;
  if (got < 0 && errno == EAGAIN) return 0;
  relay->output_open = false; /* EIO: no process has the other end open */
  return 0;
}

/* Until the process has ended and what it wrote is moved. */
static int relay_all(struct relay *relay) {
  for (;;) {
    bool pending = relay->at < relay->len;
    struct pollfd pollers[5] = {
        {.fd = relay->pidfd, .events = POLLIN},
        {.fd = relay->signals, .events = POLLIN},
        {.fd = relay->input_open && !pending ? 0 : -1, .events = POLLIN},
        {.fd = relay->output_open ? relay->master : -1, .events = (short)(POLLIN | (pending ? POLLOUT : 0))},
        {.fd = relay->ex->notify, .events = POLLIN}};
    if (poll(pollers, 5, -1) < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (pollers[1].revents != 0) take_signals(relay);
    if (pollers[4].revents != 0) notify_pass(relay->ex);
    if (pollers[2].revents != 0) take_input(relay);
    if (pending && (pollers[3].revents & (POLLOUT | POLLERR | POLLHUP)) != 0) put_input(relay);
    if ((pollers[3].revents & (POLLIN | POLLERR | POLLHUP)) != 0 && move_output(relay) < 0) return -1;
    if (pollers[0].revents == 0) continue;
    int moved = 1;
    while (relay->output_open && moved > 0) moved = move_output(relay);
    return moved < 0 ? -1 : 0;
  }
}

int run_run_terminal(struct executor *ex, const struct op_run_terminal *op, struct buf *result) {
  struct relay relay = {.ex = ex, .master = slot_fd(ex, op->slot), .input_open = true, .output_open = true};
  if (relay.master < 0) return -1;
  if (op->pid == 0) return fail_msg(&ex->fail, EINVAL, "", "no process is named");
  _cleanup_fd_ int pidfd = sys_pidfd_open((pid_t)op->pid);
  if (pidfd < 0) return fail_sys(&ex->fail, "pidfd_open", "the process to wait for");
  /* Neither side may hold up the other: a process that only writes would never read. */
  int flags = fcntl(relay.master, F_GETFL);
  if (flags < 0 || fcntl(relay.master, F_SETFL, flags | O_NONBLOCK) != 0) return fail_sys(&ex->fail, "fcntl", "the terminal");
  sigset_t mask;
  _cleanup_fd_ int signals = signals_open(&mask);
  if (signals < 0) return fail_sys(&ex->fail, "signalfd", "");
  relay.pidfd = pidfd;
  relay.signals = signals;
  copy_size(&relay);
  int done = make_raw() != 0 ? fail_sys(&ex->fail, "tcsetattr", "standard input") : 0;
  if (done == 0 && relay_all(&relay) != 0) done = fail_sys(&ex->fail, "write", "standard output");
  restore();
  if (done == 0) done = reap_result(ex, (pid_t)op->pid, result);
  (void)sigprocmask(SIG_SETMASK, &mask, NULL);
  return done;
}
