#define _GNU_SOURCE
#include "connector.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/rights.h"
#include "../common/sys.h"
#include "../launcher/controller.h"
#include "exits.h"
#include "loop.h"

struct connector {
  struct source source;
  uint64_t ticket;
  connector_done done;
};

static void send_result(int sock, int fd, int error) {
  (void)rights_send(sock, &error, sizeof error, &fd, fd >= 0, 0); /* a monitor that is gone needs no answer */
}

static void result_ready(struct source *s, uint32_t events) {
  (void)events;
  struct connector *k = (struct connector *)((char *)s - offsetof(struct connector, source));
  int error = ECHILD, fd; /* the child ended without a word */
  if (rights_receive(s->fd, &error, sizeof error, &fd, MSG_DONTWAIT) < 0 && errno == EAGAIN) return;
  loop_unwatch(s);
  close(s->fd);
  connector_done done = k->done;
  uint64_t ticket = k->ticket;
  free(k);
  done(ticket, fd, error);
}

int connector_start(bool own, uint64_t ticket, connector_done done) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -1;
  struct connector *k = calloc(1, sizeof *k);
  pid_t monitor = getpid(), pid = -1;
  if (k) {
    *k = (struct connector){.source = {pair[0], result_ready}, .ticket = ticket, .done = done};
    if (loop_watch(&k->source, EPOLLIN) == 0) pid = fork();
  }
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* Nothing of the monitor's: what this child keeps open has no EOF for others while it waits for a lock or a backlog. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != monitor || dup2(pair[1], 3) < 0 || sys_close_range(4, ~0u, 0) < 0) _exit(1);
    int fd = controller_connect(own);
    send_result(3, fd, fd < 0 ? errno : 0);
    _exit(0);
  }
  int error = errno;
  close(pair[1]);
  if (pid < 0) {
    if (k) loop_unwatch(&k->source);
    close(pair[0]);
    free(k);
    errno = error;
    return -1;
  }
  exits_ignore(pid);
  return 0;
}
