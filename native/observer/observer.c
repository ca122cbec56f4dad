#define _GNU_SOURCE
#include "observer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/address.h"
#include "../common/clock.h"
#include "../common/fd.h"
#include "../common/peer.h"
#include "../common/rights.h"
#include "../common/sys.h"
#include "calls.h"
#include "observed.h"

enum { OUTPUT = 3, READY = 4 };
#define CALLS_MAX 256

static struct watched {
  uint32_t arch, number;
  look *look;
} watched[CALLS_MAX];
static size_t n_watched;

look *look_of(const char *name) {
  if (strcmp(name, "execve") == 0) return look_execve;
  if (strcmp(name, "execveat") == 0) return look_execveat;
  for (const struct look_entry *entry = file_looks; entry->name != NULL; entry++)
    if (strcmp(name, entry->name) == 0) return entry->look;
  for (const struct look_entry *entry = socket_looks; entry->name != NULL; entry++)
    if (strcmp(name, entry->name) == 0) return entry->look;
  return NULL;
}

static int watch(const char *text) {
  char *end;
  struct watched *w = &watched[n_watched];
  if (n_watched == CALLS_MAX) return -1;
  w->arch = (uint32_t)strtoul(text, &end, 10);
  if (*end != ':') return -1;
  w->number = (uint32_t)strtoul(end + 1, &end, 10);
  if (*end != ':' || (w->look = look_of(end + 1)) == NULL) return -1;
  n_watched++;
  return 0;
}

/* When the time is over, if it ever is; and what is killed then. */
static uint64_t deadline;
static int init = -1;

static int left_until_deadline(void) { return deadline == 0 ? -1 : left_ms(deadline); }

/* Once: what is left of the container ends with its first process, or with the command that waits for that. */
static int time_is_over(void) {
  deadline = 0;
  if (init >= 0) (void)sys_pidfd_send_signal(init, SIGKILL); /* one that is gone has ended */
  return observed(SEEN_TIMEOUT, "");
}

/* The first that asks is the container's init. */
static void remember_init(const struct call *call) {
  if (init < 0) init = sys_pidfd_open(tracee_process(call));
}

static int look_at(const struct seccomp_notif *asked) {
  uint64_t args[6];
  bool narrow = asked->data.arch == AUDIT_ARCH_I386 || asked->data.arch == AUDIT_ARCH_ARM;
  memcpy(args, asked->data.args, sizeof args);
  const struct call call = {.pid = (pid_t)asked->pid, .args = args, .narrow = narrow};
  remember_init(&call);
  for (size_t i = 0; i < n_watched; i++)
    if (watched[i].arch == asked->data.arch && watched[i].number == (uint32_t)asked->data.nr) return watched[i].look(&call);
  return 0;
}

/* False once nobody is left to ask. What can't be written would make a policy that lacks something: the container is let go on, without
 * us its calls fail. */
static bool answer(int listener) {
  struct seccomp_notif asked = {0};
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) return errno == ENOENT || errno == EINTR; /* it was killed, or interrupted */
  if (look_at(&asked) != 0) return false;
  struct seccomp_notif_resp go_on = {.id = asked.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go_on) == 0 || errno == ENOENT;
}

static int serve(int listener) {
  for (;;) {
    struct pollfd p = {.fd = listener, .events = POLLIN};
    int count = poll(&p, 1, left_until_deadline());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return 1;
    if (count == 0 && time_is_over() != 0) return 1;
    if (count > 0 && (p.revents & POLLIN) != 0 && !answer(listener)) return 1;
    if ((p.revents & POLLIN) == 0 && (p.revents & (POLLHUP | POLLERR)) != 0) return 0;
  }
}

static int listen_at(const char *path) {
  struct sockaddr_un address;
  _cleanup_fd_ int dir = -1;
  _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || unix_address(path, &address, &dir) != 0) return -1;
  return bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0 ? -1 : fd_steal(&fd);
}

/* The descriptor that comes with the container's state, which is of no interest here. */
static int take_listener(int socket) {
  _cleanup_fd_ int from = accept4(socket, NULL, NULL, SOCK_CLOEXEC);
  if (from < 0 || peer_check(from, true) != 0) return -1;
  char state[4096];
  int listener;
  if (rights_receive(from, state, sizeof state, &listener, 0) <= 0) return -1;
  while (read(from, state, sizeof state) > 0) continue;
  return listener;
}

int observer_main(int argc, char **argv) {
  if (argc < 3) return 2;
  uint64_t limit = strtoull(argv[2], NULL, 10);
  for (int i = 3; i < argc; i++)
    if (watch(argv[i]) != 0) return 2;
  observed_to(OUTPUT);
  _cleanup_fd_ int socket = listen_at(argv[1]);
  if (socket < 0 || write(READY, "r", 1) != 1 || close(READY) != 0) return 1;
  int listener = take_listener(socket);
  if (listener < 0) return 1;
  fd_close(&socket);
  deadline = limit == 0 ? 0 : now_ms() + limit;
  return serve(listener);
}
